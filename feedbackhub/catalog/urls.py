from django.urls import path, re_path

from . import export_views, generation_views, media_views, views

app_name = "catalog"
urlpatterns = [
    path("prompts/", views.prompt_list, name="prompts"),
    path("prompts/<int:pk>/", views.prompt, name="prompt"),
    re_path(r"^media/(?P<digest>[0-9a-f]{64})/$", media_views.media, name="media"),
    path("models/", views.model_list, name="models"),
    path("models/new/", views.model_new, name="model_new"),
    path("models/<int:pk>/", views.model, name="model"),
    path("models/<int:pk>/weights/", views.model_weights, name="model_weights"),
    path("models/<int:pk>/exports/", export_views.exports, name="exports"),
    re_path(r"^models/(?P<pk>\d+)/exports/(?P<format>merged|gguf)/$", export_views.export_make, name="export_make"),
    re_path(r"^exports/(?P<pk>\d+)/(?P<action>stop|remove)/$", export_views.export_action, name="export_action"),
    path("exports/<int:pk>/file/", export_views.export_file, name="export_file"),
    path("generations/", generation_views.generation_list, name="generations"),
    path("generations/<int:pk>/", generation_views.generation, name="generation"),
    re_path(
        r"^generations/(?P<pk>\d+)/(?P<action>stop|resume)/$",
        generation_views.generation_action,
        name="generation_action",
    ),
]
