from django.urls import path, re_path

from . import suite_views, views

app_name = "evaluation"
urlpatterns = [
    path("", views.evaluation_list, name="list"),
    path("new/", views.evaluation_new, name="new"),
    path("compare/", views.evaluation_compare, name="compare"),
    path("<int:pk>/", views.evaluation, name="evaluation"),
    path("<int:pk>/items/", views.evaluation_items, name="items"),
    re_path(r"^(?P<pk>\d+)/(?P<action>stop|resume)/$", views.evaluation_action, name="action"),
    re_path(r"^(?P<pk>\d+)/failures/(?P<action>queue|request)/$", views.failures_follow, name="follow"),
    path("requests/", views.request_list, name="requests"),
    path("requests/<int:pk>/done/", views.request_done, name="request-done"),
    path("suites/", suite_views.suite_list, name="suites"),
    path("suites/new/", suite_views.suite_new, name="suite-new"),
    path("suites/<int:pk>/", suite_views.suite, name="suite"),
    path("suites/<int:pk>/delete/", suite_views.suite_delete, name="suite-delete"),
]
