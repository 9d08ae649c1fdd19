from django.urls import path

from . import views

app_name = "leaderboard"
urlpatterns = [
    path("", views.leaderboard, name="board"),
    path("ab/", views.ab, name="ab"),
]
