from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.access import ADMINISTER, OWN_WORK, RATE, READ_REPORTS, require, roles_of
from feedbackhub.projects.models import Role, TaskKind
from feedbackhub.rating import selectors, services
from feedbackhub.rating.models import Judgment, Task
from feedbackhub.rating.shown import output_media_shown, spans_shown, text_shown

from .base import Endpoint, Strict, body_of, number_of, page
from .catalog import messages_shown
from .judgment_schema import JUDGMENT
from .media import with_media


class TasksBody(Strict):
    models = serializers.ListField(child=serializers.CharField(), min_length=1)
    kind = serializers.ChoiceField(choices=TaskKind.choices, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=10_000, required=False)
    outputs_per_task = serializers.IntegerField(min_value=1, max_value=10, required=False)


Reason = body_of(reason=serializers.CharField(required=False, allow_blank=True, default="", max_length=200))


def lease_shown(request: Request, lease: services.Lease | None) -> dict | None:
    """A task as its rater gets it. It names no model."""
    if lease is None:
        return None
    task = lease.task
    project = task.project
    return {
        "id": task.pk,
        "kind": task.kind,
        "prompt": messages_shown(request, project, task.prompt.messages),
        "outputs": [
            {
                "id": output.pk,
                "text": text_shown(output, project),
                **with_media(request, project, output_media_shown(output, project)),
            }
            for output in lease.outputs
        ],
        "lease_expires_at": lease.lease_expires_at,
        "guidelines": task.project.guidelines,
        "criteria": task.project.criteria,
    }


def task_summary(task: Task) -> dict:
    return {
        "id": task.pk,
        "kind": task.kind,
        "prompt": task.prompt.text[:200],
        "judgments_wanted": task.judgments_wanted,
        "judged": task.judged,
        "priority": task.priority,
    }


def judgment_shown(judgment: Judgment) -> dict:
    """A judgment as its rater may see it again: outputs, never models."""
    return {
        "id": judgment.pk,
        "task": judgment.task_id,
        "key": judgment.key,
        "kind": judgment.kind,
        "counted": judgment.counted,
        "withdrawn": judgment.withdrawn,
        "supersedes": judgment.supersedes_id,
        "none_acceptable": judgment.none_acceptable,
        "strength": judgment.strength or None,
        "items": [
            {
                "output": item.output_id,
                "position": item.position,
                "tier": item.tier,
                "thumbs": item.thumbs,
                "scores": item.scores,
                "correction": item.correction or None,
            }
            for item in judgment.items.all()
        ],
        "flags": judgment.flags,
        "spans": spans_shown(judgment.spans, judgment.project),
        "comment": judgment.comment,
        "received_at": judgment.received_at,
    }


class Tasks(Endpoint):
    @extend_schema(summary="The project's tasks", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, selectors.tasks_of(project), task_summary)

    @extend_schema(summary="Make tasks from existing outputs", request=TasksBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, TasksBody))
        models = [model_by_name(project=project, name=name) for name in body.pop("models")]
        made = services.tasks_create(project=project, models=models, **body)
        return Response({"created": made.created, "skipped": made.skipped}, status=201)


class NextTask(Endpoint):
    @extend_schema(
        summary="The task that you hold, or the next one",
        request=None,
        parameters=[OpenApiParameter("after", int, description="Lease one more than this task (prefetch).")],
        responses={200: dict, 204: None},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, RATE)
        after = number_of(request, "after", None)
        lease = services.task_next(project=project, rater=request.user, after=after)
        return Response(lease_shown(request, lease)) if lease else Response(status=204)


class TaskEndpoint(Endpoint):
    """An endpoint of one task of a project that the caller rates in."""

    def task(self, request: Request, pk: int) -> Task:
        task = selectors.task_by_id(pk)
        if task is None:
            raise NotFound(f"There is no task {pk} that you may rate.")
        require(request.user, task.project, OWN_WORK)
        return task


class Judgments(TaskEndpoint):
    @extend_schema(summary="A task's judgments: all for an admin, else your own", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        task = self.task(request, pk)
        judgments = Judgment.objects.filter(task=task).prefetch_related("items")
        if Role.ADMIN not in roles_of(request.user, task.project):
            judgments = judgments.filter(rater=request.user)
        return page(request, judgments, judgment_shown)

    @extend_schema(
        summary="Judge a task",
        request={"application/json": JUDGMENT},
        parameters=[OpenApiParameter("next", int, description="1: answer the next task as well.")],
        responses={200: dict, 201: dict},
    )
    def post(self, request: Request, pk: int) -> Response:
        given = {"rater": request.user, "task": self.task(request, pk), "payload": request.data}
        and_next = request.query_params.get("next") == "1"
        recorded = services.judgment_record(**given, and_next=and_next)
        answer = {"id": recorded.judgment.pk, "counted": recorded.judgment.counted}
        if and_next:
            answer["next_task"] = lease_shown(request, recorded.next)
        return Response(answer, status=201 if recorded.created else 200)


class Skip(TaskEndpoint):
    @extend_schema(summary="Put a task away for good", request=Reason, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        services.task_skip(rater=request.user, task=self.task(request, pk), **self.read(request, Reason))
        return Response({"id": pk, "skipped": True})


class Release(TaskEndpoint):
    @extend_schema(summary="Give a task back for anyone", request=Reason, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        services.task_release(rater=request.user, task=self.task(request, pk), **self.read(request, Reason))
        return Response({"id": pk, "released": True})


class Undo(Endpoint):
    @extend_schema(summary="Take a judgment of yours back", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        judgment = Judgment.objects.select_related("project").filter(pk=pk, rater=request.user).first()
        if judgment is None:
            raise NotFound(f"There is no judgment {pk} of yours.")
        require(request.user, judgment.project, OWN_WORK)
        services.judgment_undo(rater=request.user, judgment=judgment)
        return Response({"id": pk, "task": judgment.task_id, "undone": True})


class History(Endpoint):
    @extend_schema(summary="Your own judgments, latest first", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, OWN_WORK)
        return page(request, selectors.history(project=project, rater=request.user), judgment_shown)


class Agreement(Endpoint):
    @extend_schema(summary="How far raters agree", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return Response(selectors.agreement(project=self.project(request, slug, READ_REPORTS)))
