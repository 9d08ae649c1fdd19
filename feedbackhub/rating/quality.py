"""How well the rating goes: each rater's habits, and the tasks that raters disagree on. It judges nobody."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby, islice
from statistics import median

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.stats.streaks import streak_chance

from .adjudication import settlements
from .leases import task_priority_set
from .models import Assignment, Judgment, JudgmentItem, Task
from .places import order_of, place_of
from .selectors import judgments_in_force
from .shares import Share
from .tasks import WANTED_AT_MOST

LATEST = 20_000  # judgments that pace and streaks are taken from
DISAGREEMENTS = 20
URGENT = 100  # the priority of a task that is to be settled
BY_PEOPLE = (Judgment.Source.RATER, Judgment.Source.SIMULATED)


@dataclass(frozen=True)
class Habits:
    """A rater's: judgments in force; of their decided pairs, how many went to the answer shown first; ties and both-bad
    among their comparisons; their pace.
    """

    rater: User
    judgments: int
    first: Share
    ties: Share
    both_bad: Share
    pace: "Pace"

    @property
    def median_seconds(self) -> float | None:
        return self.pace.median_seconds

    @property
    def streak(self) -> int:
        return self.pace.streak


@dataclass(frozen=True)
class Pace:
    """Of the latest judgments: the median seconds of `timed` ones; how often running the same was said (side, tie,
    bad), and how likely a run as long as that is at most, with the rater's own shares (`stats.streaks`)."""

    timed: int = 0
    median_seconds: float | None = None
    streak: int = 0
    streak_chance: float = 1.0


def habits(project: Project, rater: User | None = None) -> list[Habits]:
    """Each rater's, or this one's, most judgments first. Pace and streak are of the latest 20,000 judgments."""
    judgments = judgments_in_force(project).filter(source__in=BY_PEOPLE, rater__isnull=False)
    if rater is not None:
        judgments = judgments.filter(rater=rater)
    counts = dict(judgments.order_by().values_list("rater").annotate(Count("pk")))
    pairs = _pairs_by_rater(judgments)
    pace, _ = paces(project, rater)
    raters = User.objects.in_bulk(counts)
    found = [
        Habits(
            rater=raters[pk],
            judgments=count,
            first=Share(pairs[pk]["first"], pairs[pk]["first"] + pairs[pk]["second"]),
            ties=Share(pairs[pk]["tie"], sum(pairs[pk].values())),
            both_bad=Share(pairs[pk]["bad"], sum(pairs[pk].values())),
            pace=pace.get(pk, Pace()),
        )
        for pk, count in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.judgments, one.rater.username))


def first_shown(found: list[Habits]) -> Share:
    """Of all raters' decided pairs, how many went to the answer shown first: 0.5 is no position bias."""
    return Share(sum(one.first.part for one in found), sum(one.first.whole for one in found))


def _pairs_by_rater(judgments: QuerySet[Judgment]) -> dict[int, Counter]:
    """{rater: Counter of first, second, tie, bad} over pairs in force, added up by the database."""
    pairs = judgments.filter(kind=TaskKind.PAIRWISE)
    lost = Q(tier=1, judgment__none_acceptable=False)
    rows = (
        JudgmentItem.objects.filter(judgment__in=pairs)
        .order_by()
        .values("judgment__rater")
        .annotate(
            first=Count("pk", filter=lost & Q(position=1)),
            second=Count("pk", filter=lost & Q(position=0)),
            bad=Count("pk", filter=Q(position=0, judgment__none_acceptable=True)),
            all=Count("pk", filter=Q(position=0)),
        )
    )
    counts: dict[int, Counter] = defaultdict(Counter)
    for row in rows:
        known = {name: row[name] for name in ("first", "second", "bad")}
        counts[row["judgment__rater"]] = Counter(known, tie=row["all"] - sum(known.values()))
    return counts


def paces(project: Project, rater: User | None = None) -> tuple[dict[int, Pace], Pace]:
    """({rater: their pace}, everybody's together) of the latest 20,000 judgments; streaks are of one rater only."""
    judgments = judgments_in_force(project).filter(source__in=BY_PEOPLE, rater__isnull=False)
    if rater is not None:
        judgments = judgments.filter(rater=rater)
    latest = judgments.order_by("-id")[:LATEST]
    rows = list(latest.values_list("pk", "rater", "duration_ms", "none_acceptable", "kind"))
    tops: dict[int, tuple] = {}
    best = JudgmentItem.objects.filter(judgment__in=latest.values("pk"), tier=0).order_by("judgment_id", "position")
    for judgment, position in best.values_list("judgment_id", "position"):
        tops[judgment] = (*tops.get(judgment, ()), position)
    durations: dict[int, list[int]] = defaultdict(list)
    verdicts: dict[int, list] = defaultdict(list)
    for pk, by, duration, none_acceptable, kind in reversed(rows):
        if duration is not None:
            durations[by].append(duration)
        if kind == TaskKind.PAIRWISE:
            verdicts[by].append("bad" if none_acceptable else tops.get(pk))
    found = {by: _pace(durations[by], verdicts[by]) for by in {row[1] for row in rows}}
    return found, _pace([one for some in durations.values() for one in some], [])


def _pace(durations: list[int], verdicts: list) -> Pace:
    streak = max((len(list(run)) for _, run in groupby(verdicts)), default=0)
    shares = {said: count / len(verdicts) for said, count in Counter(verdicts).items()}
    seconds = median(durations) / 1000 if durations else None
    return Pace(len(durations), seconds, streak, streak_chance(streak, shares, len(verdicts)))


# --- Disagreement -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disagreement:
    """A task whose judgments differ: `labels` is {label: how often}; settled once one label has a majority."""

    task: Task
    labels: dict[str, int]
    waiting: int

    @property
    def settled(self) -> bool:
        return max(self.labels.values()) * 2 > sum(self.labels.values())


def disagreements(project: Project, split: list[tuple[int, dict[str, int]]]) -> list[Disagreement]:
    """The first 20 of `split` (`quality_report.Report`) that are not settled. `waiting`: judgments to come."""
    settled = set(settlements(project).values_list("task", flat=True))
    chosen = dict(islice((entry for entry in split if entry[0] not in settled), DISAGREEMENTS))
    waiting = Count("assignments", filter=~Q(assignments__state=Assignment.State.DONE))
    tasks = Task.objects.select_related("prompt").annotate(waiting=waiting).in_bulk(list(chosen))
    return [Disagreement(tasks[pk], labels, tasks[pk].waiting) for pk, labels in chosen.items() if pk in tasks]


@transaction.atomic
def task_ask_again(*, task: Task) -> Task:
    """Let one more rater judge the task, before others: for a task that raters disagree on."""
    task = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if task.judgments_wanted >= WANTED_AT_MOST:
        raise DomainError(
            _("Task %(task)s has %(most)s judgments already, the most that a task can want.")
            % {"task": task.pk, "most": WANTED_AT_MOST}
        )
    place = place_of(order_of(task.project), task.pk, task.judgments_wanted)
    Assignment.objects.create(task=task, project_id=task.project_id, ordinal=task.judgments_wanted, place=place)
    task.judgments_wanted += 1
    task.save(update_fields=["judgments_wanted"])
    task_priority_set(task=task, priority=max(task.priority, URGENT))
    return task
