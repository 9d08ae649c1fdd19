"""How the work goes just now: what came each hour, when it will be done, who is at what."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import TruncHour
from django.utils import timezone

from feedbackhub.projects.models import Project, RaterGroup
from feedbackhub.stats.forecast import Forecast, hours_left

from .models import Assignment, Judgment, Serving

DAYS = 7  # that the forecast looks back
SHOWN_HOURS = 48
STUCK_MINUTES = 30
LEASES_SHOWN = 50
BY_PEOPLE = (Judgment.Source.RATER, Judgment.Source.SIMULATED)


@dataclass(frozen=True)
class Held:
    """A task that a rater has before them. stuck: its time is over, or it was served half an hour ago or longer."""

    assignment: Assignment
    since: datetime
    stuck: bool


@dataclass(frozen=True)
class Pace:
    """hours: (hour, judgments), the oldest first, the running hour last."""

    hours: list[tuple[datetime, int]]
    last_hour: int
    today: int
    wanted: int
    done: int
    held: int
    forecast: Forecast
    ready_at: datetime | None
    late: bool

    @property
    def left(self) -> int:
        return self.wanted - self.done


def pace(project: Project, now: datetime | None = None) -> Pace:
    """The project's: judgments by the hour, what is left, and when it will be done."""
    now = now or timezone.now()
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    made = Judgment.objects.in_force().filter(project=project, source__in=BY_PEOPLE)
    recent = made.filter(occurred_at__gte=this_hour - timedelta(days=DAYS))
    by_hour = dict(recent.annotate(hour=TruncHour("occurred_at")).order_by().values_list("hour").annotate(Count("pk")))
    first = min(by_hour, default=this_hour)
    length = round((this_hour - first) / timedelta(hours=1))
    hours = [(first + timedelta(hours=n), by_hour.get(first + timedelta(hours=n), 0)) for n in range(length + 1)]
    work = Assignment.objects.filter(project=project, task__check_kind="").aggregate(
        wanted=Count("pk"),
        done=Count("pk", filter=Q(state=Assignment.State.DONE)),
        held=Count("pk", filter=Q(state=Assignment.State.LEASED)),
    )
    forecast = hours_left([count for _, count in hours[:-1]], work["wanted"] - work["done"])
    ready = None if forecast.hours is None else now + timedelta(hours=min(forecast.hours, 24 * 3650))
    return Pace(
        hours=hours[-SHOWN_HOURS:],
        last_hour=made.filter(occurred_at__gte=now - timedelta(hours=1)).count(),
        today=made.filter(occurred_at__gte=timezone.localtime(now).replace(hour=0, minute=0, second=0)).count(),
        **work,
        forecast=forecast,
        ready_at=ready,
        late=bool(ready and project.deadline and ready > project.deadline),
    )


def held(project: Project, now: datetime | None = None) -> list[Held]:
    """What raters have before them, the longest held first, at most 50; checks look like any other."""
    now = now or timezone.now()
    leases = list(
        Assignment.objects.filter(project=project, state=Assignment.State.LEASED)
        .select_related("rater", "task__prompt")
        .order_by("leased_at")[:LEASES_SHOWN]
    )
    tasks = [lease.task_id for lease in leases]
    served = {
        (task, rater): at
        for task, rater, at in Serving.objects.filter(task__in=tasks).values_list("task_id", "rater_id", "served_at")
    }
    return [
        Held(lease, since, lease.lease_expires_at <= now or now - since > timedelta(minutes=STUCK_MINUTES))
        for lease in leases
        for since in [served.get((lease.task_id, lease.rater_id), lease.leased_at)]
    ]


def groups(project: Project) -> list[dict]:
    """Each group of raters: {group, raters, wanted, done, open}; the row without a group is everyone's work."""
    work = {
        row["group"]: row
        for row in Assignment.objects.filter(project=project, task__check_kind="")
        .order_by()
        .values("group")
        .annotate(
            wanted=Count("pk"),
            done=Count("pk", filter=Q(state=Assignment.State.DONE)),
            open=Count("pk", filter=Q(state=Assignment.State.OPEN)),
        )
    }
    found = RaterGroup.objects.filter(project=project).annotate(raters=Count("memberships")).order_by("name")
    none = {"wanted": 0, "done": 0, "open": 0}
    rows = [{**none, **work.get(group.pk, {}), "group": group, "raters": group.raters} for group in found]
    return [*rows, {**work[None], "group": None, "raters": None}] if rows and None in work else rows
