from functools import partial

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog import generations
from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.media import media_shown
from feedbackhub.catalog.models import Generation, ModelVersion, Output, Prompt, Split
from feedbackhub.catalog.selectors import models_of, prompts_by_id
from feedbackhub.catalog.services import model_by_name, model_create
from feedbackhub.catalog.views import weights_response
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.json_reading import json_read
from feedbackhub.imports.models import Import
from feedbackhub.imports.services import import_create
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS, require
from feedbackhub.projects.models import Project

from .base import Endpoint, Strict, page
from .media import with_media

REJECTIONS_SHOWN = 1000


class ModelBody(Strict):
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices)
    base = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    adapter = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    endpoint = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    decoding = serializers.DictField(required=False, default=dict)


class GenerationBody(Strict):
    models = serializers.ListField(child=serializers.CharField(), min_length=1)
    split = serializers.ChoiceField(choices=Split.choices, required=False)
    prompts = serializers.ListField(child=serializers.IntegerField(), min_length=1, required=False)
    limit = serializers.IntegerField(min_value=1, required=False)
    n = serializers.IntegerField(min_value=1, max_value=16, required=False, default=1)


class ImportBody(Strict):
    file = serializers.FileField(allow_empty_file=True)
    kind = serializers.CharField()
    map = serializers.CharField(required=False, allow_blank=True, default="")
    template = serializers.CharField(required=False, allow_blank=True, default="", trim_whitespace=False)


def model_shown(model: ModelVersion) -> dict:
    return {
        "name": model.name,
        "kind": model.kind,
        "role": model.role,
        "base": model.base,
        "adapter": model.adapter or None,
        "endpoint": model.endpoint or None,
        "decoding": model.decoding,
        "parent": model.parent.name if model.parent_id else None,
        "site_wide": model.project_id is None,
    }


def messages_shown(request: Request, project: Project, messages: list[dict]) -> list[dict]:
    """[{role, content, media?}]"""
    return [
        {
            "role": turn["role"],
            "content": text_of(turn["content"]),
            **with_media(request, project, media_shown(turn["content"], project)),
        }
        for turn in messages
    ]


def prompt_shown(request: Request, project: Project, prompt: Prompt) -> dict:
    return {
        "id": prompt.pk,
        "messages": messages_shown(request, project, prompt.messages),
        "references": prompt.references,
        "category": prompt.category,
        "split": prompt.split,
        "external_id": prompt.external_id or None,
    }


def output_shown(request: Request, project: Project, output: Output) -> dict:
    return {
        "id": output.pk,
        "prompt": output.prompt_id,
        "model": output.model.name if output.model else None,
        "text": output.text,
        **with_media(request, project, media_shown(output.parts, project)),
        "reveals_identity": output.reveals_identity,
    }


def generation_shown(generation: Generation) -> dict:
    return {
        "id": generation.pk,
        "status": generation.status,
        "error": generation.error or None,
        "prompts": len(generation.prompts),
        **generations.generation_progress(generation),
    }


def import_shown(report: Import) -> dict:
    rejections = report.rejections.order_by("line")[:REJECTIONS_SHOWN]
    return {
        "id": report.pk,
        "kind": report.kind,
        "filename": report.filename,
        "status": report.status,
        "error": report.error or None,
        "read": report.read,
        "created": report.created,
        "rejected": [{"line": rejection.line, "error": rejection.error} for rejection in rejections],
        "rejected_count": report.rejected_count,
    }


class Models(Endpoint):
    @extend_schema(summary="The project's model versions, and the site-wide ones", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return page(request, models_of(project).select_related("parent"), model_shown)

    @extend_schema(summary="Register a model version", request=ModelBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return Response(model_shown(model_create(project=project, **self.read(request, ModelBody))), status=201)


class ModelWeights(Endpoint):
    @extend_schema(
        summary="What was tuned here, as a ZIP file: adapter or whole model, with its card",
        parameters=[OpenApiParameter("model", str, required=True, description="the model version's name")],
        responses={(200, "application/zip"): bytes},
    )
    def get(self, request: Request, slug: str) -> StreamingHttpResponse:
        project = self.project(request, slug, ADMINISTER)
        model = model_by_name(project=project, name=request.query_params.get("model", ""))
        return weights_response(request._request, model)


class Prompts(Endpoint):
    @extend_schema(summary="The project's prompts", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(
            request, Prompt.objects.filter(project=project), partial(prompt_shown, request, project), descending=False
        )


class Outputs(Endpoint):
    @extend_schema(summary="The project's outputs", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        outputs = Output.objects.filter(prompt__project=project).select_related("model")
        return page(request, outputs, partial(output_shown, request, project), descending=False)


class Generations(Endpoint):
    @extend_schema(summary="The project's generations", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, Generation.objects.filter(project=project), generation_shown)

    @extend_schema(summary="Let models answer prompts", request=GenerationBody, responses={202: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, GenerationBody))
        body["models"] = [model_by_name(project=project, name=name) for name in body["models"]]
        if "prompts" in body:
            body["prompts"] = prompts_by_id(project=project, ids=body["prompts"])
        generation = generations.generation_create(project=project, by=request.user, **body)
        return Response({"id": generation.pk}, status=202)


class GenerationDetail(Endpoint):
    @extend_schema(summary="How far a generation is", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        generation = Generation.objects.select_related("project").filter(pk=pk).first()
        if generation is None:
            raise NotFound(f"There is no generation {pk} that you may see.")
        require(request.user, generation.project, ADMINISTER)
        return Response(generation_shown(generation))


class Imports(Endpoint):
    parser_classes = [MultiPartParser, FormParser]

    @extend_schema(summary="The project's imports", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, Import.objects.filter(project=project), import_shown)

    @extend_schema(
        summary="Import a file of prompts, outputs, votes or preferences", request=ImportBody, responses={202: dict}
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        given = ImportBody(data={name: request.data[name] for name in request.data})
        given.is_valid(raise_exception=True)
        body = given.validated_data
        report = import_create(
            project=project,
            by=request.user,
            kind=body["kind"],
            file=body["file"],
            filename=body["file"].name,
            field_map=self._map(body["map"]),
            template=body["template"],
        )
        return Response({"id": report.pk}, status=202)

    def _map(self, text: str) -> dict:
        try:
            return json_read(text) if text else {}
        except ValueError as error:
            message = f"map is not JSON: {error}"
            raise DomainError(message, fields={"map": message}) from error


class ImportDetail(Endpoint):
    @extend_schema(summary="What became of an import's lines", responses=dict)
    def get(self, request: Request, pk: int) -> Response:
        report = Import.objects.select_related("project").filter(pk=pk).first()
        if report is None:
            raise NotFound(f"There is no import {pk} that you may see.")
        require(request.user, report.project, ADMINISTER)
        return Response(import_shown(report))
