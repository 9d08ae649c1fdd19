"""Pages of the autopilot and of promotions."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page

from . import autopilot as service
from . import selectors
from .autopilot_forms import AutopilotForm
from .models import Autopilot
from .promotion import champion, promotion_create, promotions_of

PROMOTIONS = 10  # shown, the latest


@login_required
@project_page(READ_REPORTS)
def autopilot(request: HttpRequest) -> HttpResponse:
    """What the autopilot waits for, its settings, and every decision that it has taken."""
    is_admin = Role.ADMIN in request.roles
    pilot = Autopilot.objects.filter(project=request.project).select_related("start", "changed_by").first()
    pilot = pilot or Autopilot(project=request.project)
    form = AutopilotForm(request.POST or None, pilot=pilot, champion=champion(request.project)) if is_admin else None
    if request.method == "POST" and is_admin and form.is_valid():
        try:
            saved = service.autopilot_set(project=request.project, by=request.user, **form.cleaned_data)
        except DomainError as error:
            for field, problem in (error.fields or {None: error.message}).items():
                form.add_error(field if field in form.fields else None, problem)
        else:
            messages.success(request, _("The autopilot is on.") if saved.is_on else _("The autopilot is off."))
            return redirect("rounds:autopilot", request.project.slug)
    decisions = pilot.decisions.select_related("round").order_by("-pk") if pilot.pk else []
    context = {
        "pilot": pilot,
        "standing": service.standing(pilot) if pilot.pk and pilot.is_on else None,
        "champion": champion(request.project),
        "form": form,
        "decisions": Paginator(decisions, 50).get_page(request.GET.get("page")),
        "promotions": promotions_of(request.project)[:PROMOTIONS],
    }
    return render(request, "rounds/autopilot.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def promote(request: HttpRequest, number: int) -> HttpResponse:
    """Make the round's model champion, with a reason."""
    tuning_round = selectors.round_get(project=request.project, number=number)
    if tuning_round.model is None:
        raise NotFound(_("This round has made no model yet."))
    _promoted(request, tuning_round.model)
    return redirect("rounds:round", request.project.slug, number)


@require_POST
@login_required
@project_page(ADMINISTER)
def promote_model(request: HttpRequest) -> HttpResponse:
    """Make the model that is named champion, with a reason; back to its A/B report."""
    model = model_by_name(project=request.project, name=request.POST.get("model", ""))
    _promoted(request, model)
    names = {"a": model.name, "b": request.POST.get("against", "")}
    return redirect(f"{reverse('leaderboard:ab', args=[request.project.slug])}?{urlencode(names)}")


def _promoted(request: HttpRequest, model: ModelVersion) -> None:
    """Do it, or say why not."""
    try:
        promotion_create(project=request.project, model=model, by=request.user, reason=request.POST.get("reason", ""))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("%(model)s is champion now.") % {"model": model.name})
