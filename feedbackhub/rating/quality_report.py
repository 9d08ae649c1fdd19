"""What the page Quality computes from all judgments: agreement, reliability, triads, disagreement.

It is made once for a set of judgments and kept in the cache, for judgments are append-only: the last one's id and the
interventions say whether there is anything new. A report that took long is also shown for a while when there is; the
page says of when it is.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from django.core.cache import cache
from django.db.models import Count, Max
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.stats.agreement import Statistic, agreement
from feedbackhub.stats.circular_triads import Triads, circular_triads
from feedbackhub.stats.dawid_skene import Reliability, dawid_skene
from feedbackhub.stats.noisy_bradley_terry import RaterSkill, noisy_bradley_terry

from .check_results import CheckRecord, check_records
from .models import Gold, Intervention, Judgment, JudgmentItem
from .quality import Habits, Pace, habits, paces
from .selectors import JudgedRow, judged_rows, judgments_in_force, model_names

MANY_ITEMS = 5_000  # above, intervals are of 200 resamples instead of 1,000
GRADES_AT_MOST = 100  # different scores of a criterion
QUICK = 1.0  # second: a report that takes less is made whenever there is something new
SHARE = 20  # a slow one is shown for so many times what it took
RATERS_SHOWN = 100
STRENGTHS = {Judgment.Strength.SLIGHT: 1, Judgment.Strength.CLEAR: 2}

Labelled = list[tuple]  # (item, rater, label)


@dataclass(frozen=True)
class Graded:
    """How far raters agree on something graded: the statistics, of how many items and judgments."""

    name: str
    note: str
    statistics: list[Statistic]
    items: int
    judgments: int


@dataclass(frozen=True)
class RaterReliability:
    """One rater (or imported judge): each part None where nothing can be said."""

    name: str
    is_imported: bool
    reliability: Reliability | None
    skill: RaterSkill | None
    triads: Triads | None


@dataclass(frozen=True)
class Report:
    """`split`: (task id, {label: how often}) of tasks whose judgments differ, the most evenly split first. `cycles`:
    the names of three models, each preferred to the next and the last to the first."""

    made_at: datetime
    seconds: float
    last: int
    state: tuple
    agreement: dict
    graded: list[Graded]
    raters: list[RaterReliability]
    more_raters: int
    reliability_undefined: str | None
    skill_undefined: str | None
    triads: Triads
    cycles: list[tuple[str, ...]]
    habits: list[Habits]
    pace: Pace
    split: list[tuple[int, dict[str, int]]]
    checks: dict[int, CheckRecord]

    @property
    def is_kept(self) -> bool:
        return self.seconds >= QUICK


def report(project: Project, *, anew: bool = False) -> Report:
    """The project's report, from the cache where it is new enough."""
    key = f"quality:{project.pk}:{project.created_at.timestamp()}"
    state = _state(project)
    found: Report | None = None if anew else cache.get(key)
    if found is not None:
        age = (timezone.now() - found.made_at).total_seconds()
        if found.state == state or (found.is_kept and age < SHARE * found.seconds):
            return found
    made = _make(project, state)
    cache.set(key, made, 7 * 24 * 3600)
    return made


def _state(project: Project) -> tuple:
    """What changes when any judgment comes or goes: the last one, interventions and their undoing, retired checks."""
    last = Judgment.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True).first() or 0
    interventions = Intervention.objects.filter(project=project).aggregate(Max("pk"), Count("undone_at"))
    retired = Gold.objects.filter(project=project, retired_at__isnull=False).count()
    return last, *interventions.values(), retired


@dataclass
class _Read:
    """One walk over the judgments: the latest label of each rater on an item, in words (`named`) and by the winner's
    place among the item's models (`placed`, so that there are few labels); grades; decided pairs."""

    named: dict = field(default_factory=dict)
    placed: dict = field(default_factory=dict)
    strengths: dict = field(default_factory=dict)
    decided: list[tuple] = field(default_factory=list)  # (rater, first model, second model, first won)

    def add(self, row: JudgedRow, names: dict[int, str]) -> None:
        item, by = row.item, row.by
        if by is None:
            return
        if item is not None:
            winners = row.winners
            self.named[item, by] = row.label(names)
            self.placed[item, by] = _placed(row, winners)
            self.strengths[item, by] = _strength(row, winners)
        if row.kind == TaskKind.PAIRWISE and not row.none_acceptable:
            (first, tier, _thumbs), (second, other, _thumbs) = row.items
            if tier != other and first != second and first is not None and second is not None:
                self.decided.append((by, first, second, tier < other))

    @staticmethod
    def rows(labels: dict) -> Labelled:
        return [(item, by, label) for (item, by), label in labels.items() if label is not None]


def _placed(row: JudgedRow, winners: list[int | None]) -> str | None:
    if not winners or row.none_acceptable:
        return row.label({})
    if len(winners) > 1:
        return "tie"
    models = sorted({model for model, _, _ in row.items if model is not None})
    return f"model {models.index(winners[0])}" if winners[0] is not None and len(models) == len(row.items) else None


def _strength(row: JudgedRow, winners: list[int | None]) -> int | None:
    """−2 … 2: how clearly the model of the higher id is better; None where nobody said, or both were bad."""
    if row.kind != TaskKind.PAIRWISE or row.none_acceptable:
        return None
    if len(winners) > 1:
        return 0
    models = [model for model, _, _ in row.items]
    if None in models or models[0] == models[1] or not row.strength:
        return None
    return STRENGTHS[row.strength] * (1 if winners[0] == max(models) else -1)


def _make(project: Project, state: tuple) -> Report:
    started, made_at = time.perf_counter(), timezone.now()
    names, read = model_names(project), _Read()
    for row in judged_rows(project):
        read.add(row, names)
    named = read.rows(read.named)
    found = agreement(named, resamples=_resamples(named)).as_dict()
    for rater in found["raters"]:
        rater["rater"] = rater["rater"][1]
    reliability = dawid_skene(read.rows(read.placed))
    skills = noisy_bradley_terry(read.decided)
    triads, of_rater, models = _triads(read.decided)
    raters = _raters(reliability.raters, skills.raters, of_rater)
    made = Report(
        made_at=made_at,
        seconds=0,
        last=state[0],
        state=state,
        agreement=found,
        graded=_graded(project, read),
        raters=raters[:RATERS_SHOWN],
        more_raters=max(0, len(raters) - RATERS_SHOWN),
        reliability_undefined=reliability.undefined_because,
        skill_undefined=skills.undefined_because,
        triads=triads,
        cycles=[tuple(names.get(models[place], "?") for place in cycle) for cycle in triads.cycles],
        habits=habits(project),
        pace=paces(project)[1],
        split=_split(named),
        checks=check_records(project),
    )
    return replace(made, seconds=time.perf_counter() - started)


def _resamples(rows: Labelled) -> int:
    return 200 if len({item for item, _, _ in rows}) > MANY_ITEMS else 1000


def _split(rows: Labelled) -> list[tuple[int, dict[str, int]]]:
    labels: dict[int, Counter] = defaultdict(Counter)
    for item, _by, label in rows:
        if item[0] == "task":
            labels[item[1]][label] += 1
    split = [(pk, dict(found.most_common())) for pk, found in labels.items() if len(found) > 1]

    def evenly(entry: tuple[int, dict[str, int]]) -> tuple:
        pk, found = entry
        return max(found.values()) / sum(found.values()), -sum(found.values()), pk

    return sorted(split, key=evenly)


# --- Raters ---------------------------------------------------------------------------------------------------------


def _triads(decided: list[tuple]) -> tuple[Triads, dict[tuple, Triads], list[int]]:
    """The project's circular triads, each rater's, and the models' ids by place."""
    models = sorted({model for _, first, second, _ in decided for model in (first, second)})
    place = {model: index for index, model in enumerate(models)}
    by_rater: dict[tuple, np.ndarray] = defaultdict(lambda: np.zeros((len(models), len(models))))
    for rater, first, second, first_won in decided:
        winner, loser = (first, second) if first_won else (second, first)
        by_rater[rater][place[winner], place[loser]] += 1
    total = sum(by_rater.values(), np.zeros((len(models), len(models))))
    return circular_triads(total), {rater: circular_triads(wins, cycles=0) for rater, wins in by_rater.items()}, models


def _raters(
    reliability: list[Reliability], skills: list[RaterSkill], triads: dict[tuple, Triads]
) -> list[RaterReliability]:
    """Everybody of whom something can be said, most judgments first."""
    by_reliability = {one.rater: one for one in reliability}
    by_skill = {one.rater: one for one in skills}
    found = [
        RaterReliability(
            rater[1], rater[0] == "judge", by_reliability.get(rater), by_skill.get(rater), triads.get(rater)
        )
        for rater in dict.fromkeys([*by_reliability, *by_skill])
    ]

    def much(one: RaterReliability) -> tuple:
        return -max(one.reliability.items if one.reliability else 0, one.skill.votes if one.skill else 0), one.name

    return sorted(found, key=much)


# --- Graded judgments -------------------------------------------------------------------------------------------


def _graded(project: Project, read: _Read) -> list[Graded]:
    """Agreement on each criterion, and on how clearly one answer is better."""
    found = [
        _grades(criterion["label"], _scale(criterion), rows, _possible(criterion))
        for criterion, rows in _scores(project)
    ]
    strengths = read.rows(read.strengths)
    if any(grade for _, _, grade in strengths):
        note = _(
            "from clearly one to clearly the other, ties in the middle; where nobody said how clearly, it is left out"
        )
        found.append(_grades(_("How clearly"), note, strengths, [-2, -1, 0, 1, 2]))
    return found


def _scale(criterion: dict) -> str:
    return _("from %(min)g to %(max)g") % {"min": criterion["min"], "max": criterion["max"]}


def _possible(criterion: dict) -> list[int] | None:
    """All marks of a scale of few whole numbers; where one mark is a fraction, those that were given count."""
    low, high = criterion["min"], criterion["max"]
    return list(range(low, high + 1)) if isinstance(low, int) and isinstance(high, int) and high - low < 20 else None


def _grades(name: str, note: str, rows: Labelled, possible: list[int] | None) -> Graded:
    grades = {grade for _, _, grade in rows}
    if len(grades) > GRADES_AT_MOST:
        many = _("there are more than %(most)d different scores") % {"most": GRADES_AT_MOST}
        undefined = [Statistic(key, None, None, None, many) for key in ("alpha_ordinal", "alpha_interval", "gwet_ac2")]
        return Graded(name, note, undefined, len({item for item, _, _ in rows}), len(rows))
    categories = possible if possible is not None and grades.issubset(possible) else None
    ordinal, interval = (
        agreement(rows, level=level, categories=categories, only=only, resamples=_resamples(rows))
        for level, only in (("ordinal", {"krippendorff_alpha", "gwet_ac2"}), ("interval", {"krippendorff_alpha"}))
    )
    statistics = [
        _renamed(ordinal["krippendorff_alpha"], "alpha_ordinal"),
        _renamed(interval["krippendorff_alpha"], "alpha_interval"),
        ordinal["gwet_ac2"],
    ]
    return Graded(name, note, statistics, ordinal.items, ordinal.judgments)


def _renamed(one: Statistic, name: str) -> Statistic:
    return Statistic(name, one.value, one.lower, one.upper, one.undefined_because)


def _scores(project: Project) -> list[tuple[dict, Labelled]]:
    """Each criterion with its scores in force: (output, rater, score)."""
    if project.task_kind != TaskKind.SCORES:
        return []
    judgments = judgments_in_force(project).filter(kind=TaskKind.SCORES, rater__isnull=False)
    latest: dict[tuple[int, str], dict] = {}
    rows = JudgmentItem.objects.filter(judgment__in=judgments).order_by("judgment_id")
    for output, rater, scores in rows.values_list("output_id", "judgment__rater__username", "scores").iterator(5000):
        latest[output, rater] = scores
    return [
        (
            criterion,
            [
                (item, by, scores[criterion["key"]])
                for (item, by), scores in latest.items()
                if criterion["key"] in scores
            ],
        )
        for criterion in project.criteria
    ]
