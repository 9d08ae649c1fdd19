"""Pages of generations: ask models for answers, watch them answer."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.models import Project
from feedbackhub.projects.pages import project_page
from feedbackhub.runs.selectors import log_tail

from . import generations
from .forms import ModelsField
from .models import Generation, ModelVersion, Split
from .selectors import models_of

LOG_LINES = 60


class GenerationForm(forms.Form):
    models = ModelsField(
        label=_("Models"),
        help_text=_("Each answers in a run of its own, one after the other on one machine."),
    )
    split = forms.ChoiceField(
        choices=[("", _("All")), *Split.choices],
        required=False,
        label=_("Split"),
        help_text=_("Which prompts are answered."),
    )
    limit = forms.IntegerField(
        min_value=1, required=False, label=_("Limit"), help_text=_("At most so many prompts; empty: all of them.")
    )
    n = forms.IntegerField(
        min_value=1,
        max_value=generations.ANSWERS_AT_MOST,
        initial=1,
        label=_("Answers a prompt"),
        help_text=_("More than one are sampled, at temperature 1 where the model has none of its own."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        kinds = (ModelVersion.Kind.LOCAL, ModelVersion.Kind.HUB, ModelVersion.Kind.OPENAI)
        able = models_of(project).filter(kind__in=kinds, role=ModelVersion.Purpose.POLICY)
        self.fields["models"].queryset = able


@login_required
@project_page(ADMINISTER)
def generation_list(request: HttpRequest) -> HttpResponse:
    """The form, and what was asked for before."""
    form = GenerationForm(
        request.POST or None, project=request.project, initial={"models": request.GET.getlist("model")}
    )
    if request.method == "POST" and form.is_valid():
        try:
            generation = generations.generation_create(
                project=request.project,
                models=list(form.cleaned_data["models"]),
                split=form.cleaned_data["split"] or None,
                limit=form.cleaned_data["limit"],
                n=form.cleaned_data["n"],
                by=request.user,
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect("catalog:generation", request.project.slug, generation.pk)
    asked = Generation.objects.filter(project=request.project).order_by("-pk").prefetch_related("parts__model")
    page = Paginator(asked, 20).get_page(request.GET.get("page"))
    prompts = request.project.prompts.count()
    context = {"form": form, "generations": page, "prompts": prompts}
    return render(request, "catalog/generations.html", context)


@login_required
@project_page(ADMINISTER)
def generation(request: HttpRequest, pk: int) -> HttpResponse:
    """How far each model is; the page asks again for its progress until the generation has ended."""
    found = _generation(request, pk)
    parts = list(found.parts.select_related("run", "model").order_by("pk"))
    template = "catalog/generation.html" + ("#progress" if request.htmx else "")
    context = {
        "generation": found,
        "progress": generations.generation_progress(found),
        "parts": parts,
        "logs": [(part.model.name, log_tail(part.run, LOG_LINES)) for part in parts],
        "active": found.status in (Generation.Status.PENDING, Generation.Status.RUNNING),
    }
    return render(request, template, context)


@require_POST
@login_required
@project_page(ADMINISTER)
def generation_action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """stop or resume."""
    actions = {"stop": generations.generation_stop, "resume": generations.generation_resume}
    try:
        actions[action](generation=_generation(request, pk))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("catalog:generation", request.project.slug, pk)


def _generation(request: HttpRequest, pk: int) -> Generation:
    found = Generation.objects.filter(project=request.project, pk=pk).first()
    if found is None:
        raise NotFound(
            _('There is no generation %(pk)s in "%(project)s".') % {"pk": pk, "project": request.project.slug}
        )
    return found
