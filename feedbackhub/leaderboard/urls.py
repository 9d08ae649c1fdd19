from django.urls import path

from . import views

app_name = "leaderboard"
urlpatterns = [
    path("", views.leaderboard, name="board"),
    path("beside/", views.beside, name="beside"),
    path("tallies/", views.tallies, name="tallies"),
    path("ab/", views.ab, name="ab"),
]
