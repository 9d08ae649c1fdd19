"""Each tuned model against its parent, all of them looked at together."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import PairTally
from feedbackhub.stats.compare import BETTER, NOT_ENOUGH, WORSE, anytime_verdict
from feedbackhub.stats.multiple import e_benjamini_hochberg

from .vote_facts import vote_facts


def children(project: Project) -> list[ModelVersion]:
    """The project's policy models that have a parent, latest first."""
    tuned = ModelVersion.objects.filter(project=project, parent__isnull=False, role=ModelVersion.Purpose.POLICY)
    return list(tuned.select_related("parent").order_by("-pk"))


def latest_pair(project: Project) -> tuple[ModelVersion, ModelVersion] | None:
    """The latest child with its parent: what an A/B page shows by itself. One with votes before one without."""
    found = children(project)
    met = _counts(project, found)
    chosen = next((child for child in found if any(met.get(child.pk, ()))), found[0] if found else None)
    return (chosen, chosen.parent) if chosen else None


def together(project: Project) -> dict:
    """{rows, seem, hold, text}: each child against its parent with `verdict`, `e_value` and whether it `holds` when
    all of them are looked at at once (e-BH at 5 %); only those that were compared at all."""
    rows = []
    found = children(project)
    met = _counts(project, found)
    smallest = project.smallest_difference / 100
    for child in found:
        counts = met.get(child.pk, (0, 0, 0))
        if not any(counts):
            continue
        tested, verdict = anytime_verdict(*counts, smallest_difference=smallest)
        if verdict != NOT_ENOUGH:  # votes that are alike can only tell less
            effect = vote_facts(project, child, child.parent, None, counts).design_effect
            tested, verdict = anytime_verdict(*(n / effect for n in counts), smallest_difference=smallest)
        wins, losses, ties = counts
        rows.append({"a": child.name, "b": child.parent.name, "verdict": verdict, "votes": sum(counts),
                     "win_rate": (wins + ties / 2) / sum(counts), "lower": tested.lower, "upper": tested.upper,
                     "e_value": tested.e_value})  # fmt: skip
    for row, holds in zip(rows, e_benjamini_hochberg([row["e_value"] for row in rows]), strict=True):
        row["holds"] = bool(holds)
    seem = sum(row["verdict"] in (BETTER, WORSE) for row in rows)
    hold = sum(row["holds"] and row["verdict"] in (BETTER, WORSE) for row in rows)
    return {"rows": rows, "seem": seem, "hold": hold, "text": _words(len(rows), seem, hold)}


def _counts(project: Project, found: list[ModelVersion]) -> dict[int, tuple[int, int, int]]:
    """Child → (wins, losses, ties) against its parent."""
    pairs = {frozenset((child.pk, child.parent_id)): child for child in found}
    sums: dict[int, list[int]] = {}
    ids = {pk for pair in pairs for pk in pair}
    rows = PairTally.objects.filter(project=project, model_a__in=ids, model_b__in=ids)
    for a, b, wins_a, wins_b, ties in rows.values_list("model_a_id", "model_b_id", "wins_a", "wins_b", "ties"):
        child = pairs.get(frozenset((a, b)))
        if child is None:
            continue
        ours = (wins_a, wins_b, ties) if child.pk == a else (wins_b, wins_a, ties)
        sums[child.pk] = [x + y for x, y in zip(sums.get(child.pk, (0, 0, 0)), ours, strict=True)]
    return {pk: tuple(counts) for pk, counts in sums.items()}


def _words(count: int, seem: int, hold: int) -> str:
    if count < 2:
        return ""
    if not seem:
        return _("%(count)s tuned models were compared with their parents; none is settled.") % {"count": count}
    words = ngettext(
        "Of %(count)s tuned models, %(seem)s differs from its parent by itself; %(hold)s still does when all "
        "are looked at together.",
        "Of %(count)s tuned models, %(seem)s differ from their parents by themselves; %(hold)s still do when all "
        "are looked at together.",
        seem,
    )
    return words % {"count": count, "seem": seem, "hold": hold}
