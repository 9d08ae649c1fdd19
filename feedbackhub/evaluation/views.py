from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Project, Role
from feedbackhub.projects.pages import project_page

from . import selectors, services
from .models import Evaluation, Suite


class EvaluationForm(forms.Form):
    suite = forms.ChoiceField(choices=Suite.choices, label=_("Suite"))
    models = forms.ModelMultipleChoiceField(
        queryset=ModelVersion.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        label=_("Models"),
        help_text=_("All are measured on the same prompts. A tuned model is measured on held-out prompts only."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["models"].queryset = models_of(project).filter(role=ModelVersion.Purpose.POLICY)


@login_required
@project_page(READ_REPORTS)
def evaluation_list(request: HttpRequest) -> HttpResponse:
    evaluations = Paginator(selectors.evaluations_of(request.project), 20).get_page(request.GET.get("page"))
    context = {"evaluations": evaluations, "is_admin": Role.ADMIN in request.roles}
    if context["is_admin"]:
        context["form"] = EvaluationForm(project=request.project, initial={"models": request.GET.getlist("model")})
    return render(request, "evaluation/evaluations.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def evaluation_new(request: HttpRequest) -> HttpResponse:
    form = EvaluationForm(request.POST, project=request.project)
    if form.is_valid():
        try:
            evaluation = services.evaluation_create(
                project=request.project,
                models=list(form.cleaned_data["models"]),
                suite=form.cleaned_data["suite"],
                by=request.user,
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect("evaluation:evaluation", request.project.slug, evaluation.pk)
    evaluations = Paginator(selectors.evaluations_of(request.project), 20).get_page(1)
    context = {"evaluations": evaluations, "is_admin": True, "form": form}
    return render(request, "evaluation/evaluations.html", context, status=400)


@login_required
@project_page(READ_REPORTS)
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """The models side by side; the page asks again until the evaluation has ended."""
    found = selectors.evaluation_get(project=request.project, pk=pk)
    table = selectors.comparison_table(found)
    context = {
        "evaluation": found,
        "table": table,
        "parts": list(found.parts.select_related("run", "model").order_by("pk")),
        "active": found.status in (Evaluation.Status.PENDING, Evaluation.Status.RUNNING),
        "is_admin": Role.ADMIN in request.roles,
    }
    return render(request, "evaluation/evaluation.html" + ("#results" if request.htmx else ""), context)


@require_POST
@login_required
@project_page(ADMINISTER)
def evaluation_action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """stop or resume."""
    actions = {"stop": services.evaluation_stop, "resume": services.evaluation_resume}
    try:
        actions[action](evaluation=selectors.evaluation_get(project=request.project, pk=pk))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("evaluation:evaluation", request.project.slug, pk)
