"""A against B: the counts, the tests, the verdict, and what limits them. docs/reports.md says what each number is."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, PairTally
from feedbackhub.stats.compare import compare

from .ab_metrics import metrics
from .ab_words import words_of
from .pair_votes import VOTES_AT_MOST
from .vote_facts import (
    ALIKE,
    IMPORTED,
    LONGER,
    SHORTER,
    SIMULATED,
    UNGROUPED,
    UNKNOWN,
    Counts,
    VoteFacts,
    vote_facts,
)  # fmt: skip

FEW = 20  # votes, below which a slice says nothing
CLUSTERED = 1.05  # a design effect that is worth a word


def ab(
    *,
    project: Project,
    a: ModelVersion,
    b: ModelVersion,
    category: str | None = None,
    facts: VoteFacts | None = None,
    with_metrics: bool = True,
) -> dict:
    """`a` against `b`, from `a`'s side; with `category`, by its votes alone. DomainError: they are the same model.

    Counts are those of the tallies; what needs the votes themselves (position, length, raters, prompts, the design
    effect) goes by the latest 50,000 of them, or by `facts` where the caller has read them. Metrics are resampled; a
    page that says only the verdict need not wait for that (`with_metrics`).
    """
    if a.pk == b.pk:
        message = _('"%(a)s" against itself says nothing; name two different models.') % {"a": a.name}
        raise DomainError(message, fields={"b": message})
    by_category, simulated = _tallied(project, a, b, category)
    total = sum(by_category.values(), np.zeros(4, dtype=np.int64))
    if facts is None:
        facts = vote_facts(
            project, a, b, category, [(name, *by_category[name].tolist()) for name in sorted(by_category)]
        )
    smallest, effect = project.smallest_difference / 100, facts.design_effect
    found = {
        "a": a.name,
        "b": b.name,
        **_compared(total, smallest, effect),
        "simulated": simulated,
        "categories": [
            {"category": name, **_compared(by_category[name], smallest, effect), "few": _is_few(by_category[name])}
            for name in sorted(by_category)
            if name
        ],
        "lengths": _slices(_by_length(facts), smallest, effect),
        "raters": _slices(_by_raters(facts), smallest, effect),
        "by_prompt": facts.by_prompt,
        "position_bias": facts.position_bias,
        "metrics": metrics(project=project, a=a, b=b) if with_metrics else [],
    }
    shared = _shared_prompts(project, a, b)
    return {**found, "shared_prompts": shared, "notes": _notes(found, shared, total, with_metrics), **words_of(found)}


def _tallied(
    project: Project, a: ModelVersion, b: ModelVersion, category: str | None
) -> tuple[dict[str, np.ndarray], int]:
    """({category: (wins, losses, ties, both bad)} of `a`, how many of them by simulated raters)."""
    by_category: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(4, dtype=np.int64))
    low, high = sorted((a, b), key=lambda model: model.pk)
    rows = PairTally.objects.filter(project=project, model_a=low, model_b=high)
    if category is not None:
        rows = rows.filter(category=category)
    simulated = 0
    for name, source, *counts in rows.values_list("category", "source", "wins_a", "wins_b", "ties", "both_bad"):
        by_category[name] += np.array(counts if a is low else [counts[1], counts[0], *counts[2:]])
        simulated += sum(counts) if source == Judgment.Source.SIMULATED else 0
    return by_category, simulated


def _compared(counts: Iterable[int], smallest: float, effect: float) -> dict:
    return compare(
        *(int(count) for count in counts), smallest_difference=smallest, design_effect=effect
    ).as_dict()  # fmt: skip


def _is_few(counts: Iterable[int]) -> bool:
    return int(sum(list(counts)[:3])) < FEW


# --- Slices -----------------------------------------------------------------------------------------------------

LENGTH_WORDS = {
    LONGER: lazy("%(a)s wrote more"),
    ALIKE: lazy("about as long"),
    SHORTER: lazy("%(b)s wrote more"),
    UNKNOWN: lazy("lengths not known"),
}
RATER_WORDS = {
    SIMULATED: lazy("simulated raters"),
    IMPORTED: lazy("imported votes"),
    UNGROUPED: lazy("raters in no group"),
}


def _slices(counted: Iterable[tuple[str, Counts]], smallest: float, effect: float) -> list[dict]:
    return [
        {"slice": name, **_compared(counts, smallest, effect), "few": _is_few(counts)} for name, counts in counted
    ]  # fmt: skip


def _by_length(facts: VoteFacts) -> list[tuple[str, Counts]]:
    return [(name, facts.lengths[name]) for name in LENGTH_WORDS if name in facts.lengths]


def _by_raters(facts: VoteFacts) -> list[tuple[str, Counts]]:
    """By the name of the group, else in words."""
    return sorted((name or str(RATER_WORDS[kind]), counts) for (kind, name), counts in facts.raters.items())


# --- What the votes are about -----------------------------------------------------------------------------------


def _shared_prompts(project: Project, a: ModelVersion, b: ModelVersion) -> int:
    """How many prompts both have answered."""
    ours, theirs = (
        Output.objects.filter(prompt__project=project, model=model).values("prompt") for model in (a, b)
    )  # fmt: skip
    return ours.filter(prompt__in=theirs).distinct().count()


# --- What is to be said of it -----------------------------------------------------------------------------------


def _notes(found: dict, shared: int, total: np.ndarray, with_metrics: bool) -> list[dict]:
    """[{code, value, text}]: what limits the numbers, and what to do about it."""
    notes = []

    def note(code: str, value, text: str) -> None:
        notes.append({"code": code, "value": value, "text": text})

    names, votes = {"a": found["a"], "b": found["b"]}, int(total[:3].sum())
    if not total.sum() and not shared:
        words = _("%(a)s and %(b)s have no prompt in common: let both answer the same prompts, then raters compare.")
        note("no_shared_prompts", 0, words % names)
    elif not total.sum():
        words = ngettext(
            "Nobody has compared the two yet; both have answered %(count)s prompt: make tasks of it.",
            "Nobody has compared the two yet; both have answered %(count)s prompts: make tasks of them.",
            shared,
        )
        note("never_met", shared, words % {"count": shared})
    elif votes < FEW:
        words = ngettext("%(count)s vote says very little.", "%(count)s votes say very little.", votes)
        note("few_votes", votes, words % {"count": votes})
    few = [part["category"] for part in found["categories"] if part["few"]]
    if few and votes >= FEW:
        words = _("Too few votes to say anything of: %(slices)s.")
        note("few_in_slice", few, words % {"slices": ", ".join(few)})
    effect = found["design_effect"]
    if effect > CLUSTERED:
        words = _(
            "Votes on one prompt are alike (%(votes)s votes on %(prompts)s prompts): %(effect)s of them tell as much "
            "as one on a prompt of its own, and the verdict counts them so."
        )
        given = {"votes": votes, "prompts": found["by_prompt"]["prompts"], "effect": f"{effect:.1f}"}
        note("clustered", effect, words % given)
    bias = found["position_bias"]
    if bias["rate"] is not None and not bias["lower"] <= 0.5 <= bias["upper"]:
        words = _("The answer shown first won %(percent)s %% of the decided votes; sides are drawn, so it hits both.")
        note("position_bias", bias["rate"], words % {"percent": round(100 * bias["rate"])})
    if votes > VOTES_AT_MOST:
        words = _("Lengths, raters, prompts and position go by the latest %(count)s votes.")
        note("latest_only", VOTES_AT_MOST, words % {"count": VOTES_AT_MOST})
    if not found["metrics"] and with_metrics:
        words = _("No automatic metric was taken of both on the same prompts: evaluate both; ROUGE needs references.")
        note("no_metrics", 0, words)
    return notes
