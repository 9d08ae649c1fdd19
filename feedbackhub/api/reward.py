"""Reward models at work: what they say of open pairs."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.rounds import doubt
from feedbackhub.rounds.models import RewardScoring

from .base import Endpoint, body_of, page

ScoringBody = body_of(
    model=serializers.CharField(),
    limit=serializers.IntegerField(min_value=1, max_value=doubt.PAIRS_AT_MOST, required=False, default=doubt.PAIRS),
)


def scoring_shown(scoring: RewardScoring) -> dict:
    chances = {
        task: {"output": first, "chance": p, "doubt": bits} for task, (first, p, bits) in scoring.chances.items()
    }
    return {
        "id": scoring.pk,
        "model": scoring.model.name,
        "state": scoring.run.state,
        "tasks": len(scoring.tasks),
        "chances": chances,
        "raised": scoring.raised,
        "applied_at": scoring.applied_at,
    }


class RewardScorings(Endpoint):
    @extend_schema(summary="What reward models said of open pairs", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(
            request, RewardScoring.objects.filter(project=project).select_related("model", "run"), scoring_shown
        )

    @extend_schema(
        summary="Let a reward model look at open pairs; those it is unsure of come to raters first",
        request=ScoringBody,
        responses={202: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, ScoringBody)
        model = model_by_name(project=project, name=body["model"])
        scoring = doubt.scoring_create(project=project, model=model, by=request.user, limit=body["limit"])
        return Response(scoring_shown(scoring), status=202)
