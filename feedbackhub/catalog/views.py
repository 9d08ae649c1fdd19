"""Pages of prompts and model versions. Those of generations are in generation_views.py."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.streaming import streamed
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page

from . import selectors
from .export_views import exports_shown
from .forms import ModelForm, PromptFilterForm
from .media import media_shown
from .models import ModelVersion, Output
from .services import model_create
from .weight_files import weights_archive, weights_folder

PROMPTS_A_PAGE = 50
MODELS_A_PAGE = 100
OUTPUTS_SHOWN = 5


@login_required
@project_page(ADMINISTER)
def prompt_list(request: HttpRequest) -> HttpResponse:
    """The project's prompts, filtered by the query string; htmx takes the results only."""
    form = PromptFilterForm(request.GET, categories=selectors.categories_of(request.project))
    prompts = selectors.prompts_of(request.project, **form.query())
    context = {
        "form": form,
        "page": Paginator(prompts, PROMPTS_A_PAGE).get_page(request.GET.get("page")),
        "splits": selectors.split_counts(request.project),
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "catalog/prompts.html" + ("#results" if request.htmx else ""), context)


@login_required
@project_page(ADMINISTER)
def prompt(request: HttpRequest, pk: int) -> HttpResponse:
    """A prompt, its references, and its outputs side by side."""
    found = request.project.prompts.filter(pk=pk).first()
    if found is None:
        raise NotFound(_('There is no prompt %(pk)s in "%(project)s".') % {"pk": pk, "project": request.project.slug})
    neighbours = request.project.prompts.only("pk")
    outputs = list(selectors.outputs_of(found))
    context = {
        "prompt": found,
        "turns": [{**message, "media": media_shown(message["content"], request.project)} for message in found.messages],
        "outputs": _with_media(request, outputs),
        "previous": neighbours.filter(pk__lt=pk).order_by("-pk").first(),
        "next": neighbours.filter(pk__gt=pk).order_by("pk").first(),
    }
    return render(request, "catalog/prompt.html", context)


def _with_media(request: HttpRequest, outputs: list[Output]) -> list[Output]:
    for output in outputs:
        output.media = media_shown(output.parts, request.project)
    return outputs


@login_required
@project_page(ADMINISTER)
def model_list(request: HttpRequest) -> HttpResponse:
    models = selectors.models_with_outputs(request.project)
    page = Paginator(models, MODELS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "catalog/models.html", {"page": page})


@login_required
@project_page(ADMINISTER)
def model_new(request: HttpRequest) -> HttpResponse:
    form = ModelForm(request.POST or None, initial={"kind": "local"})
    if request.method == "POST" and form.is_valid():
        try:
            model = model_create(project=request.project, **form.service_arguments())
        except DomainError as error:
            for field, problem in (error.fields or {"": error.message}).items():
                form.add_error(field if field in form.fields else None, problem)
        else:
            messages.success(request, _("%(name)s is registered.") % {"name": model.name})
            return redirect("catalog:model", request.project.slug, model.pk)
    return render(request, "catalog/model_new.html", {"form": form}, status=400 if form.errors else 200)


@login_required
@project_page(ADMINISTER)
def model(request: HttpRequest, pk: int) -> HttpResponse:
    """What a model version is made of, and some of its outputs."""
    found = selectors.model_get(project=request.project, pk=pk)
    outputs = found.outputs.filter(prompt__project=request.project).select_related("prompt").order_by("-pk")
    context = {
        "model": found,
        "outputs": _with_media(request, list(outputs[:OUTPUTS_SHOWN])),
        "children": selectors.models_of(request.project).filter(parent=found),
        "weights": weights_folder(found),
        **exports_shown(request.project, found),
    }
    return render(request, "catalog/model.html", context)


@require_safe
@login_required
@project_page(ADMINISTER)
def model_weights(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """What was tuned here, with its card, as a ZIP file."""
    return weights_response(request, selectors.model_get(project=request.project, pk=pk))


def weights_response(request: HttpRequest, model: ModelVersion) -> StreamingHttpResponse:
    """The ZIP file, sent while it is made. Raises NotFound where nothing was tuned here."""
    name, chunks = weights_archive(model)
    answer = streamed(request, chunks, content_type="application/zip")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
