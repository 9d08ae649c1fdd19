from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.evaluation.models import Evaluation
from feedbackhub.evaluation.selectors import result_rows
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.leaderboard import selectors
from feedbackhub.leaderboard.options import Options
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS, require

from .base import Endpoint, Strict, page


class EvaluationBody(Strict):
    models = serializers.ListField(child=serializers.CharField(), min_length=1)
    suite = serializers.CharField()
    reward_model = serializers.CharField(required=False)


def evaluation_shown(evaluation: Evaluation) -> dict:
    version = evaluation.suite_version
    return {
        "id": evaluation.pk,
        "status": evaluation.status,
        "error": evaluation.error or None,
        "suite": evaluation.suite,
        "version": version.number if version else None,
        "reuse": {
            part.model.name: (part.run.result or {}).get("reuse")
            for part in evaluation.parts.select_related("model", "run").order_by("pk")
        },
        "results": result_rows(evaluation),
    }


class Evaluations(Endpoint):
    @extend_schema(summary="The project's evaluations", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        found = Evaluation.objects.filter(project=project).select_related("suite_version")
        return page(request, found, evaluation_shown)

    @extend_schema(summary="Measure models on a suite", request=EvaluationBody, responses={202: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, EvaluationBody)
        models = [model_by_name(project=project, name=name) for name in body["models"]]
        judge = model_by_name(project=project, name=body["reward_model"]) if "reward_model" in body else None
        evaluation = evaluation_create(
            project=project, models=models, suite=body["suite"], reward_model=judge, by=request.user
        )
        return Response({"id": evaluation.pk}, status=202)


class EvaluationDetail(Endpoint):
    @extend_schema(summary="An evaluation's results", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        evaluation = Evaluation.objects.select_related("project", "suite_version").filter(pk=pk).first()
        if evaluation is None:
            raise NotFound(f"There is no evaluation {pk} that you may see.")
        require(request.user, evaluation.project, READ_REPORTS)
        return Response(evaluation_shown(evaluation))


class AB(Endpoint):
    @extend_schema(
        summary="Two models against each other",
        parameters=[
            OpenApiParameter("a", str, required=True),
            OpenApiParameter("b", str, required=True),
            OpenApiParameter("category", str),
        ],
        responses=dict,
    )
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        models = {}
        for side in ("a", "b"):
            if not (name := request.query_params.get(side)):
                message = f"{side} is missing: name the two models as ?a=NAME&b=NAME."
                raise DomainError(message, fields={side: message})
            models[side] = model_by_name(project=project, name=name)
        category = request.query_params.get("category") or None
        Options(category=category).check(project)
        return Response(selectors.ab(project=project, **models, category=category))
