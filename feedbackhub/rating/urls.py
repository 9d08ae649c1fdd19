from django.urls import path

from . import quality_views, views

app_name = "rating"
urlpatterns = [
    path("", views.next_task, name="next"),
    path("ahead/", views.ahead, name="ahead"),
    path("<int:pk>/", views.judge, name="judge"),
    path("<int:pk>/skip/", views.skip, name="skip"),
    path("history/", views.history, name="history"),
    path("history/<int:pk>/edit/", views.edit, name="edit"),
    path("history/<int:pk>/undo/", views.undo, name="undo"),
    path("tasks/", views.tasks, name="tasks"),
    path("tasks/preview/", views.tasks_preview, name="tasks_preview"),
    path("quality/", quality_views.quality, name="quality"),
    path("quality/<int:pk>/ask-again/", quality_views.ask_again, name="ask_again"),
]
