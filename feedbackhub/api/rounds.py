from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS, require
from feedbackhub.rounds import selectors, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.exports import dataset_export
from feedbackhub.rounds.models import PreferenceDataset, Round
from feedbackhub.rounds.presets import NAMES as PRESETS
from feedbackhub.rounds.presets import preset_get
from feedbackhub.rounds.recipes import recipe_check
from feedbackhub.runs.models import RunEvent
from feedbackhub.runs.selectors import EVENTS_AT_MOST, events_after

from .base import Endpoint, Strict, number_of, page

EVENTS_A_PAGE = 500


class DatasetBody(Strict):
    kind = serializers.CharField()
    filters = serializers.DictField(required=False, default=dict)


class MixtureBody(Strict):
    dataset = serializers.IntegerField()
    weight = serializers.FloatField()


class RoundBody(Strict):
    recipe = serializers.CharField()
    base_model = serializers.CharField()
    dataset = serializers.IntegerField(required=False, help_text="Or a mixture.")
    mixture = MixtureBody(many=True, required=False, help_text="For sft: several datasets, each with its weight.")
    reward_model = serializers.CharField(required=False)
    audit_model = serializers.CharField(
        required=False,
        help_text="For grpo, rloo, ppo: a second reward model that looks on.",
    )
    settings = serializers.DictField(required=False, default=dict)
    preset = serializers.ChoiceField(PRESETS, required=False, help_text="What settings leaves open is taken from it.")


class LaunchBody(Strict):
    anyway = serializers.BooleanField(required=False, default=False, help_text="Although a test prompt is trained on.")


def dataset_shown(dataset: PreferenceDataset) -> dict:
    return {
        "id": dataset.pk,
        "kind": dataset.kind,
        "hash": dataset.content_hash,
        "filters": dataset.filters,
        "counts": dataset.counts,
        "excluded": dataset.excluded,
        "created_at": dataset.created_at,
    }


def round_shown(tuning_round: Round) -> dict:
    run = tuning_round.run
    shown = {
        "id": tuning_round.pk,
        "number": tuning_round.number,
        "recipe": tuning_round.recipe,
        "base_model": tuning_round.base_model.name,
        "dataset": tuning_round.dataset_id,
        "settings": tuning_round.settings,
        "state": run.state,
        "progress": run.progress,
        "attempts": run.attempts,
        "follow_ups": [
            {"step": step.step, "status": step.status, "message": step.message}
            for step in tuning_round.follow_ups.order_by("pk")
        ],
    }
    if parts := tuning_round.parts.all():
        shown["mixture"] = [{"dataset": part.dataset_id, "weight": part.weight} for part in parts]
    if tuning_round.reward_model_id:
        shown["reward_model"] = tuning_round.reward_model.name
    if tuning_round.audit_model_id:
        shown["audit_model"] = tuning_round.audit_model.name
    if run.error_message:
        shown["error"] = {"kind": run.error_kind, "message": run.error_message}
    if run.result:
        shown["result"] = run.result
    if tuning_round.model_id:
        shown["model"] = tuning_round.model.name
    return shown


def event_shown(event: RunEvent) -> dict:
    return {"id": event.pk, "t": event.t, "type": event.type, **event.data}


class Datasets(Endpoint):
    @extend_schema(summary="The project's frozen datasets", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, selectors.datasets_of(project), dataset_shown)

    @extend_schema(summary="Freeze the judgments in force into a dataset", request=DatasetBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        dataset = dataset_freeze(project=project, by=request.user, **self.read(request, DatasetBody))
        return Response(dataset_shown(dataset), status=201)


class DatasetEndpoint(Endpoint):
    def dataset(self, request: Request, pk: int) -> PreferenceDataset:
        dataset = PreferenceDataset.objects.select_related("project").filter(pk=pk).first()
        if dataset is None:
            raise NotFound(f"There is no dataset {pk} that you may see.")
        require(request.user, dataset.project, ADMINISTER)
        return dataset


class DatasetDetail(DatasetEndpoint):
    @extend_schema(summary="A frozen dataset", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        return Response(dataset_shown(self.dataset(request, pk)))


class DatasetExport(DatasetEndpoint):
    @extend_schema(
        summary="A dataset's rows in a trainer's format",
        parameters=[
            OpenApiParameter("format", str, description="trl, openai-sft, openai-preference, hh, alpaca, csv, parquet")
        ],
        responses=bytes,
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        dataset = self.dataset(request, pk)
        content_type, filename, content = dataset_export(
            dataset=dataset, format=request.query_params.get("format", "trl")
        )
        answer = StreamingHttpResponse(content, content_type=content_type)
        answer["Content-Disposition"] = f'attachment; filename="{filename}"'
        return answer


class Rounds(Endpoint):
    @extend_schema(summary="The project's tuning rounds", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, selectors.rounds_of(project), round_shown)

    @extend_schema(summary="Draft a tuning round", request=RoundBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, RoundBody))
        for name in ("base_model", "reward_model", "audit_model"):
            if name in body:
                body[name] = model_by_name(project=project, name=body[name])
        if ("dataset" in body) == bool(body.get("mixture")):
            message = "name a dataset, or for sft a mixture of several, and not both."
            raise DomainError(message, fields={"dataset": message})
        if "dataset" in body:
            body["dataset"] = selectors.dataset_get(project=project, pk=body["dataset"])
        body["mixture"] = [
            (selectors.dataset_get(project=project, pk=part["dataset"]), part["weight"])
            for part in body.get("mixture", ())
        ]
        if preset := body.pop("preset", None):
            recipe_check(body["recipe"])
            body["settings"] = {**preset_get(body["recipe"], preset).settings, **body["settings"]}
        tuning_round = services.round_create(project=project, by=request.user, **body)
        return Response(round_shown(tuning_round), status=201)


class RoundEndpoint(Endpoint):
    def round(self, request: Request, pk: int, allowed: frozenset[str]) -> Round:
        with_it = ("project", "run", "model", "base_model", "reward_model", "audit_model")
        found = Round.objects.select_related(*with_it).filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no round {pk} that you may see.")
        require(request.user, found.project, allowed)
        return found


class RoundDetail(RoundEndpoint):
    @extend_schema(summary="A round's state, progress and result", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        return Response(round_shown(self.round(request, pk, READ_REPORTS)))


class RoundAction(RoundEndpoint):
    """launch, stop or resume: 202, since each only asks."""

    action: str = ""

    @extend_schema(summary="Launch, stop or resume a round", request=None, responses={202: dict})
    def post(self, request: Request, pk: int) -> Response:
        tuning_round = self.round(request, pk, ADMINISTER)
        given = self.read(request, LaunchBody) if self.action == "launch" else {}
        getattr(services, f"round_{self.action}")(tuning_round=tuning_round, **given)
        return Response(round_shown(self.round(request, pk, ADMINISTER)), status=202)


class RoundEvents(RoundEndpoint):
    @extend_schema(
        summary="A round's events in order",
        parameters=[OpenApiParameter("after", int, description="The id of the last event that you have.")],
        responses=dict,
    )
    def get(self, request: Request, pk: int) -> Response:
        run = self.round(request, pk, READ_REPORTS).run
        limit = number_of(request, "limit", EVENTS_A_PAGE, minimum=1, maximum=EVENTS_AT_MOST - 1)
        events = list(events_after(run, number_of(request, "after", None), limit + 1))
        following = None
        if len(events) > limit:
            events = events[:limit]
            query = request.query_params.copy()
            query["after"] = events[-1].pk
            following = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
        return Response({"results": [event_shown(event) for event in events], "next": following})
