"""What a model version's page offers beside its weights as they are: merged ones, and a GGUF file."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from feedbackhub.core.errors import DomainError
from feedbackhub.core.streaming import streamed
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.models import Project
from feedbackhub.projects.pages import project_page
from feedbackhub.runs.models import ACTIVE

from . import weight_exports
from .models import ModelVersion, WeightExport
from .selectors import model_get


def exports_shown(project: Project, model: ModelVersion) -> dict:
    """`exports`, [{format, label, export, active}] of what can be made, and whether any is being made."""
    known = {export.format: export for export in weight_exports.exports_of(project).filter(model=model)}
    offered = [
        {
            "format": format,
            "label": WeightExport.Format(format).label,
            "export": (export := known.get(format)),
            "active": export is not None and export.run.state in ACTIVE,
        }
        for format in weight_exports.formats_of(model)
    ]
    return {"exports": offered, "exports_active": any(one["active"] for one in offered)}


@require_safe
@login_required
@project_page(ADMINISTER)
def exports(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the model's page that asks again while something is made."""
    model = model_get(project=request.project, pk=pk)
    if not request.htmx:
        return redirect("catalog:model", request.project.slug, pk)
    return render(request, "catalog/model.html#exports", {"model": model, **exports_shown(request.project, model)})


@require_POST
@login_required
@project_page(ADMINISTER)
def export_make(request: HttpRequest, pk: int, format: str) -> HttpResponse:
    model = model_get(project=request.project, pk=pk)
    try:
        weight_exports.export_make(project=request.project, model=model, format=format, by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, pk)


@require_POST
@login_required
@project_page(ADMINISTER)
def export_action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """stop or remove."""
    actions = {"stop": weight_exports.export_stop, "remove": weight_exports.export_remove}
    export = weight_exports.export_get(project=request.project, pk=pk)
    try:
        actions[action](export=export)
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, export.model_id)


@require_safe
@login_required
@project_page(ADMINISTER)
def export_file(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    return export_response(request, weight_exports.export_get(project=request.project, pk=pk))


def export_response(request: HttpRequest, export: WeightExport) -> StreamingHttpResponse:
    """The merged folder as a ZIP file, or the GGUF file. Raises NotFound where it is not there."""
    name, kind, size, chunks = weight_exports.export_download(export)
    answer = streamed(request, chunks, content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if size is not None:
        answer.headers["Content-Length"] = str(size)
    return answer


def _back(request: HttpRequest, model: int) -> HttpResponse:
    address = redirect("catalog:model", request.project.slug, model)
    address["Location"] += "#weights-title"
    return address
