from django.apps import AppConfig


class RatingConfig(AppConfig):
    name = "feedbackhub.rating"
