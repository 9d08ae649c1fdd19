"""The page that says how well the rating goes."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page

from . import quality as service
from .models import Task
from .selectors import agreement

NAMES = {
    "percent": (lazy("Percent agreement"), lazy("of pairs of raters on the same item")),
    "krippendorff_alpha": (lazy("Krippendorff’s α"), lazy("1 is perfect, 0 is chance")),
    "gwet_ac1": (lazy("Gwet’s AC1"), lazy("steady where one label prevails")),
    "cohen_kappa": (lazy("Cohen’s κ"), lazy("the mean over pairs of raters")),
    "fleiss_kappa": (lazy("Fleiss’ κ"), lazy("over items with equally many judgments")),
}


@login_required
@project_page(ADMINISTER)
def quality(request: HttpRequest) -> HttpResponse:
    found = agreement(request.project)
    habits = service.habits(request.project)
    with_others = {rater["rater"]: rater for rater in found["raters"]}
    context = {
        "statistics": [
            {**one, "label": NAMES[one["name"]][0], "note": NAMES[one["name"]][1]} for one in found["statistics"]
        ],
        "items": found["items"],
        "judgments": found["judgments"],
        "raters": [(one, with_others.get(one.rater.username)) for one in habits],
        "first": service.first_shown(habits),
        "disagreements": service.disagreements(request.project),
    }
    return render(request, "rating/quality.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def ask_again(request: HttpRequest, pk: int) -> HttpResponse:
    task = Task.objects.filter(pk=pk, project=request.project).first()
    if task is None:
        raise NotFound(f"There is no task {pk} in this project.")
    try:
        task = service.task_ask_again(task=task)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        given = {"task": pk, "wanted": task.judgments_wanted}
        messages.success(request, _("Task %(task)s now wants %(wanted)s judgments; it comes before others.") % given)
    return redirect("rating:quality", request.project.slug)
