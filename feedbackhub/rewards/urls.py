from django.urls import path

from . import views

app_name = "rewards"
urlpatterns = [
    path("", views.overview, name="list"),
    path("<int:pk>/", views.reward_model, name="model"),
    path("<int:pk>/score/", views.score, name="score"),
    path("best-of/<int:pk>/", views.best_of, name="best_of"),
]
