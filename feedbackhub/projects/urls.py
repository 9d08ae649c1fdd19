from django.urls import path

from . import views

app_name = "projects"
urlpatterns = [
    path("", views.settings, name="settings"),
    path("members/", views.member_add, name="member_add"),
    path("members/<int:pk>/remove/", views.member_remove, name="member_remove"),
    path("members/<int:pk>/group/", views.member_group, name="member_group"),
    path("groups/", views.group_set, name="group_set"),
    path("groups/<int:pk>/remove/", views.group_remove, name="group_remove"),
]
