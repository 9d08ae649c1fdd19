from django.urls import path

from . import views

app_name = "projects"
urlpatterns = [
    path("", views.settings, name="settings"),
    path("members/", views.member_add, name="member_add"),
    path("members/<int:pk>/remove/", views.member_remove, name="member_remove"),
]
