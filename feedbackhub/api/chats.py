"""Chats with two models side by side; what is preferred blind is a judgment."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.chat import selectors, services
from feedbackhub.chat.models import Chat, Turn
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.access import ADMINISTER, require

from .base import Endpoint, body_of, page

ChatBody = body_of(
    a=serializers.CharField(),
    b=serializers.CharField(),
    blind=serializers.BooleanField(required=False, default=True),
    follows=serializers.ChoiceField(choices=Chat.Follows.choices, required=False, default=Chat.Follows.PREFERRED),
)
TurnBody = body_of(
    message=serializers.CharField(max_length=services.MESSAGE_AT_MOST),
    temperature=serializers.FloatField(required=False),
    max_new_tokens=serializers.IntegerField(required=False),
)
VerdictBody = body_of(
    prefer=serializers.ChoiceField(choices=Turn.Prefer.choices),
    duration_ms=serializers.IntegerField(required=False, min_value=0),
)


def chat_listed(chat: Chat) -> dict:
    return {
        "id": chat.pk,
        "begins": chat.begins,
        "turns": chat.turn_count,
        "blind": chat.is_blind,
        "models": None if chat.names_hidden else {"left": chat.left.name, "right": chat.right.name},
        "by": chat.created_by.username,
        "created_at": chat.created_at,
    }


class Chats(Endpoint):
    @extend_schema(summary="Chats, without what was said", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return page(request, selectors.chats_of(self.project(request, slug, ADMINISTER)), chat_listed)

    @extend_schema(
        summary="Begin a chat with two models; blind, their sides are drawn", request=ChatBody, responses={201: dict}
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, ChatBody)
        a, b = (model_by_name(project=project, name=body[side]) for side in "ab")
        chat = services.chat_create(
            project=project, by=request.user, a=a, b=b, is_blind=body["blind"], follows=body["follows"]
        )
        return Response(selectors.chat_shown(chat), status=201)


class ChatEndpoint(Endpoint):
    def chat(self, request: Request, pk: int) -> Chat:
        found = Chat.objects.select_related("project", "left", "right", "created_by", "run").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no chat {pk}.")
        require(request.user, found.project, ADMINISTER)
        return found


class ChatDetail(ChatEndpoint):
    @extend_schema(summary="A chat with its transcript; while names are hidden, nobody is named", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        return Response(selectors.chat_shown(self.chat(request, pk)))


class ChatTurns(ChatEndpoint):
    @extend_schema(summary="Say something to both models", request=TurnBody, responses={202: dict})
    def post(self, request: Request, pk: int) -> Response:
        chat = self.chat(request, pk)
        turn = services.turn_say(chat=chat, by=request.user, **self.read(request, TurnBody))
        return Response({"number": turn.number, "decoding": turn.decoding}, status=202)


class TurnVerdict(ChatEndpoint):
    @extend_schema(
        summary="Say which answer of a turn is better: left, right, tie or none",
        request=VerdictBody,
        responses={201: dict},
    )
    def post(self, request: Request, pk: int, number: int) -> Response:
        turn = selectors.turn_get(chat=self.chat(request, pk), number=number)
        judgment = services.verdict_give(turn=turn, by=request.user, **self.read(request, VerdictBody))
        return Response({"judgment": judgment.pk, "counted": judgment.counted}, status=201)


class ChatAction(ChatEndpoint):
    action = ""

    @extend_schema(summary="Stop answers, reveal names, or give the models' memory back", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        chat = self.chat(request, pk)
        actions = {"stop": services.turn_stop, "reveal": services.chat_reveal, "end": services.chat_end}
        actions[self.action](chat=chat, by=request.user)
        return Response(selectors.chat_shown(self.chat(request, pk)))
