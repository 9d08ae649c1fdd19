"""Whether people agree with a reward model: what they have preferred since it was made, against what it would have.

Every pair of answers that a person told apart counts once, where the model has scored both; ties and both-bad do not,
nor do simulated raters or imported votes. Its chance for a pair is the mean over its heads of σ(difference).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import fmean

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import TaskKind
from feedbackhub.rating.models import Judgment, JudgmentItem
from feedbackhub.rating.shares import Share

from .models import OutputScore

PERIODS = (1, 7, 28)  # days; the first that makes few enough
PERIODS_AT_MOST = 24
BINS = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.0))


@dataclass(frozen=True)
class Judged:
    """A pair that a person told apart. chance: that the preferred one is preferred, by the reward model."""

    at: datetime
    category: str
    chance: float
    is_new: bool  # nobody had judged an answer to its prompt before the model was made

    @property
    def agrees(self) -> bool:
        return self.chance > 0.5

    @property
    def confidence(self) -> float:
        return max(self.chance, 1 - self.chance)


def judged_pairs(model: ModelVersion) -> list[Judged]:
    """The pairs, in the order they were judged. A pair that the model calls exactly even is left out."""
    people = Judgment.objects.in_force().filter(project=model.project, source=Judgment.Source.RATER)
    since = people.filter(
        received_at__gt=model.created_at, none_acceptable=False, kind__in=(TaskKind.PAIRWISE, TaskKind.RANKING)
    )
    rows = JudgmentItem.objects.filter(judgment__in=since, output__reward_scores__reward_model=model)
    fields = ("judgment_id", "judgment__occurred_at", "judgment__category", "judgment__prompt_id", "tier", "output_id")
    by_judgment = defaultdict(list)
    for row in rows.order_by("judgment__occurred_at", "judgment_id").values_list(*fields):
        by_judgment[row[:4]].append(row[4:])
    heads = dict(OutputScore.objects.filter(reward_model=model).values_list("output_id", "heads"))
    known = set(people.filter(received_at__lte=model.created_at).values_list("prompt_id", flat=True))
    found = []
    for (_, at, category, prompt), items in by_judgment.items():
        for (tier, one), (other_tier, other) in combinations(items, 2):
            if tier is None or other_tier is None or tier == other_tier:
                continue
            better, worse = (one, other) if tier < other_tier else (other, one)
            chance = fmean(1 / (1 + math.exp(b - a)) for a, b in zip(heads[better], heads[worse], strict=True))
            if chance != 0.5:
                found.append(Judged(at, category, chance, prompt not in known))
    return found


def share(pairs: Iterable[Judged]) -> Share:
    pairs = list(pairs)
    return Share(sum(pair.agrees for pair in pairs), len(pairs))


def over_time(pairs: list[Judged]) -> list[tuple[str, Share]]:
    """(the first day of a period, the agreement in it), by day, week or four weeks; periods without a pair left out."""
    if not pairs:
        return []
    first, last = min(pair.at for pair in pairs).date(), max(pair.at for pair in pairs).date()
    days = next((days for days in PERIODS if (last - first).days < days * PERIODS_AT_MOST), PERIODS[-1])
    began = _grouped(pairs, lambda pair: first + timedelta(days=(pair.at.date() - first).days // days * days))
    return [(day.isoformat(), share(found)) for day, found in sorted(began.items())][-PERIODS_AT_MOST:]


def by_category(pairs: list[Judged]) -> list[tuple[str, Share]]:
    """The categories by their number of pairs, the most first."""
    found = _grouped(pairs, lambda pair: pair.category)
    return sorted(((name, share(part)) for name, part in found.items()), key=lambda one: (-one[1].whole, one[0]))


def _grouped(pairs: list[Judged], key: Callable) -> dict:
    found = defaultdict(list)
    for pair in pairs:
        found[key(pair)].append(pair)
    return found


@dataclass(frozen=True)
class Part:
    """Pairs of like confidence: how sure it was of them on average, and how often people agreed."""

    said: float
    seen: Share


def reliability(pairs: list[Judged]) -> list[Part]:
    """In tenths of its confidence, the least sure first; empty tenths left out."""
    parts = []
    for low, high in BINS:
        inside = [pair for pair in pairs if low <= pair.confidence < high or pair.confidence == high == 1.0]
        if inside:
            parts.append(Part(fmean(pair.confidence for pair in inside), share(inside)))
    return parts


def calibration(pairs: list[Judged]) -> dict | None:
    """`{said, error, verdict: calibrated|too_sure|not_sure_enough}`: whether its confidence is what it is worth.

    said: its mean confidence. error: the expected calibration error over `reliability` (Guo et al. 2017, arXiv
    1706.04599, equation 3). verdict: whether `said` lies in the interval of the agreement.
    """
    if not pairs:
        return None
    said, seen = fmean(pair.confidence for pair in pairs), share(pairs)
    lower, upper = seen.interval
    error = sum(part.seen.whole * abs(part.said - part.seen.value) for part in reliability(pairs)) / len(pairs)
    verdict = "calibrated" if lower <= said <= upper else "too_sure" if said > upper else "not_sure_enough"
    return {"said": said, "error": error, "verdict": verdict}


def agreement(model: ModelVersion) -> dict:
    """All of it, as the API answers it and the page draws it."""
    pairs = judged_pairs(model)
    return {
        "pairs": len(pairs),
        "overall": _shown(share(pairs)),
        "new_prompts": _shown(share(pair for pair in pairs if pair.is_new)),
        "known_prompts": _shown(share(pair for pair in pairs if not pair.is_new)),
        "over_time": [{"from": day, **_shown(found)} for day, found in over_time(pairs)],
        "by_category": [{"category": name, **_shown(found)} for name, found in by_category(pairs)],
        "reliability": [{"said": part.said, **_shown(part.seen)} for part in reliability(pairs)],
        "calibration": calibration(pairs),
    }


def _shown(found: Share) -> dict:
    lower, upper = found.interval
    return {"agreed": found.part, "pairs": found.whole, "value": found.value, "lower": lower, "upper": upper}
