"""Suites of a project's own, items of an evaluation, and what follows from failures."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.core.errors import NotFound
from feedbackhub.evaluation import failures, following, suites
from feedbackhub.evaluation.models import DataRequest, Evaluation, ItemResult, SuiteVersion
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS, require

from .base import Endpoint, Strict, page


class SuiteBody(Strict):
    name = serializers.CharField(max_length=80)
    definition = serializers.JSONField(help_text="{rules, settings?, description?}, or the fields of a task.")
    items = serializers.ListField(child=serializers.JSONField(), min_length=1)


class FollowBody(Strict):
    model = serializers.CharField()
    group = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="rule:NAME, tag:NAME or empty."
    )


class RequestBody(FollowBody):
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


def suite_shown(suite: SuiteVersion) -> dict:
    return {
        "id": suite.pk,
        "name": suite.name,
        "version": suite.number,
        "kind": suite.kind,
        "description": suite.description,
        "rules": suite.rules,
        "task": suite.task or None,
        "settings": suite.settings,
        "hash": suite.content_hash,
        "created_at": suite.created_at,
    }


def item_shown(result: ItemResult) -> dict:
    return {
        "item": result.item.key,
        "tags": result.item.tags,
        "passed": result.passed,
        "failed": dict(result.reasons),
        "reasons": {rule: why for rule, why in result.failed.items() if isinstance(why, dict)},
        "scores": result.scores,
        "answers": result.answers,
    }


def request_shown(wish: DataRequest) -> dict:
    return {
        "id": wish.pk,
        "evaluation": wish.evaluation_id,
        "model": wish.model.name,
        "group": wish.group,
        "note": wish.note,
        "prompts": wish.prompts,
        "created_at": wish.created_at,
        "done_at": wish.done_at,
    }


class Suites(Endpoint):
    @extend_schema(summary="The project's own suites, all versions", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, SuiteVersion.objects.filter(project=project), suite_shown)

    @extend_schema(summary="Keep a suite, or its next version", request=SuiteBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        suite = suites.suite_save(project=project, by=request.user, **self.read(request, SuiteBody))
        return Response(suite_shown(suite), status=201)


class SuiteDetail(Endpoint):
    @extend_schema(summary="A version of a suite", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        return Response(suite_shown(self._suite(request, pk, READ_REPORTS)))

    @extend_schema(summary="Remove a version on which nothing was measured", responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        suites.suite_delete(suite=self._suite(request, pk, ADMINISTER))
        return Response(status=204)

    def _suite(self, request: Request, pk: int, allowed: frozenset[str]) -> SuiteVersion:
        suite = SuiteVersion.objects.select_related("project").filter(pk=pk).first()
        if suite is None:
            raise NotFound(f"There is no suite {pk} that you may see.")
        require(request.user, suite.project, allowed)
        return suite


class OfEvaluation(Endpoint):
    def evaluation(self, request: Request, pk: int, allowed: frozenset[str]) -> Evaluation:
        found = Evaluation.objects.select_related("project", "suite_version").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no evaluation {pk} that you may see.")
        require(request.user, found.project, allowed)
        return found


class EvaluationItems(OfEvaluation):
    @extend_schema(
        summary="Each item of a suite of the project's own, by one model",
        parameters=[OpenApiParameter("model", str, required=True), OpenApiParameter("failed", bool)],
        responses=dict,
    )
    def get(self, request: Request, pk: int) -> Response:
        found = self.evaluation(request, pk, READ_REPORTS)
        part = failures.part_of(found, request.query_params.get("model", ""))
        rows = ItemResult.objects.filter(part=part).select_related("item")
        if request.query_params.get("failed") in ("1", "true"):
            rows = rows.filter(passed=False)
        return page(request, rows, item_shown, descending=False)


class EvaluationFailures(OfEvaluation):
    @extend_schema(
        summary="What a model fails, by rule and tag, and what changed since its parent",
        parameters=[OpenApiParameter("model", str, required=True)],
        responses=dict,
    )
    def get(self, request: Request, pk: int) -> Response:
        found = failures.analysis(
            failures.part_of(self.evaluation(request, pk, READ_REPORTS), request.query_params.get("model", ""))
        )
        if found is None:
            return Response({"groups": [], "compared_with": None})
        compared = found.previous and {"evaluation": found.previous.evaluation_id, "model": found.previous.model.name}
        groups = [
            {
                "group": group.key,
                "failed": len(group.failed),
                "total": group.total,
                "fixed": len(group.fixed) if compared else None,
                "new": len(group.new) if compared else None,
            }
            for group in [found.all, *found.rules, *found.tags]
        ]
        return Response({"groups": groups, "compared_with": compared})


class EvaluationQueue(OfEvaluation):
    @extend_schema(summary="Put a group of failures before raters", request=FollowBody, responses={201: dict})
    def post(self, request: Request, pk: int) -> Response:
        found = self.evaluation(request, pk, ADMINISTER)
        body = self.read(request, FollowBody)
        part = failures.part_of(found, body["model"])
        made = following.failures_queue(part=part, group=body["group"], by=request.user)
        return Response({"created": made.created, "skipped": made.skipped}, status=201)


class EvaluationRequests(OfEvaluation):
    @extend_schema(summary="Ask for data like a group of failures", request=RequestBody, responses={201: dict})
    def post(self, request: Request, pk: int) -> Response:
        found = self.evaluation(request, pk, ADMINISTER)
        body = self.read(request, RequestBody)
        part = failures.part_of(found, body["model"])
        wish = following.data_request_create(part=part, group=body["group"], note=body["note"], by=request.user)
        return Response(request_shown(wish), status=201)


class DataRequests(Endpoint):
    @extend_schema(summary="The project's data requests", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, DataRequest.objects.filter(project=project).select_related("model"), request_shown)
