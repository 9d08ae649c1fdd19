"""Views that are no function of the tallies: computed once for the votes there are, kept, refreshed in the background.

Up to 50,000 votes (a page: 5,000) a stale view is computed anew while one waits; beyond that one sees the last one with
its time, and a job refreshes it. The job is a hint: the sweep queues again what the queue has lost,
and keeps fresh what somebody looked at within the hour.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from feedbackhub.core.errors import DomainError
from feedbackhub.core.live import publish
from feedbackhub.core.queue import enqueue
from feedbackhub.projects.models import Membership, Project
from feedbackhub.rating.models import PairTally
from feedbackhub.rating.services import tallies_check, tallies_rebuild

from .anomalies import anomalies_compute
from .boards import board_compute
from .history import history_compute
from .models import Standing
from .options import Options

log = logging.getLogger(__name__)

JOB = "feedbackhub.leaderboard.jobs.standing_refresh"
FRESH_UP_TO = 50_000  # votes, up to which a program waits for a stale view to be computed
PAGE_UP_TO = 5_000  # and a page, which asks again after every vote
AT_MOST = 200  # views a project keeps, those last asked for
KEPT_FRESH = timedelta(hours=1)  # after somebody last looked
KEPT = timedelta(days=30)
LOST = timedelta(minutes=2)  # a job that has not come by then, beyond what computing takes, is queued again
PAUSE_SECONDS, PAUSE_TIMES = 5, 10  # at least between two refreshes: seconds, and times what one takes
DIFFERENCES_SHOWN = 20


@dataclass(frozen=True)
class View:
    """What a standing shows: `answer` is None until it is first computed. `current`: it is of the votes of now."""

    answer: dict | None
    computed_at: datetime | None
    seconds: float
    current: bool
    error: str


def _tallies_compute(project: Project, options: Options) -> dict:
    found = tallies_check(project=project)
    shown = [{name: str(one[name]) for name in ("key", "stored", "judged")} for one in found[:DIFFERENCES_SHOWN]]
    return {"differences": len(found), "shown": shown}


COMPUTE: dict[str, Callable[[Project, Options], dict]] = {
    Standing.Kind.BOARD: board_compute,
    Standing.Kind.HISTORY: history_compute,
    Standing.Kind.ANOMALIES: anomalies_compute,
    Standing.Kind.TALLIES: _tallies_compute,
}


def votes_of(project: Project) -> tuple[int, str]:
    """(how many votes there are, a mark that another sum of votes has not), from the tallies.

    Each tally's counts weighted by its id: a vote moved from one pair or outcome to another changes the mark.
    """
    names = ("wins_a", "wins_b", "ties", "both_bad")
    sums = {f"{name}_sum": Sum(name) for name in names} | {f"{name}_mark": Sum(F(name) * F("id")) for name in names}
    found = PairTally.objects.filter(project=project).aggregate(**sums)
    votes = sum(int(found[f"{name}_sum"] or 0) for name in names)
    return votes, "-".join(str(int(value or 0)) for value in found.values())


def _mark(project: Project, options: Options, votes_mark: str) -> str:
    """Of the votes, and of who is in the group where the options choose one."""
    if options.group is None:
        return hashlib.sha256(votes_mark.encode()).hexdigest()
    members = Membership.objects.filter(project=project, group__name=options.group).order_by("user")
    return hashlib.sha256(f"{votes_mark} {list(members.values_list('user', flat=True))}".encode()).hexdigest()


def standing_read(*, project: Project, kind: str, options: Options, wait: bool = True) -> View:
    """The view as it is kept. One that is missing or stale is computed at once where votes are few, else queued.

    wait: a view that was never computed is computed now whatever it costs (a program wants an answer).
    """
    votes, votes_mark = votes_of(project)
    mark = _mark(project, options, votes_mark)
    row = _row(project, kind, options)
    if row.answer is not None and row.mark == mark:
        return _view(row, True)
    few = votes <= (FRESH_UP_TO if wait else min(FRESH_UP_TO, PAGE_UP_TO))
    if few or (wait and row.answer is None):
        _compute(row, project, options, mark)
        return _view(row, True)
    _queue(row, mark)
    return _view(row, False)


def _view(row: Standing, current: bool) -> View:
    return View(row.answer, row.computed_at, row.seconds, current, row.error)


def _row(project: Project, kind: str, options: Options) -> Standing:
    """The row of the view, made when nobody has asked for it before; notes the minute in which it was asked for."""
    now = timezone.now()
    key = hashlib.sha256(json.dumps([kind, options.changed], sort_keys=True).encode()).hexdigest()
    row = Standing.objects.filter(project=project, key=key).first()
    if row is None:
        try:
            with transaction.atomic():
                _forget(project)
                return Standing.objects.create(
                    project=project, kind=kind, options=options.changed, key=key, asked_at=now
                )
        except IntegrityError:
            row = Standing.objects.get(project=project, key=key)
    if now - row.asked_at > timedelta(minutes=1):
        Standing.objects.filter(pk=row.pk).update(asked_at=now)
    return row


def _forget(project: Project) -> None:
    """Make room for one more view: addresses are free, and so are the moments in them."""
    kept = Standing.objects.filter(project=project).order_by("-asked_at", "-pk").values_list("pk", flat=True)
    if too_many := list(kept[AT_MOST - 1 :]):
        Standing.objects.filter(pk__in=too_many).delete()


def _compute(row: Standing, project: Project, options: Options, mark: str) -> None:
    started, now = time.perf_counter(), timezone.now()
    answer = COMPUTE[row.kind](project, options)
    row.answer = json.loads(json.dumps(answer, cls=DjangoJSONEncoder))
    row.mark, row.computed_at, row.seconds, row.queued_at = mark, now, time.perf_counter() - started, None
    row.error = row.failed_mark = ""
    row.save(update_fields=["answer", "mark", "computed_at", "seconds", "queued_at", "error", "failed_mark"])


def _queue(row: Standing, mark: str) -> None:
    """Queue a refresh, unless one is on its way, or the last one was a moment ago (the sweep comes by)."""
    now = timezone.now()
    if row.queued_at and now - row.queued_at < LOST + timedelta(seconds=3 * row.seconds):
        return
    pause = timedelta(seconds=max(PAUSE_SECONDS, PAUSE_TIMES * row.seconds))
    if (mark and row.failed_mark == mark) or (row.computed_at and now - row.computed_at < pause):
        return
    Standing.objects.filter(pk=row.pk).update(queued_at=now)
    enqueue("default", JOB, row.pk)


def standing_refresh(*, standing: Standing) -> None:
    """The job: compute the view unless it is of the votes of now already, and tell open pages."""
    project = standing.project
    options = Options.stored(standing.options)
    mark = _mark(project, options, votes_of(project)[1])
    if standing.answer is not None and standing.mark == mark and standing.kind != Standing.Kind.TALLIES:
        Standing.objects.filter(pk=standing.pk).update(queued_at=None)
        return
    try:
        options.check(project)
    except DomainError:  # a group or model that it was about is gone
        standing.delete()
        return
    try:
        _compute(standing, project, options, mark)
    except Exception as error:
        log.exception("standing %s could not be computed", standing.pk)
        Standing.objects.filter(pk=standing.pk).update(queued_at=None, failed_mark=mark, error=str(error)[:500])
    publish(f"leaderboard.{project.pk}", {"type": "standing", "id": standing.pk})


def sweep() -> None:
    """Queue what is stale of the views that somebody looked at within the hour; forget those nobody has for a month."""
    now = timezone.now()
    Standing.objects.filter(asked_at__lt=now - KEPT).delete()
    marks: dict[int, str] = {}
    asked = Standing.objects.filter(asked_at__gte=now - KEPT_FRESH).defer("answer").select_related("project")
    for row in asked.exclude(kind=Standing.Kind.TALLIES):
        if row.project_id not in marks:
            marks[row.project_id] = votes_of(row.project)[1]
        mark = _mark(row.project, Options.stored(row.options), marks[row.project_id])
        if row.mark != mark:
            _queue(row, mark)
    for row in Standing.objects.filter(kind=Standing.Kind.TALLIES, queued_at__isnull=False).defer("answer"):
        _queue(row, "")


# --- Tallies against judgments --------------------------------------------------------------------------------------


def tallies_view(project: Project) -> View | None:
    """What the last check of the tallies said; None when there was none."""
    row = Standing.objects.filter(project=project, kind=Standing.Kind.TALLIES).first()
    return None if row is None else _view(row, row.queued_at is None)


def tallies_queue(*, project: Project, rebuild: bool = False) -> None:
    """Check tallies against judgments in the background; with `rebuild`, count the judgments anew before.

    Votes wait while either counts.
    """
    row = _row(project, Standing.Kind.TALLIES, Options())
    Standing.objects.filter(pk=row.pk).update(queued_at=timezone.now(), failed_mark="", error="")
    enqueue("default", "feedbackhub.leaderboard.jobs.tallies_mend" if rebuild else JOB, row.pk)


def tallies_mend(*, standing: Standing) -> None:
    """The job: count the judgments anew, then check."""
    tallies_rebuild(project=standing.project)
    standing_refresh(standing=standing)
