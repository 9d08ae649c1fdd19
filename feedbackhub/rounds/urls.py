from django.urls import path, re_path

from . import autopilot_views, search_views, views

app_name = "rounds"
urlpatterns = [
    path("", views.round_list, name="list"),
    path("new/", views.round_new, name="new"),
    path("datasets/", views.dataset_list, name="datasets"),
    path("datasets/<int:pk>/", views.dataset, name="dataset"),
    path("datasets/<int:pk>/rows/<int:position>/", views.dataset_row, name="dataset_row"),
    path("datasets/<int:pk>/download/", views.dataset_download, name="dataset_download"),
    path("<int:number>/", views.round_page, name="round"),
    path("autopilot/", autopilot_views.autopilot, name="autopilot"),
    path("promote/", autopilot_views.promote_model, name="promote_model"),
    path("<int:number>/promote/", autopilot_views.promote, name="promote"),
    path("<int:number>/estimate/", views.estimate, name="estimate"),
    path("<int:number>/search/", search_views.search, name="search"),
    path("<int:number>/search/stop/", search_views.search_end, name="search_stop"),
    path("<int:number>/search/draft/", search_views.search_pick, name="search_draft"),
    path("<int:number>/scorings/", views.scoring_new, name="scoring_new"),
    re_path(r"^(?P<number>\d+)/(?P<action>launch|stop|resume)/$", views.round_action, name="action"),
]
