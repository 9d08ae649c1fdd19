"""The search for settings on a round's page: begun, stopped, and a draft of what it picked."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page
from feedbackhub.runs.models import RunState

from . import searches, selectors
from .models import Round, SettingsSearch

NAMES = {"learning_rate": lazy("learning rate"), "beta": "β", "lora_r": lazy("rank")}
HEADS = {"learning_rate": lazy("Learning rate"), "beta": "β", "lora_r": lazy("Rank")}
METRICS = {"accuracy": lazy("Validation accuracy"), "loss": lazy("Validation loss")}


def search_context(tuning_round: Round) -> dict:
    """What rounds/_search.html shows: `search`, the latest; of a draft `search_refusal` and `search_plan`."""
    latest = searches.search_latest(tuning_round)
    context = {"search": latest and _shown(latest)}
    if tuning_round.run.state == RunState.DRAFT:
        refusal = searches.search_refusal(tuning_round)
        context |= {"search_refusal": refusal and refusal.message, "search_plan": _planned(tuning_round)}
    return context


def _planned(tuning_round: Round) -> dict:
    plan = searches.search_plan(tuning_round)
    return {**plan, "names": ", ".join(str(NAMES[name]) for name in plan["names"])}


def _shown(search: SettingsSearch) -> dict:
    """As the API tells it, with what a table needs: `heads` of the columns, and of each try its values and words."""
    shown = searches.search_shown(search)
    names = list(shown["tries"][0]["settings"]) if shown["tries"] else []
    for number, one in enumerate(shown["tries"], 1):
        one["number"] = number
        one["values"] = [f"{one['settings'][name]:g}" for name in names]
        one["label"] = RunState(one["state"]).label
    metric = METRICS.get(shown["metric"], "")
    return {**shown, "heads": [HEADS[name] for name in names], "metric": metric, "under_way": len(shown["tries"])}


@require_POST
@login_required
@project_page(ADMINISTER)
def search(request: HttpRequest, number: int) -> HttpResponse:
    tuning_round = selectors.round_get(project=request.project, number=number)
    steps = request.POST.get("steps", "").strip()
    try:
        if steps and not steps.isdecimal():
            raise DomainError(_("Steps of a try must be a whole number."))
        searches.search_create(tuning_round=tuning_round, by=request.user, **({"steps": int(steps)} if steps else {}))
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, number)


@require_POST
@login_required
@project_page(ADMINISTER)
def search_end(request: HttpRequest, number: int) -> HttpResponse:
    try:
        searches.search_stop(search=_latest(request, number))
    except DomainError as error:
        messages.error(request, error.message)
    return _back(request, number)


@require_POST
@login_required
@project_page(ADMINISTER)
def search_pick(request: HttpRequest, number: int) -> HttpResponse:
    """A new draft with the settings that were picked."""
    try:
        made = searches.search_draft(search=_latest(request, number), by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
        return _back(request, number)
    messages.success(request, _("Drafted with the settings that were found for round %(number)s.") % {"number": number})
    return redirect("rounds:round", request.project.slug, made.number)


def _latest(request: HttpRequest, number: int) -> SettingsSearch:
    found = searches.search_latest(selectors.round_get(project=request.project, number=number))
    if found is None:
        raise NotFound(_("No settings were searched for round %(number)s yet.") % {"number": number})
    return found


def _back(request: HttpRequest, number: int) -> HttpResponse:
    return redirect(reverse("rounds:round", args=[request.project.slug, number]) + "#search")
