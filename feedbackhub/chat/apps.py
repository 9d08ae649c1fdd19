from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "feedbackhub.chat"
