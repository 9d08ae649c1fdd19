"""Gold items, interventions and the live board, for admins."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER, require
from feedbackhub.projects.models import Project
from feedbackhub.rating import live, services
from feedbackhub.rating.models import Gold, Intervention, Task

from .base import Endpoint, Strict, body_of, page

GoldBody = body_of(
    task=serializers.IntegerField(),
    expected=serializers.DictField(),
    note=serializers.CharField(required=False, allow_blank=True, default="", max_length=500),
)


class InterventionBody(Strict):
    kind = serializers.ChoiceField(choices=Intervention.Kind.choices)
    reason = serializers.CharField(max_length=500)
    rater = serializers.CharField(required=False, max_length=150)
    task = serializers.IntegerField(required=False)
    given_to = serializers.CharField(required=False, max_length=150)
    since = serializers.DateTimeField(required=False)


def gold_shown(gold: Gold) -> dict:
    return {
        "id": gold.pk,
        "task": gold.task_id,
        "kind": gold.kind,
        "expected": gold.expected,
        "note": gold.note,
        "retired_at": gold.retired_at,
    }


def intervention_shown(one: Intervention) -> dict:
    return {
        "id": one.pk,
        "kind": one.kind,
        "reason": one.reason,
        "rater": one.rater.username if one.rater else None,
        "task": one.task_id,
        "given_to": one.given_to.username if one.given_to else None,
        "count": one.count,
        "created_by": one.created_by.username,
        "created_at": one.created_at,
        "undone_at": one.undone_at,
    }


def task_of(project: Project, pk: int | None) -> Task:
    found = Task.objects.filter(project=project, pk=pk, check_kind="").select_related("project").first()
    if found is None:
        message = f"There is no task {pk} in this project." if pk else "task is missing: which one?"
        raise DomainError(message, fields={"task": message})
    return found


class GoldItems(Endpoint):
    @extend_schema(summary="The gold items and attention checks", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return page(request, Gold.objects.filter(project=self.project(request, slug, ADMINISTER)), gold_shown)

    @extend_schema(
        summary="Make a task a gold item: `expected` is what a judgment would say",
        request=GoldBody,
        responses={201: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, GoldBody)
        task = task_of(project, body["task"])
        gold = services.gold_create(by=request.user, task=task, expected=body["expected"], note=body["note"])
        return Response(gold_shown(gold), status=201)


class GoldRetire(Endpoint):
    @extend_schema(summary="Serve a gold item no longer", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        gold = Gold.objects.select_related("project").filter(pk=pk).first()
        if gold is None:
            raise NotFound(f"There is no gold item {pk}.")
        require(request.user, gold.project, ADMINISTER)
        services.gold_retire(gold=gold)
        gold.refresh_from_db()
        return Response(gold_shown(gold))


class Interventions(Endpoint):
    @extend_schema(summary="What admins did to others’ work", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        found: QuerySet = Intervention.objects.filter(project=project)
        return page(request, found.select_related("rater", "given_to", "created_by"), intervention_shown)

    @extend_schema(
        summary="Make a rater’s work void, open a task again, or hand a lease on; with a reason, undoable",
        request=InterventionBody,
        responses={201: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, InterventionBody)
        given = {"by": request.user, "reason": body["reason"]}
        if body["kind"] == Intervention.Kind.VOID:
            rater = _user("rater", body.get("rater"), wanted=True)
            done = services.work_void(project=project, rater=rater, since=body.get("since"), **given)
        elif body["kind"] == Intervention.Kind.REOPEN:
            done = services.task_reopen(task=task_of(project, body.get("task")), **given)
        else:
            whose = {name: _user(name, body.get(name)) for name in ("rater", "given_to")}
            done = services.lease_reassign(task=task_of(project, body.get("task")), **whose, **given)
        return Response(intervention_shown(done), status=201)


def _user(field: str, username: str | None, *, wanted: bool = False) -> User | None:
    found = User.objects.filter(username=username).first() if username else None
    if found is None and (username or wanted):
        message = f'There is nobody called "{username}".' if username else f"{field} is missing: whose?"
        raise DomainError(message, fields={field: message})
    return found


class InterventionUndo(Endpoint):
    @extend_schema(summary="Take an intervention back", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        found = Intervention.objects.select_related("project").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no intervention {pk}.")
        require(request.user, found.project, ADMINISTER)
        restored = services.intervention_undo(by=request.user, intervention=found)
        return Response({"id": pk, "restored": restored, "of": found.count})


class LivePace(Endpoint):
    @extend_schema(summary="Throughput, what is left, and when it will be done", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        pace = live.pace(self.project(request, slug, ADMINISTER))
        forecast = {name: getattr(pace.forecast, name) for name in ("hours", "lower", "upper", "undefined_because")}
        return Response(
            {
                "last_hour": pace.last_hour,
                "today": pace.today,
                "wanted": pace.wanted,
                "done": pace.done,
                "held": pace.held,
                "left": pace.left,
                "forecast": forecast,
                "ready_at": pace.ready_at,
                "hours": [{"hour": hour, "judgments": count} for hour, count in pace.hours],
            }
        )
