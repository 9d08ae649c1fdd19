"""What came of checks: who passed, how steady a rater is, and which gold items are doubtful themselves."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import Prefetch, QuerySet

from feedbackhub.projects.models import Project

from .models import Check, Gold, Judgment, JudgmentItem, Task
from .shares import Share

DOUBTFUL_FROM = 3  # raters; where more than half of so many fail, the fault is most likely the item's
SCORE_TOLERANCE = 0.25  # of a criterion's range


@dataclass
class CheckRecord:
    """A rater's checks: {kind: passed and all}; failures of doubtful items are in neither."""

    passed: Counter = field(default_factory=Counter)
    served: Counter = field(default_factory=Counter)

    def shares(self) -> dict[str, Share]:
        """{kind: share passed}, of every kind."""
        return {kind: Share(self.passed[kind], self.served[kind]) for kind in Check.values}

    def add(self, kind: str, passed: bool) -> None:
        self.passed[kind] += passed
        self.served[kind] += 1


def passes(expected: dict, items: list[JudgmentItem], *, none_acceptable: bool, criteria: list[dict]) -> bool:
    """Whether a judgment says what is expected.

    A comparison: the same label. A ranking: no pair that is expected in an order stands the other way round, and those
    expected best are not ranked below another. Thumbs: the same. Scores: each within a quarter of its range.
    """
    if "ranking" in expected:
        return _order_fits(expected, items, none_acceptable)
    if "thumbs" in expected:
        return all(item.thumbs == expected["thumbs"].get(str(item.output_id), item.thumbs) for item in items)
    span = {criterion["key"]: criterion["max"] - criterion["min"] for criterion in criteria}
    for item in items:
        for key, mark in expected["scores"].get(str(item.output_id), {}).items():
            given = item.scores.get(key)
            if given is None or abs(given - mark) > SCORE_TOLERANCE * span.get(key, 0):
                return False
    return True


def _order_fits(expected: dict, items: list[JudgmentItem], none_acceptable: bool) -> bool:
    if none_acceptable or expected.get("none_acceptable"):
        return none_acceptable == bool(expected.get("none_acceptable"))
    place = {output: tier for tier, outputs in enumerate(expected["ranking"]) for output in outputs}
    said = {item.output_id: item.tier for item in items}
    if len(items) == 2:
        first, second = said
        return _sign(said[first] - said[second]) == _sign(place[first] - place[second])
    return not any(
        place[one] < place[other] and (said[one] > said[other] or (place[one] == 0 and said[one] >= said[other]))
        for one in said
        for other in said
    )


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def judged_checks(project: Project) -> QuerySet[Judgment]:
    """The judgments of checks that stand, with their items, tasks and raters, oldest first."""
    stand = Judgment.objects.filter(project=project, is_check=True, voiding=None, withdrawn=False, superseded_by=None)
    items = Prefetch("items", JudgmentItem.objects.order_by("position"))
    return stand.select_related("task__twin_of__gold", "rater").prefetch_related(items).order_by("pk")


def _gold_results(project: Project, **only) -> Iterator[tuple[Judgment, Gold, bool]]:
    for judgment in judged_checks(project).exclude(task__check_kind=Check.REPEAT).filter(**only):
        gold = judgment.task.twin_of.gold
        items = list(judgment.items.all())
        passed = passes(gold.expected, items, none_acceptable=judgment.none_acceptable, criteria=project.criteria)
        yield judgment, gold, passed


@dataclass(frozen=True)
class GoldRecord:
    """How raters fared on a gold item. doubtful: most of three or more failed, so it is neither served nor held against
    anybody until an admin has looked at it."""

    gold: Gold
    passed: int
    served: int

    @property
    def doubtful(self) -> bool:
        return self.served >= DOUBTFUL_FROM and self.passed * 2 < self.served


def gold_records(project: Project) -> list[GoldRecord]:
    """Every gold item that is not retired, the newest first."""
    passed, served = Counter(), Counter()
    for _, gold, did in _gold_results(project):
        passed[gold.pk] += did
        served[gold.pk] += 1
    found = Gold.objects.filter(project=project, retired_at=None).select_related("task__prompt").order_by("-pk")
    return [GoldRecord(gold, passed[gold.pk], served[gold.pk]) for gold in found]


def is_doubtful(gold: Gold) -> bool:
    """Whether most raters fail it, so that it is rather the item that is wrong."""
    results = [passed for _, _, passed in _gold_results(gold.project, task__twin_of=gold.task_id)]
    return GoldRecord(gold, sum(results), len(results)).doubtful


def check_records(project: Project) -> dict[int, CheckRecord]:
    """{rater id: their checks}: gold items and attention checks passed, tasks judged again the same way.

    A failure of our own check counts against nobody: what most raters failed, or what is retired, is left out.
    """
    results = list(_gold_results(project))
    passed, served = Counter(), Counter()
    for _, gold, did in results:
        passed[gold.pk] += did
        served[gold.pk] += 1
    records: dict[int, CheckRecord] = defaultdict(CheckRecord)
    for judgment, gold, did in results:
        if not GoldRecord(gold, passed[gold.pk], served[gold.pk]).doubtful:
            records[judgment.rater_id].add(judgment.task.check_kind, did)
    for rater, same in _repeats(project):
        records[rater].add(Check.REPEAT, same)
    return dict(records)


def _repeats(project: Project) -> Iterator[tuple[int, bool]]:
    """(rater id, said the same) of tasks asked again, where the first judgment still stands."""
    again = list(judged_checks(project).filter(task__check_kind=Check.REPEAT))
    first = {
        (judgment.task_id, judgment.rater_id): judgment
        for judgment in Judgment.objects.in_force()
        .filter(task__in={judgment.task.twin_of_id for judgment in again})
        .prefetch_related("items")
    }
    for judgment in again:
        before = first.get((judgment.task.twin_of_id, judgment.rater_id))
        if before is not None:
            yield judgment.rater_id, _verdict(before) == _verdict(judgment)


def _verdict(judgment: Judgment) -> tuple:
    """What was said, whatever the side: the outputs best first, or thumbs, or scores."""
    if judgment.none_acceptable:
        return ("none",)
    said = [
        (item.output_id, item.tier, item.thumbs, tuple(sorted(item.scores.items()))) for item in judgment.items.all()
    ]
    return tuple(sorted(said, key=lambda one: one[0]))


def unanimous_tasks(project: Project, *, at_least: int = 3, limit: int = 20) -> list[tuple[Task, dict, int]]:
    """Tasks on which `at_least` raters all said the same: (task, what they said, how many), as gold items to be."""
    judged = (
        Judgment.objects.in_force()
        .filter(project=project, task__isnull=False, task__gold=None, source=Judgment.Source.RATER)
        .select_related("task__prompt")
        .prefetch_related("items")
        .order_by("-pk")[:5000]
    )
    by_task: dict[int, list[Judgment]] = defaultdict(list)
    for judgment in judged:
        by_task[judgment.task_id].append(judgment)
    found = []
    for said in by_task.values():
        if len(said) >= at_least and len({_verdict(one) for one in said}) == 1:
            found.append((said[0].task, expected_of(said[0]), len(said)))
    return found[:limit]


def expected_of(judgment: Judgment) -> dict:
    """A judgment's answer as a gold item expects it."""
    items = sorted(judgment.items.all(), key=lambda item: item.output_id)
    if items[0].tier is not None:
        tiers: dict[int, list[int]] = defaultdict(list)
        for item in items:
            tiers[item.tier].append(item.output_id)
        ranking = [tiers[tier] for tier in sorted(tiers)]
        return {"ranking": ranking, "none_acceptable": True} if judgment.none_acceptable else {"ranking": ranking}
    if items[0].thumbs is not None:
        return {"thumbs": {str(item.output_id): item.thumbs for item in items}}
    return {"scores": {str(item.output_id): item.scores for item in items}}
