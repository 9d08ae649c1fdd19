from django.urls import path

from . import ab_views, share_views, views

app_name = "leaderboard"
urlpatterns = [
    path("", views.leaderboard, name="board"),
    path("beside/", views.beside, name="beside"),
    path("tallies/", views.tallies, name="tallies"),
    path("ab/", ab_views.ab, name="ab"),
    path("compare/", ab_views.compare, name="compare"),
    path("shares/", share_views.shares, name="shares"),
    path("shares/<int:pk>/revoke/", share_views.share_revoke, name="share_revoke"),
]
