"""Reward models at work: outputs scored, answers ranked (best of n), agreement with people over time."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.generations import ANSWERS_AT_MOST
from feedbackhub.catalog.models import ModelVersion, Split
from feedbackhub.catalog.selectors import prompts_by_id
from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS, require
from feedbackhub.projects.models import Project
from feedbackhub.rewards import selectors, services
from feedbackhub.rewards.agreement import agreement
from feedbackhub.rewards.models import BestOf, OutputScore, OutputScoring
from feedbackhub.rewards.scoring import reward_check

from .base import Endpoint, body_of, page

BestOfBody = body_of(
    model=serializers.CharField(),
    reward_model=serializers.CharField(),
    n=serializers.IntegerField(min_value=2, max_value=ANSWERS_AT_MOST, required=False, default=4),
    split=serializers.ChoiceField(choices=Split.choices, required=False),
    prompts=serializers.ListField(child=serializers.IntegerField(), min_length=1, required=False),
    limit=serializers.IntegerField(min_value=1, required=False),
    pairs=serializers.BooleanField(required=False, default=False),
)
ScoringBody = body_of(
    reward_model=serializers.CharField(),
    models=serializers.ListField(child=serializers.CharField(), required=False, default=list),
    split=serializers.ChoiceField(choices=Split.choices, required=False, default=""),
    judged=serializers.BooleanField(required=False, default=False),
)


def best_of_listed(best_of: BestOf) -> dict:
    return {
        "id": best_of.pk,
        "status": best_of.status,
        "model": best_of.model.name,
        "reward_model": best_of.reward_model.name,
        "n": best_of.n,
        "created_at": best_of.created_at,
    }


class BestOfs(Endpoint):
    @extend_schema(summary="Best-of-n sets", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return page(request, selectors.best_ofs_of(self.project(request, slug, READ_REPORTS)), best_of_listed)

    @extend_schema(
        summary="Write n answers a prompt, rank them with a reward model, keep best and worst",
        request=BestOfBody,
        responses={202: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, BestOfBody))
        for name in ("model", "reward_model"):
            body[name] = model_by_name(project=project, name=body[name])
        if "prompts" in body:
            body["prompts"] = prompts_by_id(project=project, ids=body["prompts"])
        best_of = services.best_of_create(project=project, by=request.user, **body)
        return Response({"id": best_of.pk}, status=202)


class BestOfDetail(Endpoint):
    @extend_schema(summary="A best-of-n set: status, what taking the best gains, the rankings", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        best_of = BestOf.objects.select_related("project").filter(pk=pk).first()
        if best_of is None:
            raise NotFound(f"There is no best-of-n set {pk}.")
        require(request.user, best_of.project, READ_REPORTS)
        return Response(selectors.best_of_shown(best_of))


def scoring_shown(scoring: OutputScoring) -> dict:
    return {
        "id": scoring.pk,
        "reward_model": scoring.reward_model.name,
        "state": scoring.run.state,
        "outputs": scoring.outputs,
        "stored": scoring.stored,
        "error": scoring.run.error_message,
        "created_at": scoring.created_at,
    }


class OutputScorings(Endpoint):
    @extend_schema(summary="When reward models scored outputs", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        rows = OutputScoring.objects.filter(project=project).select_related("reward_model", "run")
        return page(request, rows, scoring_shown)

    @extend_schema(
        summary="Let a reward model score outputs: of models and a split, or (judged) what people have compared since",
        request=ScoringBody,
        responses={202: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, ScoringBody)
        reward_model = model_by_name(project=project, name=body["reward_model"])
        reward_check(project, reward_model)
        if body["judged"]:
            outputs = services.outputs_judged_since(reward_model)
        else:
            models = [model_by_name(project=project, name=name) for name in body["models"]]
            outputs = services.outputs_of(project, models=models, split=body["split"])
        scoring = services.outputs_score(project=project, reward_model=reward_model, outputs=outputs, by=request.user)
        return Response(scoring_shown(scoring), status=202)


def _asked_model(request: Request, project: Project) -> ModelVersion:
    """The reward model that `?reward_model=NAME` names."""
    model = model_by_name(project=project, name=request.query_params.get("reward_model", ""))
    reward_check(project, model)
    return model


def score_shown(score: OutputScore) -> dict:
    return {"output": score.output_id, "reward": score.reward, "heads": score.heads}


class OutputScores(Endpoint):
    @extend_schema(summary="What a reward model thinks of outputs; ?reward_model=NAME", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, OutputScore.objects.filter(reward_model=_asked_model(request, project)), score_shown)


class RewardAgreement(Endpoint):
    @extend_schema(
        summary="Whether people have agreed with a reward model since it was made; ?reward_model=NAME", responses=dict
    )
    def get(self, request: Request, slug: str) -> Response:
        return Response(agreement(_asked_model(request, self.project(request, slug, READ_REPORTS))))
