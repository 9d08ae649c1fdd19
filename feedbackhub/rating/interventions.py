"""What an admin may do to others' work: make it void, open a task again, hand a lease on. All of it undoable.

Nothing is deleted: a void judgment names the intervention that made it so, and enters no tally, dataset or agreement
until the intervention is undone.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.core.live import publish
from feedbackhub.projects.access import RATE, roles_of
from feedbackhub.projects.models import Project

from .judgments import feedback_send, feedback_take_back
from .leases import NOBODYS, State, lease_end, rater_hold, serve
from .models import Assignment, Intervention, Judgment, Skip, Task
from .tally import Counts, counts_apply

Kind = Intervention.Kind
REASON_AT_MOST = 500
CHUNK = 500


@transaction.atomic
def work_void(*, by: User, project: Project, rater: User, reason: str, since: datetime | None = None) -> Intervention:
    """Let what this rater has said (since a moment, else ever) count nowhere; their tasks are open to others again.

    Raises DomainError without a reason, or where there is nothing to make void.
    """
    given = {"by": by, "project": project, "kind": Kind.VOID, "rater": rater}
    said = Judgment.objects.filter(project=project, rater=rater, task__isnull=False)
    return _void(said.filter(occurred_at__gte=since) if since else said, reason, **given)


@transaction.atomic
def task_reopen(*, by: User, task: Task, reason: str) -> Intervention:
    """Let what was said of this task count nowhere; others are asked. Raises DomainError as `work_void` does."""
    return _void(Judgment.objects.filter(task=task), reason, by=by, project=task.project, kind=Kind.REOPEN, task=task)


def _void(judgments: QuerySet[Judgment], reason: str, *, by: User, project: Project, **about) -> Intervention:
    judgments = judgments.filter(voiding=None, is_check=False)
    _raters_hold(judgments)
    standing = list(_full(judgments.in_force()))
    if not standing:
        raise DomainError(_("Nothing that counts is there to be made void."), code="nothing", status=409)
    intervention = Intervention.objects.create(
        project=project, reason=_reason(reason), count=len(standing), created_by=by, **about
    )
    counts = Counts()
    for judgment in standing:
        items = list(judgment.items.all())
        counts.add_judgment(judgment, items, sign=-1)
        feedback_take_back(judgment, items, subject=f"intervention:{intervention.pk}:{judgment.pk}")
        done = Assignment.objects.filter(task=judgment.task_id, rater=judgment.rater_id, state=State.DONE)
        done.update(**NOBODYS)
    # All of it, also what was superseded: an undo or an edit of it must not come to count.
    judgments.update(voiding=intervention)
    counts_apply(project, counts)
    publish(f"leaderboard.{project.pk}", {"type": "vote"})
    return intervention


@transaction.atomic
def lease_reassign(
    *, by: User, task: Task, reason: str, rater: User | None = None, given_to: User | None = None
) -> Intervention:
    """Take a task from the rater who holds it (None: an open place of it) and give it to another, or to anyone (None).

    Raises DomainError: there is no such lease (409); the task is a check, the other may not rate here or had it (400).
    """
    if task.check_kind or (rater is None and given_to is None):
        raise DomainError(_("Name who is to give the task up, or who is to get it; checks stay with their rater."))
    held = Assignment.objects.select_for_update().filter(task=task, rater=rater)
    lease = held.filter(state=State.OPEN if rater is None else State.LEASED).order_by("ordinal").first()
    if lease is None:
        whose = (
            _("%(rater)s does not hold task %(task)s.") % {"rater": rater, "task": task.pk}
            if rater
            else _("Task %(task)s has no open place.") % {"task": task.pk}
        )
        raise DomainError(whose, code="conflict", status=409)
    given = {"reason": _reason(reason), "rater": rater, "task": task, "given_to": given_to, "count": 1}
    _hand(lease, given_to)
    return Intervention.objects.create(project=task.project, kind=Kind.REASSIGN, created_by=by, **given)


def _hand(lease: Assignment, to: User | None) -> None:
    if to is None:
        Assignment.objects.filter(pk=lease.pk).update(**NOBODYS)
        return
    rater_hold(to)
    same = {"task": lease.task_id, "rater": to}
    if not roles_of(to, lease.task.project) & RATE:
        message = _("%(to)s does not rate in this project.") % {"to": to}
        raise DomainError(message, fields={"given_to": message})
    had = [model.objects.filter(**same).exists() for model in (Assignment, Judgment, Skip)]
    if any(had):
        message = _("%(to)s has task %(task_id)s already, or has judged or skipped it; nobody gets a task twice.") % {
            "to": to,
            "task_id": lease.task_id,
        }
        raise DomainError(message, fields={"given_to": message})
    now = timezone.now()
    lease.state, lease.rater, lease.leased_at, lease.lease_expires_at = State.LEASED, to, now, lease_end(now)
    lease.save()
    serve(lease, list(lease.task.task_outputs.order_by("output_id").values_list("output_id", flat=True)))


# --- Undone -------------------------------------------------------------------------------------------------------


@transaction.atomic
def intervention_undo(*, by: User, intervention: Intervention) -> int:
    """Take an intervention back; returns how many of the judgments (or leases) that it moved are as they were.

    A judgment counts again where its task still has a place for it; where others have judged instead it stays void, so
    that no task gets more judgments than it wants. Raises DomainError 409: undone already, or the lease has moved on.
    """
    found = Intervention.objects.select_for_update(of=("self",)).select_related("project").get(pk=intervention.pk)
    if found.undone_at:
        raise DomainError(_("This was undone already."), code="conflict", status=409)
    restored = _lease_return(found) if found.kind == Kind.REASSIGN else _restore(found)
    found.undone_by, found.undone_at = by, timezone.now()
    found.save(update_fields=["undone_by", "undone_at"])
    return restored


def _lease_return(intervention: Intervention) -> int:
    now_whose = {"rater": intervention.given_to, "state": State.LEASED if intervention.given_to else State.OPEN}
    lease = Assignment.objects.select_for_update().filter(task=intervention.task, **now_whose).first()
    if lease is None:
        message = _("Task %(task_id)s has moved on; it cannot be given back.") % {"task_id": intervention.task_id}
        raise DomainError(message, code="conflict", status=409)
    if intervention.rater is None:
        Assignment.objects.filter(pk=lease.pk).update(**NOBODYS)
        return 1
    if Assignment.objects.filter(task=intervention.task, rater=intervention.rater).exists():
        message = _("%(rater)s has task %(task_id)s again already.") % {
            "rater": intervention.rater,
            "task_id": intervention.task_id,
        }
        raise DomainError(message, code="conflict", status=409)
    end = {"leased_at": timezone.now(), "lease_expires_at": lease_end(timezone.now())}
    Assignment.objects.filter(pk=lease.pk).update(state=State.LEASED, rater=intervention.rater, **end)
    return 1


def _restore(intervention: Intervention) -> int:
    void = Judgment.objects.filter(voiding=intervention)
    _raters_hold(void)
    latest = _full(void.filter(superseded_by=None, withdrawn=False, counted=True))
    counts, restored, displaced = Counts(), 0, set()
    for judgment in list(latest):
        if not _place_take(judgment):
            displaced.add((judgment.task_id, judgment.rater_id))
            continue
        items = list(judgment.items.all())
        counts.add_judgment(judgment, items)
        feedback_send(judgment, items, subject=f"intervention:{intervention.pk}:{judgment.pk}:undone", edits=True)
        restored += 1
    # What is displaced stays with all that it superseded.
    rows = void.values_list("pk", "task_id", "rater_id")
    again = [pk for pk, *whose in rows if tuple(whose) not in displaced]
    for start in range(0, len(again), CHUNK):
        Judgment.objects.filter(pk__in=again[start : start + CHUNK]).update(voiding=None)
    counts_apply(intervention.project, counts)
    publish(f"leaderboard.{intervention.project_id}", {"type": "vote"})
    return restored


def _place_take(judgment: Judgment) -> bool:
    """Put the judgment's rater into an open place of its task again."""
    places = Assignment.objects.select_for_update().filter(task=judgment.task_id)
    if places.filter(rater=judgment.rater_id).exists():
        return False
    place = places.filter(state=State.OPEN).order_by("ordinal").first()
    if place is None:
        return False
    done = {"state": State.DONE, "rater": judgment.rater_id, "leased_at": judgment.occurred_at}
    return bool(Assignment.objects.filter(pk=place.pk, state=State.OPEN).update(**done))


# --- Shared -------------------------------------------------------------------------------------------------------


def _full(judgments: QuerySet[Judgment]) -> QuerySet[Judgment]:
    related = judgments.select_related("project", "task__prompt", "supersedes")
    return related.prefetch_related("items__output", "items__model").order_by("pk").iterator(chunk_size=CHUNK)


def _raters_hold(judgments: QuerySet[Judgment]) -> None:
    """Let none of their raters vote, edit or undo meanwhile; in one order, so that no two wait for each other."""
    for rater in User.objects.filter(pk__in=judgments.values("rater")).order_by("pk"):
        rater_hold(rater)


def _reason(reason: str) -> str:
    reason = reason.replace("\x00", "").strip()
    if not 0 < len(reason) <= REASON_AT_MOST:
        message = _("Say why, in at most %(most)s characters: it stands in the record.") % {"most": REASON_AT_MOST}
        raise DomainError(message, fields={"reason": message})
    return reason
