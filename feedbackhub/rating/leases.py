"""Who may judge what now: the next task, leases that end, skips.

A task has as many assignments as it wants judgments, so a judgment more than wanted has nowhere to go. Requests of one
rater wait for each other; requests of several pass each other by (FOR UPDATE SKIP LOCKED; SQLite's immediate
transactions have only one writer).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import SystemRandom

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, Func, OuterRef, Q, QuerySet, TextField, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output
from feedbackhub.core.compiled import Compiled, Given, insert
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind

from .checks import check_drawn, check_lease
from .line import is_any_left, take
from .models import Assignment, Serving, Skip, Task, TaskOutput

State = Assignment.State
NOBODYS = {"state": State.OPEN, "rater": None, "leased_at": None, "lease_expires_at": None}
_random = SystemRandom()


@dataclass(frozen=True)
class Lease:
    """A task that a rater holds: `outputs` in the order that this rater is shown."""

    assignment: Assignment
    task: Task
    outputs: list[Output]

    @property
    def lease_expires_at(self) -> datetime:
        return self.assignment.lease_expires_at


def lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def rater_hold(rater: User) -> None:
    """Let one write of this rater happen at a time, within the caller's transaction."""
    if connection.features.has_select_for_update:
        RATER_HOLD.first(rater=rater.pk)


def _hold() -> QuerySet:
    """The rater's row, and for the rest of the transaction PostgreSQL plans what is asked of it once for all values.

    And by index: a plan made while a table is nearly empty reads all of it, and goes on to when it has grown.
    """
    held = User.objects.select_for_update(no_key=True).filter(pk=Given("rater"))
    if connection.vendor != "postgresql":
        return held.values_list("pk")
    planner = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}
    return held.values_list(
        "pk",
        *(
            Func(Value(name), Value(value), Value(True), function="set_config", output_field=TextField())
            for name, value in planner.items()
        ),
    )


RATER_HOLD = Compiled(_hold)


def task_next(*, project: Project, rater: User, after: int | None = None) -> Lease | None:
    """The task that this rater holds (the oldest), else the next one, leased; None when nothing is left for them.

    after: a task of theirs: the one that they hold after it, else one more leased, until they hold
    LEASES_HELD_AT_MOST; then the newest other one. Nobody gets a task that they have judged or skipped.
    """
    if after is None:
        held = HELD.first(project=project.pk, rater=rater.pk)
        if held is not None and held.lease_expires_at > timezone.now():
            return _lease_of(held)
    with transaction.atomic():
        rater_hold(rater)
        return task_next_of_held(project=project, rater=rater, after=after)


def task_next_of_held(*, project: Project, rater: User, after: int | None = None) -> Lease | None:
    """task_next within a transaction that holds the rater (rater_hold)."""
    now = timezone.now()
    held = list(HELD(project=project.pk, rater=rater.pk))
    assignment = _held_already(held, after)
    if assignment is not None:
        _renew(assignment, now)
    elif len(held) < settings.LEASES_HELD_AT_MOST and not is_closed(project, now):
        if (check := _check(project, rater, now)) is not None:
            return _lease_of(*check)
        assignment = take(project, rater, now=now, until=lease_end(now))
        # Expired leases come after what is open, unless the sweeper has opened them before.
        if assignment is None and leases_reclaim(project=project, now=now):
            assignment = take(project, rater, now=now, until=lease_end(now))
        if assignment is not None:
            return _lease_of(assignment, is_new=True)
    return _lease_of(assignment) if assignment else None


def is_closed(project: Project, now: datetime) -> bool:
    """Whether the project's deadline is over: what raters hold may still be judged, nothing more is given out."""
    return project.deadline is not None and project.deadline <= now


def _check(project: Project, rater: User, now: datetime) -> tuple[Assignment, list[int]] | None:
    """A check instead of work, where one is drawn and work is left."""
    kind = check_drawn(project)
    if not kind or not is_any_left(project, rater):
        return None
    return check_lease(project=project, rater=rater, kind=kind, now=now, until=lease_end(now))


def lease_held(*, rater: User, task: Task) -> Lease | None:
    """The rater's lease on this very task."""
    assignment = Assignment.objects.filter(state=State.LEASED, rater=rater, task=task).first()
    return _lease_of(assignment) if assignment else None


HELD = Compiled(
    lambda: Assignment.objects.filter(state=State.LEASED, rater=Given("rater"), project=Given("project")).order_by(
        "leased_at", "pk"
    )
)


def _held_already(held: list[Assignment], after: int | None) -> Assignment | None:
    """What of the held ones (oldest first) to give; None to lease one more, if more may be held."""
    if after is None:
        return held[0] if held else None
    tasks = [assignment.task_id for assignment in held]
    following = held[tasks.index(after) + 1 :] if after in tasks else held
    if following:
        return following[0]
    if len(held) >= settings.LEASES_HELD_AT_MOST:
        return next((assignment for assignment in reversed(held) if assignment.task_id != after), None)
    return None


def _renew(assignment: Assignment, now: datetime) -> None:
    """An expired lease that nobody took in the meantime begins again."""
    if assignment.lease_expires_at <= now:
        assignment.lease_expires_at = lease_end(now)
        assignment.save(update_fields=["lease_expires_at"])


def _lease_of(assignment: Assignment, shown: list[int] | None = None, *, is_new: bool = False) -> Lease:
    task = TASK.first(task=assignment.task_id)
    outputs = {output.pk: output for output in OUTPUTS(task=task.pk)}
    if is_new:
        shown = serve(assignment, list(outputs))
    elif shown is None:
        shown = SERVING.first(task=task.pk, rater=assignment.rater_id).shown
    return Lease(assignment, task, [outputs[pk] for pk in shown])


TASK = Compiled(lambda: Task.objects.select_related("project", "prompt").filter(pk=Given("task")))
SERVING = Compiled(lambda: Serving.objects.filter(task=Given("task"), rater=Given("rater")))
OUTPUTS = Compiled(
    lambda: Output.objects.select_related("model").filter(task_outputs__task=Given("task")).order_by("pk")
)


def serve(assignment: Assignment, outputs: list[int]) -> list[int]:
    """The outputs in this rater's order: drawn now, unless they have been served the task before."""
    shown = list(outputs)
    _random.shuffle(shown)
    serving = Serving(
        project_id=assignment.project_id,
        task_id=assignment.task_id,
        rater_id=assignment.rater_id,
        shown=shown,
        place=assignment.place,
        served_at=assignment.leased_at,
    )
    if insert([serving], or_ignore=True):
        return shown
    return SERVING.first(task=assignment.task_id, rater=assignment.rater_id).shown


# --- Giving back --------------------------------------------------------------------------------------------------


@transaction.atomic(savepoint=False)
def leases_reclaim(*, project: Project | None = None, now: datetime | None = None) -> int:
    """Open what expired leases hold, of one project or of all; returns how many. The judgment may still come."""
    # A check is for one rater alone: it waits for them.
    expired = Assignment.objects.filter(
        state=State.LEASED, task__check_kind="", lease_expires_at__lte=now or timezone.now()
    )
    if project is not None:
        expired = expired.filter(project=project)
    if connection.features.has_select_for_update:
        # A row that is just being judged is left alone, and no two reclaims wait for each other.
        locked = expired.select_for_update(skip_locked=True, of=("self",)).values("pk")
        expired = Assignment.objects.filter(pk__in=locked)
    return expired.update(**NOBODYS)


@transaction.atomic
def task_skip(*, rater: User, task: Task, reason: str = "") -> None:
    """Put a task away for good: it goes back to the others. Skipping twice is skipping once."""
    rater_hold(rater)
    _judged_refuse(rater, task, "skip")
    _give_back(task, rater)
    Skip.objects.get_or_create(task=task, rater=rater, defaults={"reason": _reason(reason)})


@transaction.atomic
def task_release(*, rater: User, task: Task, reason: str = "") -> None:
    """Give a task back for anyone, oneself included. Nothing happens where one does not hold it."""
    rater_hold(rater)
    _judged_refuse(rater, task, "release")
    if _give_back(task, rater):
        Serving.objects.filter(task=task, rater=rater).update(release_reason=_reason(reason))


def _give_back(task: Task, rater: User) -> int:
    """Open what the rater holds of the task to anyone; a check is for nobody else, and goes."""
    held = Assignment.objects.filter(task=task, rater=rater, state=State.LEASED)
    return held.delete()[0] if task.check_kind else held.update(**NOBODYS)


def _judged_refuse(rater: User, task: Task, verb: str) -> None:
    if Assignment.objects.filter(task=task, rater=rater, state=State.DONE).exists():
        words = {
            "skip": _("You have judged task %(task)s; undo the judgment first if you want to skip it."),
            "release": _("You have judged task %(task)s; undo the judgment first if you want to release it."),
        }
        message = words[verb] % {"task": task.pk}
        raise DomainError(message, code="judged_already", status=409)


def _reason(reason: str) -> str:
    if len(reason) > 200:
        message = "reason must be a text of at most 200 characters."
        raise DomainError(message, fields={"reason": message})
    return reason.replace("\x00", "")


@transaction.atomic
def task_priority_set(*, task: Task, priority: int) -> None:
    """Tasks of higher priority are served first. From -1,000,000 to 1,000,000."""
    if not -1_000_000 <= priority <= 1_000_000:
        message = f"priority {priority} must be from -1,000,000 to 1,000,000."
        raise DomainError(message, fields={"priority": message})
    Task.objects.filter(pk=task.pk).update(priority=priority, is_raised=False)
    Assignment.objects.filter(Q(task=task) & ~Q(state=State.DONE)).update(priority=priority)


# --- The active order ---------------------------------------------------------------------------------------------

RAISED = 1


def raised_open(project: Project) -> int:
    """How many judgments of raised tasks nobody is at yet."""
    return Assignment.objects.filter(project=project, task__is_raised=True, state=State.OPEN).count()


def open_task_of_pair(project: Project, models: tuple[int, int], besides: Iterable[int]) -> int | None:
    """The oldest pairwise task of priority 0 that pairs these two models and has an open judgment, as its id."""
    found = Task.objects.filter(project=project, kind=TaskKind.PAIRWISE, priority=0).exclude(pk__in=list(besides))
    for model in models:
        found = found.filter(Exists(TaskOutput.objects.filter(task=OuterRef("pk"), output__model=model)))
    is_open = Exists(Assignment.objects.filter(task=OuterRef("pk"), state=State.OPEN))
    return found.filter(is_open).order_by("pk").values_list("pk", flat=True).first()


@transaction.atomic
def tasks_raise(*, project: Project, tasks: Iterable[int]) -> None:
    """Let these tasks (ids, of priority 0) come before the others of priority 0, and no longer those raised before."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    _priority_move(Task.objects.filter(project=project, is_raised=True), is_raised=False, priority=0)
    chosen = Task.objects.filter(project=project, pk__in=list(tasks), priority=0)
    _priority_move(chosen, is_raised=True, priority=RAISED)


def _priority_move(tasks: QuerySet[Task], *, is_raised: bool, priority: int) -> None:
    ids = list(tasks.values_list("pk", flat=True))
    Task.objects.filter(pk__in=ids).update(is_raised=is_raised, priority=priority)
    Assignment.objects.filter(Q(task__in=ids) & ~Q(state=State.DONE)).update(priority=priority)
