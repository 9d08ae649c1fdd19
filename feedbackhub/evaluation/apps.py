from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "feedbackhub.evaluation"
