"""How well the rating goes: each rater's habits, and the tasks that raters disagree on. It judges nobody."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind

from .leases import task_priority_set
from .models import Assignment, Judgment, JudgmentItem, Task
from .selectors import agreement_rows, judgments_in_force
from .shares import Share
from .tasks import WANTED_AT_MOST

LATEST = 20_000  # judgments that pace and streaks are taken from
DISAGREEMENTS = 50
URGENT = 100  # the priority of a task that is to be settled
BY_PEOPLE = (Judgment.Source.RATER, Judgment.Source.SIMULATED)


@dataclass(frozen=True)
class Habits:
    """A rater's: judgments in force; of their decided pairs, how many went to the answer shown first; ties and both-bad
    among their comparisons; the median seconds a judgment took; how often running they said the same (side, tie, bad).
    """

    rater: User
    judgments: int
    first: Share
    ties: Share
    both_bad: Share
    median_seconds: float | None
    streak: int


def habits(project: Project, rater: User | None = None) -> list[Habits]:
    """Each rater's, or this one's, most judgments first. Pace and streak are of the latest 20,000 judgments."""
    judgments = judgments_in_force(project).filter(source__in=BY_PEOPLE, rater__isnull=False)
    if rater is not None:
        judgments = judgments.filter(rater=rater)
    counts = dict(judgments.order_by().values_list("rater").annotate(Count("pk")))
    pairs = _pairs_by_rater(judgments)
    pace, streaks = _pace(judgments)
    raters = User.objects.in_bulk(counts)
    found = [
        Habits(
            rater=raters[pk],
            judgments=count,
            first=Share(pairs[pk]["first"], pairs[pk]["first"] + pairs[pk]["second"]),
            ties=Share(pairs[pk]["tie"], sum(pairs[pk].values())),
            both_bad=Share(pairs[pk]["bad"], sum(pairs[pk].values())),
            median_seconds=pace.get(pk),
            streak=streaks.get(pk, 0),
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


def _pace(judgments: QuerySet[Judgment]) -> tuple[dict[int, float], dict[int, int]]:
    """({rater: median seconds}, {rater: the longest run of one and the same verdict}) of the latest judgments."""
    latest = judgments.order_by("-id")[:LATEST]
    rows = list(latest.values_list("pk", "rater", "duration_ms", "none_acceptable", "kind"))
    tops: dict[int, tuple] = {}
    best = JudgmentItem.objects.filter(judgment__in=latest.values("pk"), tier=0).order_by("judgment_id", "position")
    for judgment, position in best.values_list("judgment_id", "position"):
        tops[judgment] = (*tops.get(judgment, ()), position)
    durations: dict[int, list[int]] = defaultdict(list)
    verdicts: dict[int, list] = defaultdict(list)
    for pk, rater, duration, none_acceptable, kind in reversed(rows):
        if duration is not None:
            durations[rater].append(duration)
        if kind == TaskKind.PAIRWISE:
            verdicts[rater].append("bad" if none_acceptable else tops.get(pk))
    pace = {rater: median(found) / 1000 for rater, found in durations.items()}
    streaks = {rater: max(len(list(run)) for _, run in groupby(said)) for rater, said in verdicts.items()}
    return pace, streaks


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


def disagreements(project: Project) -> list[Disagreement]:
    """The tasks that raters disagree on, the most evenly split first, at most 50. `waiting`: judgments to come."""
    labels: dict[int, Counter] = defaultdict(Counter)
    for item, _, label in agreement_rows(project):
        if item[0] == "task":
            labels[item[1]][label] += 1
    split = [pk for pk, found in labels.items() if len(found) > 1]
    split.sort(key=lambda pk: (max(labels[pk].values()) / sum(labels[pk].values()), -sum(labels[pk].values()), pk))
    chosen = split[:DISAGREEMENTS]
    waiting = Count("assignments", filter=~Q(assignments__state=Assignment.State.DONE))
    tasks = Task.objects.select_related("prompt").annotate(waiting=waiting).in_bulk(chosen)
    return [Disagreement(tasks[pk], dict(labels[pk].most_common()), tasks[pk].waiting) for pk in chosen]


@transaction.atomic
def task_ask_again(*, task: Task) -> Task:
    """Let one more rater judge the task, before others: for a task that raters disagree on."""
    task = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if task.judgments_wanted >= WANTED_AT_MOST:
        raise DomainError(f"Task {task.pk} has {WANTED_AT_MOST} judgments already, the most that a task can want.")
    Assignment.objects.create(task=task, project_id=task.project_id, ordinal=task.judgments_wanted)
    task.judgments_wanted += 1
    task.save(update_fields=["judgments_wanted"])
    task_priority_set(task=task, priority=max(task.priority, URGENT))
    return task
