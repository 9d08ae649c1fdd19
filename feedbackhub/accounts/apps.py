from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "feedbackhub.accounts"
