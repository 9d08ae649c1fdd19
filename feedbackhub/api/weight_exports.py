"""Models that were tuned here in one piece: merged weights and GGUF files, made by runs."""

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog import weight_exports
from feedbackhub.catalog.export_views import export_response
from feedbackhub.catalog.models import WeightExport
from feedbackhub.catalog.services import model_by_name
from feedbackhub.projects.access import ADMINISTER

from .base import Endpoint, body_of, page

ExportBody = body_of(model=serializers.CharField(), format=serializers.ChoiceField(choices=WeightExport.Format.choices))


def export_shown(export: WeightExport) -> dict:
    run, result = export.run, export.run.result or {}
    return {
        "id": export.pk,
        "model": export.model.name,
        "format": export.format,
        "state": run.state,
        "progress": run.progress,
        "error": {"kind": run.error_kind, "message": run.error_message} if run.error_kind else None,
        "bytes": result.get("bytes"),
        "sha256": result.get("sha256"),
        "created_at": export.created_at,
        "finished_at": run.finished_at,
    }


class WeightExports(Endpoint):
    @extend_schema(
        summary="Merged weights and GGUF files, made or being made",
        parameters=[OpenApiParameter("model", str, description="of the model version of this name")],
        responses=dict,
    )
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        exports = weight_exports.exports_of(project)
        if name := request.query_params.get("model"):
            exports = exports.filter(model=model_by_name(project=project, name=name))
        return page(request, exports, export_shown)

    @extend_schema(
        summary="Make merged weights or a GGUF file of a model that was tuned here",
        request=ExportBody,
        responses={202: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = self.read(request, ExportBody)
        model = model_by_name(project=project, name=body["model"])
        export = weight_exports.export_make(project=project, model=model, format=body["format"], by=request.user)
        return Response(export_shown(export), status=202)


class WeightExportDetail(Endpoint):
    @extend_schema(summary="How far merged weights or a GGUF file are", responses=dict)
    def get(self, request: Request, slug: str, pk: int) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return Response(export_shown(weight_exports.export_get(project=project, pk=pk)))

    @extend_schema(summary="Remove merged weights or a GGUF file from the disk", responses={204: None})
    def delete(self, request: Request, slug: str, pk: int) -> Response:
        project = self.project(request, slug, ADMINISTER)
        weight_exports.export_remove(export=weight_exports.export_get(project=project, pk=pk))
        return Response(status=204)


class WeightExportStop(Endpoint):
    @extend_schema(summary="Stop the making of merged weights or a GGUF file", request=None, responses={202: dict})
    def post(self, request: Request, slug: str, pk: int) -> Response:
        project = self.project(request, slug, ADMINISTER)
        export = weight_exports.export_get(project=project, pk=pk)
        weight_exports.export_stop(export=export)
        return Response(export_shown(export), status=202)


class WeightExportFile(Endpoint):
    @extend_schema(
        summary="What was made: a ZIP file of the merged weights, or the GGUF file",
        responses={(200, "application/zip"): bytes, (200, "application/octet-stream"): bytes},
    )
    def get(self, request: Request, slug: str, pk: int) -> StreamingHttpResponse:
        project = self.project(request, slug, ADMINISTER)
        return export_response(request._request, weight_exports.export_get(project=project, pk=pk))
