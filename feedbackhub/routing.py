from django.urls import path

from feedbackhub.chat.consumers import ChatConsumer
from feedbackhub.leaderboard.consumers import LeaderboardConsumer
from feedbackhub.rounds.consumers import RoundConsumer

websocket_urlpatterns = [
    path("ws/chats/<int:chat_id>/", ChatConsumer.as_asgi()),
    path("ws/rounds/<int:round_id>/", RoundConsumer.as_asgi()),
    path("ws/projects/<slug:slug>/leaderboard/", LeaderboardConsumer.as_asgi()),
]
