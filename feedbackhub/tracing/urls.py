from django.urls import path

from . import views

app_name = "tracing"
urlpatterns = [
    path("", views.ledger, name="ledger"),
    path("retry/", views.retry, name="retry"),
]
