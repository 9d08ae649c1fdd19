from django.urls import path

from . import views

app_name = "overview"
urlpatterns = [
    path("projects/new/", views.project_new, name="project_new"),
    path("p/<slug:slug>/", views.project, name="project"),
    path("p/<slug:slug>/models/<int:pk>/", views.model, name="model"),
    path("p/<slug:slug>/me/", views.rater, name="rater"),
]
