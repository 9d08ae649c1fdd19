"""Reads of tasks, judgments and tallies that pages and API share."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.db.models import Count, Q, QuerySet

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.stats import agreement as statistics

from .leases import TASK
from .line import tasks_left
from .models import Assignment, Judgment, JudgmentItem, PairTally, RankingTally, Task
from .tally import COMPARED, OUTCOMES

CHUNK = 2000  # judgments whose items are read at once
# A preference's `judge` is the set it came from, not a person: only these can be said to agree.
JUDGED_BY_SOMEBODY = (Judgment.Source.RATER, Judgment.Source.SIMULATED, Judgment.Source.VOTES)


def judgments_in_force(project: Project) -> QuerySet[Judgment]:
    """Judgments that count: not withdrawn, superseded by none."""
    return Judgment.objects.in_force().filter(project=project)


def task_by_id(pk: int) -> Task | None:
    """With its project and prompt."""
    return TASK.first(task=pk)


def tallies(project: Project, *, category: str | None = None, sources: Iterable[str] | None = None) -> QuerySet:
    """Rows (model_a id, model_b id, wins_a, wins_b, ties, both_bad); a pair may come once a category and source."""
    return _of(PairTally, project, category, sources).values_list("model_a_id", "model_b_id", *OUTCOMES)


def ranking_tallies(project: Project, *, category: str | None = None, sources: Iterable[str] | None = None) -> QuerySet:
    """Rows (pattern, count) of rankings of three or more."""
    return _of(RankingTally, project, category, sources).values_list("pattern", "count")


def _of(tally: type, project: Project, category: str | None, sources: Iterable[str] | None) -> QuerySet:
    rows = tally.objects.filter(project=project)
    if category is not None:
        rows = rows.filter(category=category)
    return rows if sources is None else rows.filter(source__in=list(sources))


# --- Tasks and progress -------------------------------------------------------------------------------------------


def tasks_of(project: Project) -> QuerySet[Task]:
    """The project's tasks with `judged`: how many of the wanted judgments are in."""
    done = Count("assignments", filter=Q(assignments__state=Assignment.State.DONE))
    return Task.objects.filter(project=project, check_kind="").select_related("prompt").annotate(judged=done)


@dataclass(frozen=True)
class TaskCounts:
    """Tasks by kind: how many; the judgments that they want, that are in, and that raters are at just now."""

    kind: str
    tasks: int
    wanted: int
    judged: int
    leased: int

    @property
    def label(self) -> str:
        return TaskKind(self.kind).label

    @property
    def open(self) -> int:
        return self.wanted - self.judged - self.leased


def tasks_wait(project: Project) -> bool:
    """Whether there is anything that raters could judge."""
    open_states = (Assignment.State.OPEN, Assignment.State.LEASED)
    return Assignment.objects.filter(project=project, task__check_kind="", state__in=open_states).exists()


def task_counts(project: Project) -> list[TaskCounts]:
    tasks = dict(Task.objects.filter(project=project, check_kind="").values_list("kind").annotate(Count("pk")))
    states = (
        Assignment.objects.filter(project=project, task__check_kind="")
        .values_list("task__kind")
        .annotate(
            wanted=Count("pk"),
            judged=Count("pk", filter=Q(state=Assignment.State.DONE)),
            leased=Count("pk", filter=Q(state=Assignment.State.LEASED)),
        )
    )
    return [TaskCounts(kind, tasks[kind], *counts) for kind, *counts in states.order_by("task__kind")]


@dataclass(frozen=True)
class Progress:
    """A rater's: tasks judged, tasks left for them (counted to LEFT_AT_MOST; `more` says there are more)."""

    done: int
    left: int
    more: bool

    @property
    def total(self) -> int:
        return self.done + self.left


def progress(project: Project, rater: User) -> Progress:
    mine = Assignment.objects.filter(project=project, rater=rater)
    done = mine.filter(state=Assignment.State.DONE).count()
    held = mine.filter(state=Assignment.State.LEASED).count()
    some, more = tasks_left(project, rater)
    # Of many, no more than that there are many: what a rater holds would make the number go up and down.
    return Progress(done, some if more else held + some, more)


def history(project: Project, rater: User) -> QuerySet[Judgment]:
    """The rater's own judgments with their items, each as it is in force or was kept; latest first."""
    return (
        Judgment.objects.filter(project=project, rater=rater, withdrawn=False)
        .filter(Q(superseded_by=None) | Q(superseded_by__withdrawn=True))
        .exclude(source=Judgment.Source.ADJUDICATION)
        .select_related("project", "task__prompt", "superseded_by")
        .prefetch_related("items__output__model")
        .order_by("-pk")
    )


# --- Agreement ----------------------------------------------------------------------------------------------------


def agreement(project: Project) -> dict:
    """How far raters agree, with intervals over items: {statistics, items, judgments, raters}."""
    found = statistics.agreement(agreement_rows(project)).as_dict()
    for rater in found["raters"]:
        rater["rater"] = rater["rater"][1]
    return found


def agreement_with_others(project: Project, rater: User) -> statistics.RaterAgreement | None:
    """How far this rater agrees with others on the tasks that they judged; None where they judged none."""
    found = statistics.rater_agreement(agreement_rows(project, on_tasks_of=rater))
    return next((one for one in found if one.rater == ("rater", rater.username)), None)


def agreement_rows(project: Project, on_tasks_of: User | None = None) -> list[tuple]:
    """(item, rater, label) of the judgments in force, the latest of each rater on an item; of all, or of those tasks
    alone that one rater has judged.

    An item is a task, or an imported comparison's prompt or question with its two models. A rater is ("rater",
    username), or ("judge", name) in an imported one. The label is the winning model, tie or both_bad, whatever the
    side; in a project of thumbs, up or down.
    """
    names = model_names(project)
    latest = {}
    for row in judged_rows(project, on_tasks_of):
        if row.item is not None and row.by is not None:
            latest[row.item, row.by] = row.label(names)
    return [(item, rater, label) for (item, rater), label in latest.items()]


def model_names(project: Project) -> dict[int, str]:
    return dict(ModelVersion.objects.filter(Q(project=project) | Q(project=None)).values_list("pk", "name"))


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A judgment in force as agreement reads it; `items` as shown, each (model, tier, thumbs)."""

    task: int | None
    prompt: int | None
    question: str
    username: str | None
    judge: str
    none_acceptable: bool
    strength: str
    kind: str
    items: list[tuple[int | None, int | None, int | None]]

    @property
    def item(self) -> tuple | None:
        if self.task is not None:
            return "task", self.task
        about = ("prompt", self.prompt) if self.prompt is not None else ("question", self.question)
        models = [model for model, _, _ in self.items]
        return (*about, *sorted(models)) if about[1] != "" and None not in models else None

    @property
    def by(self) -> tuple[str, str] | None:
        if self.username is not None:
            return "rater", self.username
        return ("judge", self.judge) if self.judge else None

    @property
    def winners(self) -> list[int | None]:
        """The models in the best tier; none where thumbs were given."""
        tiers = [tier for _, tier, _ in self.items if tier is not None]
        best = min(tiers, default=None)
        return [model for model, tier, _ in self.items if tier == best] if tiers else []

    def label(self, names: dict[int, str]) -> str:
        _, tier, thumbs = self.items[0]
        if thumbs is not None and tier is None:
            return "up" if thumbs > 0 else "down"
        if self.none_acceptable:
            return "both_bad"
        winners = self.winners
        return names.get(winners[0], "") if len(winners) == 1 else "tie"


def judged_rows(project: Project, on_tasks_of: User | None = None) -> Iterator[JudgedRow]:
    """The comparisons (in a project of thumbs: the thumbs) in force by somebody who can be named, in their order."""
    kinds = (TaskKind.THUMBS,) if project.task_kind == TaskKind.THUMBS else COMPARED
    judgments = judgments_in_force(project).filter(kind__in=kinds, source__in=JUDGED_BY_SOMEBODY)
    if on_tasks_of is not None:
        theirs = Assignment.objects.filter(project=project, rater=on_tasks_of, state=Assignment.State.DONE)
        judgments = judgments.filter(task__in=theirs.values("task"))
    heads = ("task_id", "prompt_id", "question", "rater__username", "judge", "none_acceptable", "strength", "kind")
    rows = judgments.order_by("occurred_at", "pk").values_list("pk", *heads).iterator(chunk_size=CHUNK)
    # Items by their judgments' numbers, and not in one query: before it has counted a table's rows, PostgreSQL takes it
    # for empty and compares every item with every judgment (180 votes: minutes).
    while part := list(islice(rows, CHUNK)):
        items = JudgmentItem.objects.filter(judgment__in=[pk for pk, *_ in part]).order_by("judgment", "position")
        shown = defaultdict(list)
        for judgment, *item in items.values_list("judgment", "model_id", "tier", "thumbs"):
            shown[judgment].append(tuple(item))
        yield from (JudgedRow(*head, items=shown[pk]) for pk, *head in part if pk in shown)
