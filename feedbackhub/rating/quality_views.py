"""The page that says how well the rating goes, and what a person decides there."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.models import Project, Role
from feedbackhub.projects.pages import project_page

from . import decisions, quality_report, quality_signals
from . import quality as service
from .models import Judgment, RaterDecision, Task

NAMES = {
    "percent": (gettext_lazy("Percent agreement"), gettext_lazy("of pairs of raters on the same item")),
    "krippendorff_alpha": (gettext_lazy("Krippendorff’s α"), gettext_lazy("1 is perfect, 0 is chance")),
    "gwet_ac1": (gettext_lazy("Gwet’s AC1"), gettext_lazy("steady where one label prevails")),
    "cohen_kappa": (gettext_lazy("Cohen’s κ"), gettext_lazy("the mean over pairs of raters")),
    "fleiss_kappa": (gettext_lazy("Fleiss’ κ"), gettext_lazy("over items with equally many judgments")),
}
DECISIONS_SHOWN = 50


@login_required
@project_page(ADMINISTER)
def quality(request: HttpRequest) -> HttpResponse:
    """`?anew=1` computes everything from the judgments as they are now."""
    found = quality_report.report(request.project, anew=request.GET.get("anew") == "1")
    if request.GET.get("anew") == "1":
        return redirect("rating:quality", request.project.slug)
    with_others = {rater["rater"]: rater for rater in found.agreement["raters"]}
    log = decisions.decisions_of(request.project)
    standing = decisions.standing(request.project)
    context = {
        "report": found,
        "newer": Judgment.objects.filter(project=request.project, pk__gt=found.last).count() if found.is_kept else 0,
        "statistics": [
            {**one, "label": NAMES[one["name"]][0], "note": NAMES[one["name"]][1]}
            for one in found.agreement["statistics"]
        ],
        "items": found.agreement["items"],
        "judgments": found.agreement["judgments"],
        "raters": [(one, with_others.get(one.rater.username), standing.get(one.rater.pk, [])) for one in found.habits],
        "first": service.first_shown(found.habits),
        "disagreements": service.disagreements(request.project, found.split),
        "proposals": quality_signals.proposals(request.project, found),
        "decisions": log[:DECISIONS_SHOWN],
        "members": _raters(request.project),
    }
    return render(request, "rating/quality.html", context)


def _raters(project: Project) -> list[User]:
    of_project = User.objects.filter(memberships__project=project, memberships__role__in=(Role.RATER, Role.ADMIN))
    return list(of_project.distinct().order_by("username"))


@require_POST
@login_required
@project_page(ADMINISTER)
def ask_again(request: HttpRequest, pk: int) -> HttpResponse:
    task = Task.objects.filter(pk=pk, project=request.project).first()
    if task is None:
        raise NotFound(_("There is no task %(pk)s in this project.") % {"pk": pk})
    try:
        task = service.task_ask_again(task=task)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        given = {"task": pk, "wanted": task.judgments_wanted}
        messages.success(request, _("Task %(task)s now wants %(wanted)s judgments; it comes before others.") % given)
    return redirect("rating:quality", request.project.slug)


@require_POST
@login_required
@project_page(ADMINISTER)
def decide(request: HttpRequest) -> HttpResponse:
    """Suspend, weigh or dismiss, as the form says."""
    given = request.POST
    username = given.get("rater", "").replace("\x00", "")
    rater = User.objects.filter(username=username, memberships__project=request.project).first()
    if rater is None:
        raise NotFound(_("There is no such rater in this project."))
    action = given.get("action", "")
    try:
        decisions.rater_decide(
            project=request.project,
            rater=rater,
            action=action,
            by=request.user,
            reason=given.get("reason", ""),
            weight=_number(given.get("weight", "")) if action == decisions.Action.WEIGH else None,
            signals=[kind for kind in given.get("signals", "").split(",") if kind.isidentifier()],
            because=given.get("because", "")[:4000],
        )
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, DONE[action] % {"rater": rater.username})
    return redirect("rating:quality", request.project.slug)


DONE = {
    "suspend": gettext_lazy("%(rater)s gets no new tasks now, and is told why. What they said stays."),
    "weigh": gettext_lazy("%(rater)s’s votes have their weight wherever a dataset is frozen from now on."),
    "dismiss": gettext_lazy("Dismissed. What was seen of %(rater)s is shown again after 100 more judgments."),
}


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


@require_POST
@login_required
@project_page(ADMINISTER)
def decision_undo(request: HttpRequest, pk: int) -> HttpResponse:
    decision = RaterDecision.objects.filter(pk=pk, project=request.project).first()
    if decision is None:
        raise NotFound(_("There is no such decision in this project."))
    try:
        decisions.decision_undo(decision=decision, by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("Taken back. Both stand in the log."))
    return redirect("rating:quality", request.project.slug)
