from django.urls import path

from . import adjudication_views, quality_views, views, work_views

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
    path("tasks/<int:pk>/", work_views.task, name="task"),
    path("tasks/<int:pk>/act/", work_views.task_act, name="task_act"),
    path("live/", work_views.board, name="live"),
    path("checks/", work_views.checks, name="checks"),
    path("checks/act/", work_views.checks_act, name="checks_act"),
    path("interventions/", work_views.interventions, name="interventions"),
    path("interventions/void/", work_views.void, name="void"),
    path("interventions/<int:pk>/undo/", work_views.intervention_undo, name="intervention_undo"),
    path("tasks/preview/", views.tasks_preview, name="tasks_preview"),
    path("quality/", quality_views.quality, name="quality"),
    path("quality/<int:pk>/ask-again/", quality_views.ask_again, name="ask_again"),
    path("quality/decide/", quality_views.decide, name="decide"),
    path("quality/decisions/<int:pk>/undo/", quality_views.decision_undo, name="decision_undo"),
    path("quality/adjudicate/", adjudication_views.queue, name="adjudicate"),
    path("quality/adjudicate/<int:pk>/", adjudication_views.settle, name="settle"),
    path("quality/settlements/<int:pk>/undo/", adjudication_views.settlement_undo, name="settlement_undo"),
]
