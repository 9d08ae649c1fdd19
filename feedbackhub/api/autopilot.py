"""What is known of a round before it starts; presets; promotions; the autopilot and its log."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.rounds import autopilot as service
from feedbackhub.rounds.estimates import estimate_create, estimate_shown
from feedbackhub.rounds.models import Autopilot, AutopilotDecision, Promotion
from feedbackhub.rounds.preflight import preflight
from feedbackhub.rounds.presets import presets
from feedbackhub.rounds.promotion import champion, promotion_create, promotions_of
from feedbackhub.rounds.recipes import recipes

from .base import Endpoint, body_of, page
from .rounds import RoundEndpoint

PromotionBody = body_of(model=serializers.CharField(), reason=serializers.CharField())
AutopilotBody = body_of(
    on=serializers.BooleanField(),
    every=serializers.IntegerField(required=False),
    recipe=serializers.CharField(required=False),
    settings=serializers.DictField(required=False),
    start=serializers.CharField(required=False),
)


class RoundPreflight(RoundEndpoint):
    @extend_schema(
        summary="What is known of a round before it starts: findings in words, level by level", responses=dict
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(preflight(self.round(request, pk, ADMINISTER)))


class RoundEstimates(RoundEndpoint):
    @extend_schema(summary="A draft's latest rehearsal: time, memory and cost", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        return Response(estimate_shown(self.round(request, pk, ADMINISTER)) or {"state": None})

    @extend_schema(summary="Rehearse a draft and measure what it would take", request=None, responses={202: dict})
    def post(self, request: Request, pk: int) -> Response:
        tuning_round = self.round(request, pk, ADMINISTER)
        estimate_create(tuning_round=tuning_round, by=request.user)
        return Response(estimate_shown(tuning_round), status=202)


class Presets(Endpoint):
    @extend_schema(summary="Starting settings of every recipe, with their reasons", responses=dict)
    def get(self, request: Request) -> Response:
        shown = {
            recipe: [{"name": one.name, "reason": str(one.reason), "settings": one.settings} for one in presets(recipe)]
            for recipe in recipes()
        }
        return Response(shown)


def promotion_shown(promotion: Promotion) -> dict:
    return {
        "id": promotion.pk,
        "model": promotion.model.name,
        "by": promotion.by.username if promotion.by else "autopilot",
        "reason": promotion.reason,
        "at": promotion.at,
    }


class Promotions(Endpoint):
    @extend_schema(summary="The project's promotions; the latest names the champion", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, promotions_of(project), promotion_shown)

    @extend_schema(summary="Make a model the champion, with a reason", request=PromotionBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, PromotionBody)
        model = model_by_name(project=project, name=body["model"])
        promotion = promotion_create(project=project, model=model, by=request.user, reason=body["reason"])
        return Response(promotion_shown(promotion), status=201)


def autopilot_shown(pilot: Autopilot) -> dict:
    found = service.standing(pilot)
    return {
        "on": pilot.is_on,
        "every": pilot.every,
        "recipe": pilot.recipe,
        "settings": pilot.settings,
        "champion": found.champion and found.champion.name,
        "new_judgments": found.new,
        "round": found.round and found.round.pk,
        "open_pairs": found.open_pairs,
    }


def decision_shown(decision: AutopilotDecision) -> dict:
    return {
        "id": decision.pk,
        "at": decision.at,
        "kind": decision.kind,
        "words": decision.words,
        "figures": decision.figures,
        "round": decision.round_id,
    }


class AutopilotEndpoint(Endpoint):
    @extend_schema(summary="The autopilot: whether it is on, and what it waits for", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        pilot = Autopilot.objects.filter(project=project).first()
        if pilot is None:
            found = champion(project)
            return Response({"on": False, "champion": found and found.name})
        return Response(autopilot_shown(pilot))

    @extend_schema(summary="Switch the autopilot on or off", request=AutopilotBody, responses=dict)
    def put(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, AutopilotBody))
        if "start" in body:
            body["start"] = model_by_name(project=project, name=body["start"])
        pilot = service.autopilot_set(project=project, by=request.user, is_on=body.pop("on"), **body)
        return Response(autopilot_shown(pilot))


class AutopilotDecisions(Endpoint):
    @extend_schema(summary="The autopilot's log, latest first", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, AutopilotDecision.objects.filter(autopilot__project=project), decision_shown)
