"""What a tuning may have cost: general language forgotten, weights grown odd. Two steps after a round, in words."""

from feedbackhub.catalog.generations import base_spec
from feedbackhub.evaluation.models import Evaluation, Suite
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run

from .models import Round

JOB = "feedbackhub.rounds.jobs.measure"
# Of the perplexity on general text, tuned over parent.
LITTLE, MUCH = 1.02, 1.10


def forgetting_begin(tuning_round: Round) -> Evaluation:
    """Measure the new model on the fixed general text; beside its parent where it has no adapter to switch off."""
    child, parent = tuning_round.model, tuning_round.base_model
    models = [child] if child.adapter else [child, parent]
    return evaluation_create(project=tuning_round.project, models=models, suite=Suite.FORGETTING)


def forgetting_words(tuning_round: Round, evaluation: Evaluation) -> str:
    """What the measures say, for the step's message."""
    found = {(one.model_id, one.metric): one for one in evaluation.results.all()}
    child, parent = tuning_round.model_id, tuning_round.base_model_id
    after = found.get((child, "perplexity"))
    before = found.get((child, "base_perplexity")) or found.get((parent, "perplexity"))
    if after is None or before is None or not before.value:
        return "It was measured, but not beside its parent: see the evaluation."
    ratio = found.get((child, "perplexity_ratio"))
    times = ratio.value if ratio else after.value / before.value
    within = f" [{ratio.lower:.2f}, {ratio.upper:.2f}]" if ratio and ratio.lower is not None else ""
    moved = f"from {before.value:.1f} to {after.value:.1f} (× {times:.2f}{within})"
    if times > MUCH:
        return (
            f"It forgot: its perplexity on general text rose {moved}. A lower learning rate, fewer steps, a larger β "
            "or a smaller rank hold it closer to its parent."
        )
    if times > LITTLE:
        return f"It forgot a little: its perplexity on general text rose {moved}."
    return f"It forgot nothing that shows: its perplexity on general text went {moved}."


def weights_begin(tuning_round: Round) -> Run:
    """Fit power laws to the spectra of the new model's matrices, before and after (training/spectra.py)."""
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
