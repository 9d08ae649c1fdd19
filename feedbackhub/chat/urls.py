from django.urls import path, re_path

from . import views

app_name = "chat"
urlpatterns = [
    path("", views.chat_list, name="list"),
    path("<int:pk>/", views.chat_page, name="chat"),
    path("<int:pk>/say/", views.say, name="say"),
    path("<int:pk>/export/", views.export, name="export"),
    path("<int:pk>/turns/<int:number>/", views.verdict, name="verdict"),
    re_path(r"^(?P<pk>\d+)/(?P<action>stop|reveal|end)/$", views.action, name="action"),
]
