from django.urls import path, re_path

from . import generation_views, media_views, views

app_name = "catalog"
urlpatterns = [
    path("prompts/", views.prompt_list, name="prompts"),
    path("prompts/<int:pk>/", views.prompt, name="prompt"),
    re_path(r"^media/(?P<digest>[0-9a-f]{64})/$", media_views.media, name="media"),
    path("models/", views.model_list, name="models"),
    path("models/new/", views.model_new, name="model_new"),
    path("models/<int:pk>/", views.model, name="model"),
    path("models/<int:pk>/weights/", views.model_weights, name="model_weights"),
    path("generations/", generation_views.generation_list, name="generations"),
    path("generations/<int:pk>/", generation_views.generation, name="generation"),
    re_path(
        r"^generations/(?P<pk>\d+)/(?P<action>stop|resume)/$",
        generation_views.generation_action,
        name="generation_action",
    ),
]
