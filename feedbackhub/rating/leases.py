"""Who may judge what now: the next task, leases that end, skips.

A task has as many assignments as it wants judgments, so a judgment more than wanted has nowhere to go. Requests of one
rater wait for each other; requests of several pass each other by (FOR UPDATE SKIP LOCKED; SQLite's immediate
transactions have only one writer).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from secrets import SystemRandom

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Membership, Project, Role, TaskKind

from .checks import check_drawn, check_lease
from .models import Assignment, Judgment, Serving, Skip, Task, TaskOutput

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
        User.objects.select_for_update(no_key=True).filter(pk=rater.pk).values_list("pk").get()


def task_next(*, project: Project, rater: User, after: int | None = None, has_judged: bool = False) -> Lease | None:
    """The task that this rater holds (the oldest), else the next one, leased; None when nothing is left for them.

    after: a task of theirs: the one that they hold after it, else one more leased, until they hold
    LEASES_HELD_AT_MOST; then the newest other one. Nobody gets a task that they have judged or skipped.
    has_judged: they have just judged one, so that most likely they hold none: it is looked for under the lock at once.
    """
    now = timezone.now()
    if after is None and not has_judged:
        held = _held(project, rater).first()
        if held is not None and held.lease_expires_at > now:
            return _lease_of(held)
    with transaction.atomic():
        rater_hold(rater)
        held = list(_held(project, rater))
        assignment = _held_already(held, after)
        if assignment is not None:
            _renew(assignment, now)
        elif len(held) < settings.LEASES_HELD_AT_MOST and not is_closed(project, now):
            if (check := _check(project, rater, now)) is not None:
                return _lease_of(*check)
            assignment = _take(project, rater, now)
            # Expired leases come after what is open, unless the sweeper has opened them before.
            if assignment is None and leases_reclaim(project=project, now=now):
                assignment = _take(project, rater, now)
            if assignment is not None:
                return _lease_of(assignment, serve(assignment, now))
        return _lease_of(assignment) if assignment else None


def is_closed(project: Project, now: datetime) -> bool:
    """Whether the project's deadline is over: what raters hold may still be judged, nothing more is given out."""
    return project.deadline is not None and project.deadline <= now


def _check(project: Project, rater: User, now: datetime) -> tuple[Assignment, list[int]] | None:
    """A check instead of work, where one is drawn and work is left."""
    kind = check_drawn(project)
    if not kind or not open_for(project, rater).exists():
        return None
    return check_lease(project=project, rater=rater, kind=kind, now=now, until=lease_end(now))


def lease_held(*, rater: User, task: Task) -> Lease | None:
    """The rater's lease on this very task."""
    assignment = Assignment.objects.filter(state=State.LEASED, rater=rater, task=task).first()
    return _lease_of(assignment) if assignment else None


def _held(project: Project, rater: User) -> QuerySet[Assignment]:
    held = Assignment.objects.filter(state=State.LEASED, rater=rater, project=project)
    return held.order_by("leased_at", "pk")


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


def _lease_of(assignment: Assignment, shown: list[int] | None = None) -> Lease:
    if shown is None:
        shown = Serving.objects.values_list("shown", flat=True).get(task=assignment.task_id, rater=assignment.rater_id)
    outputs = Output.objects.in_bulk(shown)
    task = Task.objects.select_related("prompt", "project").get(pk=assignment.task_id)
    return Lease(assignment, task, [outputs[pk] for pk in shown])


# --- Leasing ------------------------------------------------------------------------------------------------------


def _take(project: Project, rater: User, now: datetime) -> Assignment | None:
    """Lease the first open assignment in line for this rater."""
    for candidate in _in_line(project, rater):
        lease = {"state": State.LEASED, "rater_id": rater.pk, "leased_at": now, "lease_expires_at": lease_end(now)}
        # The state in the condition is the last word, should a database not have kept others away.
        if Assignment.objects.filter(pk=candidate.pk, state=State.OPEN).update(**lease):
            for name, value in lease.items():
                setattr(candidate, name, value)
            return candidate
    return None


def group_of(project: Project, rater: User) -> int | None:
    """The id of the rater's group in the project."""
    found = Membership.objects.filter(project=project, user=rater, group__isnull=False)
    return found.values_list("group_id", flat=True).first()


def open_for(project: Project, rater: User) -> QuerySet[Assignment]:
    """What this rater may still be given, in no order: everyone's, and their group's."""
    return open_to(project, rater).filter(Q(group=None) | Q(group=group_of(project, rater))).order_by()


def open_to(project: Project | int, rater: User | int) -> QuerySet[Assignment]:
    """Open assignments, of all groups, of tasks that this rater neither has, judged nor skipped, in their order.

    A rater who is suspended has none.
    """
    same = {"task": OuterRef("task"), "rater": rater}
    suspended = Membership.objects.filter(project=project, user=rater, role=Role.RATER).exclude(suspended_because="")
    return Assignment.objects.filter(
        ~Exists(Assignment.objects.filter(**same)),
        ~Exists(Skip.objects.filter(**same)),
        ~Exists(Judgment.objects.filter(Q(counted=False) | Q(voiding__isnull=False), **same)),
        ~Exists(suspended),
        project=project,
        state=State.OPEN,
    ).order_by("-priority", "task_id")


def _in_line(project: Project, rater: User) -> Iterator[Assignment]:
    """Open assignments, each locked: what is more urgent, what comes after this rater's latest, and then anywhere.

    A task that wants several judgments stays open behind a rater who judged it. Whoever has judged many would walk past
    all of them each time; so the search goes on where it ended.
    """
    given = {"project": project.pk, "rater": rater.pk}
    if (group := group_of(project, rater)) is not None:
        yield from _in_line_of({**given, "group": group}, project, rater)
    yield from _in_line_of(given, project, rater)


def _in_line_of(given: dict[str, int], project: Project, rater: User) -> Iterator[Assignment]:
    """In line for the group that is given, or for everyone."""
    servings = Serving.objects.filter(project=project, rater=rater, task__check_kind="").order_by("-id")
    if latest := servings.values_list("task_id", "task__priority").first():
        given["task"], given["priority"] = latest
        yield from _first_of("more urgent", given)
        yield from _first_of("after the latest", given)
    yield from _first_of("anywhere", given)


MARKS = {"project": -101, "rater": -102, "task": -103, "priority": -104, "group": -105}
LINES: dict[str, dict[str, int]] = {
    "more urgent": {"priority__gt": MARKS["priority"]},
    "after the latest": {"priority": MARKS["priority"], "task_id__gt": MARKS["task"]},
    "anywhere": {},
}


def _first_of(line: str, given: dict[str, int]) -> Iterator[Assignment]:
    """The first of a line, anew for as long as somebody else was quicker."""
    sql, parameters = _sql_of(line, "group" in given, connection.vendor)
    values = [given[name] if name else value for name, value in parameters]
    names = [field.attname for field in Assignment._meta.concrete_fields]
    while True:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            row = cursor.fetchone()
        if row is None:
            return
        yield Assignment.from_db(connection.alias, names, row)


@cache
def _sql_of(line: str, is_of_group: bool, vendor: str) -> tuple[str, list[tuple[str | None, object]]]:
    """A line's SELECT with its parameters, (name, None) where one is to be given; to be called within a transaction.

    Made once: the ORM takes longer to write it than the database to answer it. MARKS stand where the values come.
    """
    whose = {"group": MARKS["group"] if is_of_group else None}
    found = open_to(MARKS["project"], MARKS["rater"]).filter(**whose, **LINES[line])
    sql, parameters = found.select_for_update(skip_locked=True)[:1].query.sql_with_params()
    names = {mark: name for name, mark in MARKS.items()}
    return sql, [(names[value], None) if value in names else (None, value) for value in parameters]


def serve(assignment: Assignment, now: datetime) -> list[int]:
    """The outputs in this rater's order: drawn now, unless they have been served the task before."""
    served = Serving.objects.filter(task=assignment.task_id, rater=assignment.rater_id)
    if (before := served.values_list("shown", flat=True).first()) is not None:
        return before
    outputs = TaskOutput.objects.filter(task=assignment.task_id).order_by("output_id")
    shown = list(outputs.values_list("output_id", flat=True))
    _random.shuffle(shown)
    Serving.objects.create(
        project_id=assignment.project_id,
        task_id=assignment.task_id,
        rater_id=assignment.rater_id,
        shown=shown,
        served_at=now,
    )
    return shown


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
        message = f"You have judged task {task.pk}; undo the judgment first if you want to {verb} it."
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
