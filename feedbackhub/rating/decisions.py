"""What a person decides about a rater: suspend, weigh, or let a signal be. Logged, told, and undoable."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Membership, Project, Role
from feedbackhub.projects.services import member_suspend

from .leases import NOBODYS
from .models import Assignment, RaterDecision
from .selectors import judgments_in_force

Action = RaterDecision.Action
REASON_AT_MOST = 1000


@transaction.atomic
def rater_decide(
    *,
    project: Project,
    rater: User,
    action: str,
    by: User,
    reason: str,
    weight: float | None = None,
    signals: list[str] | None = None,
    because: str = "",
) -> RaterDecision:
    """Suspend or weigh a rater, or dismiss `signals`. What they have said stays as it is.

    A suspended rater's held tasks go back to the others; what they send of these all the same is kept. `weight`: from 0
    to 1. `because`: the signals in words. Raises DomainError: an unknown action, no reason, a weight that is none,
    somebody who rates nothing here, an admin, or a suspension of one who is suspended.
    """
    _check(project, rater, action, reason, weight)
    if action == Action.SUSPEND:
        if in_force(project).filter(rater=rater, action=Action.SUSPEND).exists():
            raise DomainError(_("%(rater)s is suspended already.") % {"rater": rater.username}, status=409)
        member_suspend(project=project, user=rater, because=reason.strip())
        Assignment.objects.filter(project=project, rater=rater, state=Assignment.State.LEASED).update(**NOBODYS)
    return RaterDecision.objects.create(
        project=project,
        rater=rater,
        action=action,
        weight=weight,
        signals=signals or [],
        because=because,
        reason=reason.strip(),
        judgments=judgments_in_force(project).filter(rater=rater).count(),
        decided_by=by,
    )


def _check(project: Project, rater: User, action: str, reason: str, weight: float | None) -> None:
    if action not in (Action.SUSPEND, Action.WEIGH, Action.DISMISS):
        field, message = "action", _("action “%(action)s” is none of suspend, weigh, dismiss.") % {"action": action}
    elif not reason.strip() or len(reason) > REASON_AT_MOST:
        field, message = "reason", _("Say why, in at most 1,000 characters: it is kept with the decision.")
    elif action == Action.WEIGH and not (isinstance(weight, int | float) and 0 <= weight <= 1):
        field, message = "weight", _("A weight is a number from 0 (not counted) to 1 (as everybody’s).")
    elif action != Action.WEIGH and weight is not None:
        field, message = "weight", _("Only who is weighed has a weight.")
    elif not Membership.objects.filter(project=project, user=rater, role__in=(Role.RATER, Role.ADMIN)).exists():
        field, message = "rater", _("%(rater)s does not rate in this project.") % {"rater": rater.username}
    else:
        return
    raise DomainError(message, fields={field: message})


@transaction.atomic
def decision_undo(*, decision: RaterDecision, by: User, reason: str = "") -> RaterDecision:
    """Take a decision back; undoing twice is undoing once. An earlier weight of the rater holds again."""
    decision = RaterDecision.objects.select_for_update().select_related("rater", "project").get(pk=decision.pk)
    if decision.action == Action.UNDO:
        raise DomainError(_("An undo is not undone: decide anew instead."), status=409)
    before = RaterDecision.objects.filter(undoes=decision).first()
    if before is not None:
        return before
    if decision.action == Action.SUSPEND:
        member_suspend(project=decision.project, user=decision.rater, because="")
    return RaterDecision.objects.create(
        project=decision.project,
        rater=decision.rater,
        action=Action.UNDO,
        reason=reason.strip()[:REASON_AT_MOST],
        judgments=judgments_in_force(decision.project).filter(rater=decision.rater).count(),
        undoes=decision,
        decided_by=by,
    )


# --- Reads ---------------------------------------------------------------------------------------------------------


def decisions_of(project: Project) -> QuerySet[RaterDecision]:
    """The log, latest first; `undone_by` is there where one was undone."""
    found = RaterDecision.objects.filter(project=project).order_by("-id")
    return found.select_related("rater", "decided_by", "undoes", "undone_by")


def in_force(project: Project) -> QuerySet[RaterDecision]:
    """Suspensions, weights and dismissals that nobody has undone."""
    return RaterDecision.objects.filter(project=project, undone_by=None).exclude(action=Action.UNDO)


def rater_weights(project: Project) -> dict[int, float]:
    """{user id: what their votes weigh where a dataset is frozen}, of those who weigh less than everybody."""
    latest = in_force(project).filter(action=Action.WEIGH).order_by("id").values_list("rater", "weight")
    return {rater: weight for rater, weight in dict(latest).items() if weight < 1}


def standing(project: Project) -> dict[int, list[str]]:
    """{user id: what holds of them now, in a word each}."""
    words = {rater: [f"× {weight:g}"] for rater, weight in rater_weights(project).items()}
    for rater in in_force(project).filter(action=Action.SUSPEND).values_list("rater", flat=True):
        words.setdefault(rater, []).append(_("suspended"))
    return words
