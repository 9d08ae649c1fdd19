"""Votes out of the judgments, where tallies do not tell enough: their order, their moment, the answers' lengths."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, groupby
from operator import itemgetter

from django.db.models import F, QuerySet

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, JudgmentItem

COMPARED = ("pairwise", "ranking")


@dataclass(frozen=True, slots=True)
class Vote:
    """One pairwise comparison. outcome: 1 when a won, 0 when b won, ½ for a tie, None when both were bad."""

    judgment: int
    model_a: int
    model_b: int
    outcome: float | None
    chars_a: int | None
    chars_b: int | None


def in_force(project: Project, as_of: datetime | None = None) -> QuerySet[Judgment]:
    """The project's comparisons and rankings that count, now or as it was at `as_of`."""
    return Judgment.objects.in_force(as_of).filter(project=project, kind__in=COMPARED)


def votes_in_order(
    project: Project,
    *,
    category: str | None = None,
    as_of: datetime | None = None,
    between: tuple[ModelVersion, ModelVersion] | None = None,
) -> Iterator[Vote]:
    """The votes by timestamp (their own, else their receipt), then row; a ranking as its pairs."""
    judgments = in_force(project, as_of)
    if category is not None:
        judgments = judgments.filter(category=category)
    for model in between or ():
        judgments = judgments.filter(items__model=model)
    items = (
        JudgmentItem.objects.filter(judgment__in=judgments)
        .annotate(none_acceptable=F("judgment__none_acceptable"))
        .order_by("judgment__occurred_at", "judgment_id", "position")
        .values_list("judgment_id", "model_id", "tier", "chars", "none_acceptable")
    )
    for judgment, group in groupby(items.iterator(chunk_size=5000), key=itemgetter(0)):
        found = list(group)
        if any(model is None for _, model, *_ in found):
            continue  # an imported preference that names no model trains, and counts for none
        for one, other in combinations(found, 2):
            if one[1] == other[1]:
                continue  # two answers of one model: no contest between models
            if between is None or {one[1], other[1]} == {model.pk for model in between}:
                yield Vote(judgment, one[1], other[1], _outcome(one, other), one[3], other[3])


def _outcome(one: tuple, other: tuple) -> float | None:
    if one[4]:
        return None
    if one[2] == other[2]:
        return 0.5
    return 1.0 if one[2] < other[2] else 0.0
