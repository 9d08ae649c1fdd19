"""What a tuning may have cost: general language forgotten, weights grown odd. Two steps after a round, in words."""

import math

from feedbackhub.catalog.generations import base_spec
from feedbackhub.evaluation.models import Evaluation, Suite
from feedbackhub.evaluation.selectors import Difference, difference_of
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run

from .models import Round

JOB = "feedbackhub.rounds.jobs.measure"
# Of the perplexity on general text, tuned over parent.
LITTLE, MUCH = 1.02, 1.10


def forgetting_begin(tuning_round: Round) -> Evaluation:
    """Measure the new model on the fixed general text and questions; beside its parent where it has no adapter to
    switch off."""
    child, parent = tuning_round.model, tuning_round.base_model
    models = [child] if child.adapter else [child, parent]
    return evaluation_create(project=tuning_round.project, models=models, suite=Suite.FORGETTING)


def forgetting_words(tuning_round: Round, evaluation: Evaluation) -> str:
    """What the measures say, for the step's message: how it reads general text, and how it answers general questions.

    It forgot where either says so: the perplexity by how much it rose, the answers where chance does not explain the
    change.
    """
    found = {(one.model_id, one.metric): one for one in evaluation.results.all()}
    times, surprised = _perplexity(tuning_round, found)
    change, answered = _answered(tuning_round, evaluation, found)
    facts = "; ".join(filter(None, (surprised, answered)))
    if not facts:
        return "It was measured, but not beside its parent: see the evaluation."
    if times > MUCH or change and change.verdict == "worse":
        return (
            f"It forgot: {facts}. A lower learning rate, fewer steps, a larger β or a smaller rank hold it closer to "
            "its parent."
        )
    return f"It forgot a little: {facts}." if times > LITTLE else f"It forgot nothing that shows: {facts}."


def _perplexity(tuning_round: Round, found: dict) -> tuple[float, str]:
    """(perplexity over the parent's, in words); (1, "") where the parent's is missing."""
    child, parent = tuning_round.model_id, tuning_round.base_model_id
    after = found.get((child, "perplexity"))
    before = found.get((child, "base_perplexity")) or found.get((parent, "perplexity"))
    if before is None or not before.value:
        return 1.0, ""
    if after is None:  # it was measured, and an infinite one is not stored
        return math.inf, f"its perplexity on general text rose from {before.value:.1f} to infinity"
    ratio = found.get((child, "perplexity_ratio"))
    times = ratio.value if ratio else after.value / before.value
    within = f" [{ratio.lower:.2f}, {ratio.upper:.2f}]" if ratio and ratio.lower is not None else ""
    moved = f"from {before.value:.1f} to {after.value:.1f} (× {times:.2f}{within})"
    return times, f"its perplexity on general text {'rose' if times > LITTLE else 'went'} {moved}"


def _answered(tuning_round: Round, evaluation: Evaluation, found: dict) -> tuple[Difference | None, str]:
    """(change of the share of general questions answered right, in words); (None, "") where one is missing."""
    child, parent = tuning_round.model_id, tuning_round.base_model_id
    after = found.get((child, "accuracy"))
    before = found.get((child, "base_accuracy")) or found.get((parent, "accuracy"))
    if after is None or before is None:
        return None, ""
    part = evaluation.parts.select_related("run").filter(model=child).first()
    measured = ((part.run.result if part else None) or {}).get("metrics", {}).get("accuracy_change")
    paired = measured or (part.differences.get("accuracy") if part else None)
    change = difference_of("accuracy_change", paired or {"value": after.value - before.value})
    within = "" if change.lower is None else f" [{change.lower:+.1f}, {change.upper:+.1f}]"
    moved = f"{after.value:.1f} % right, before {before.value:.1f} % ({change.value:+.1f} points{within})"
    return change, f"of {after.n} simple questions it answers {moved}"


def weights_begin(tuning_round: Round) -> Run:
    """Fit power laws to the spectra of the new model's matrices, before and after (training/suites/spectra.py)."""
    child, parent = tuning_round.model, tuning_round.base_model
    spec = {"base": base_spec(child), "settings": {}, "data": {}}
    if not child.adapter:
        spec["before"] = base_spec(parent)
    run = runs.run_create(
        project=tuning_round.project, recipe="weights", spec=spec, files={}, queue="training", job=JOB
    )
    runs.run_queue(run=run)
    return run


def weights_words(run: Run) -> str:
    """What the exponents say, for the step's message."""
    found = (run.result or {}).get("spectra") or {}
    after, before = found.get("after"), found.get("before")
    if not after:
        return "Its matrices are too small to fit power laws to."
    matrices = found["matrices"]
    middle = f"{before['median']:.2f} → {after['median']:.2f}" if before else f"{after['median']:.2f}"
    said = [f"Median exponent α of {matrices} matrices: {middle} (2 to 6 is well trained)."]
    said.append(f"{_were('over_trained', before, after)} below 2, {_were('under_trained', before, after)} above 6.")
    if before and after["over_trained"] > before["over_trained"] + 0.02 * matrices:
        said.append("More matrices look over-trained than before: fewer epochs or a lower learning rate would do.")
    elif before and abs(after["median"] - before["median"]) < 0.05:
        said.append("The tuning has not changed their shape.")
    if changed := found.get("changed"):
        most = changed[0]
        said.append(f"Most moved: {most['matrix']}, {most['before']:.2f} → {most['after']:.2f}.")
    return " ".join(said)


def _were(name: str, before: dict | None, after: dict) -> str:
    return f"{after[name]} (before: {before[name]})" if before else str(after[name])
