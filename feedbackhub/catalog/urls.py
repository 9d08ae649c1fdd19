from django.urls import path, re_path

from . import generation_views

app_name = "catalog"
urlpatterns = [
    path("generations/", generation_views.generation_list, name="generations"),
    path("generations/<int:pk>/", generation_views.generation, name="generation"),
    re_path(
        r"^generations/(?P<pk>\d+)/(?P<action>stop|resume)/$",
        generation_views.generation_action,
        name="generation-action",
    ),
]
