from django.urls import path, re_path

from . import views

app_name = "evaluation"
urlpatterns = [
    path("", views.evaluation_list, name="list"),
    path("new/", views.evaluation_new, name="new"),
    path("<int:pk>/", views.evaluation, name="evaluation"),
    re_path(r"^(?P<pk>\d+)/(?P<action>stop|resume)/$", views.evaluation_action, name="action"),
]
