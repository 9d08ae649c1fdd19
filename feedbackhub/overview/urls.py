from django.urls import path

from . import report_views, views

app_name = "overview"
urlpatterns = [
    path("projects/new/", views.project_new, name="project_new"),
    path("p/<slug:slug>/", views.project, name="project"),
    path("p/<slug:slug>/models/<int:pk>/", views.model, name="model"),
    path("p/<slug:slug>/story/<int:number>/", report_views.round_story, name="story"),
    path("p/<slug:slug>/digest/", report_views.digest_change, name="digest"),
    path("unsubscribe/<str:token>/", report_views.unsubscribe, name="unsubscribe"),
    path("p/<slug:slug>/me/", views.rater, name="rater"),
]
