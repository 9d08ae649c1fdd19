"""Standings and comparisons. The default board is computed from tallies: its cost does not grow with the votes."""

from collections import defaultdict
from datetime import datetime

import numpy as np
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation.models import Result
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, PairTally
from feedbackhub.stats.compare import compare
from feedbackhub.stats.intervals import wilson_interval

from .boards import board_compute
from .models import Standing
from .options import Options, categories
from .standings import standing_read
from .votes import votes_in_order
from .words import noted

__all__ = ["ab", "board", "board_of", "categories", "metrics", "position_bias"]

MODELS_AT_ONCE = 40  # up to which simultaneous ranks are drawn while one waits


def board(
    *,
    project: Project,
    method: str = "bt",
    category: str | None = None,
    control: str | None = None,
    as_of: datetime | None = None,
) -> dict:
    """The leaderboard, as docs/leaderboard.md describes it.

    `win_matrix[i][j]`: votes of row i's model against row j's, a tie as ½. Raises DomainError: unknown method,
    control or category, or a control that the method does not have.
    """
    return board_of(project=project, options=Options(method=method, category=category, control=control, as_of=as_of))


def board_of(*, project: Project, options: Options, wait: bool = True) -> dict | None:
    """The board by any options. What tallies give includes the last committed vote; the rest is a standing with its
    time, `standing: {computed_at, seconds, current}`, and None where it has still to be computed and nobody waits.

    Beside the default, `options` says what is not. Raises DomainError as `Options.check` does.
    """
    options.check(project)
    at_once = options.of_tallies and options.intervals != "bootstrap"
    if at_once and options.intervals == "simultaneous":
        at_once = ModelVersion.objects.filter(project=project).count() <= MODELS_AT_ONCE
    if at_once:
        answer = board_compute(project, options)
    else:
        view = standing_read(project=project, kind=Standing.Kind.BOARD, options=options, wait=wait)
        if view.answer is None:
            return None
        kept = {"computed_at": view.computed_at, "seconds": view.seconds, "current": view.current}
        answer = {**view.answer, "as_of": options.as_of or view.computed_at, "standing": kept}
    answer["notes"] = [noted(note) for note in answer["notes"]]
    return answer | ({"options": options.changed} if options.changed else {})


# --- A against B ------------------------------------------------------------------------------------------------


def ab(*, project: Project, a: ModelVersion, b: ModelVersion) -> dict:
    """`a` against `b`, from `a`'s side. Raises DomainError when they are the same model."""
    if a.pk == b.pk:
        message = _('"%(a)s" against itself says nothing; name two different models.') % {"a": a.name}
        raise DomainError(message, fields={"b": message})
    by_category: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(4, dtype=np.int64))
    low, high = sorted((a, b), key=lambda model: model.pk)
    rows = PairTally.objects.filter(project=project, model_a=low, model_b=high)
    for category, *counts in rows.values_list("category", "wins_a", "wins_b", "ties", "both_bad"):
        by_category[category] += np.array(counts if a is low else [counts[1], counts[0], *counts[2:]])
    simulated = rows.filter(source=Judgment.Source.SIMULATED)
    total = sum(by_category.values(), np.zeros(4, dtype=np.int64))
    return {
        "a": a.name,
        "b": b.name,
        **_compared(total),
        "simulated": sum(sum(counts) for counts in simulated.values_list("wins_a", "wins_b", "ties", "both_bad")),
        "categories": [{"category": name, **_compared(by_category[name])} for name in sorted(by_category) if name],
        "position_bias": position_bias(project=project, a=a, b=b),
        "metrics": metrics(project=project, a=a, b=b),
    }


def _compared(counts: np.ndarray) -> dict:
    return compare(*(int(count) for count in counts)).as_dict()


def position_bias(*, project: Project, a: ModelVersion, b: ModelVersion) -> dict:
    """How often the answer shown first won, of the decided votes between two models: {first, decided, rate, lower,
    upper}; the rate and its 95 % Wilson interval are None without such votes."""
    decided = [vote.outcome for vote in votes_in_order(project, between=(a, b)) if vote.outcome in (0.0, 1.0)]
    first = sum(outcome == 1.0 for outcome in decided)
    if not decided:
        return {"first": 0, "decided": 0, "rate": None, "lower": None, "upper": None}
    lower, upper = wilson_interval(first, len(decided))
    return {"first": first, "decided": len(decided), "rate": first / len(decided), "lower": lower, "upper": upper}


def metrics(*, project: Project, a: ModelVersion, b: ModelVersion) -> list[dict]:
    """The latest automatic metrics that both models have from one evaluation: [{metric, a, b}], each with interval."""
    results = Result.objects.filter(evaluation__project=project, model__in=(a, b), evaluation__status="done")
    found: dict[tuple[int, str], dict] = defaultdict(dict)
    for result in results.order_by("evaluation_id"):
        measured = {name: getattr(result, name) for name in ("value", "lower", "upper", "n")}
        found[result.evaluation_id, result.metric]["a" if result.model_id == a.pk else "b"] = measured
    latest = {metric: sides for (_, metric), sides in sorted(found.items(), key=lambda one: one[0]) if len(sides) == 2}
    return [{"metric": metric, **sides} for metric, sides in sorted(latest.items())]
