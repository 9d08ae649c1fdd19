"""A small search for a round's settings: learning rate, then β, then rank, each at its best so far, a run a try.

Every try is a run directory of its own through the seam, on the round's own train rows, cut short to the same number of
steps; it is judged on the validation rows, and no test row is read. What is there is not run again, so that a search
goes on where it was stopped. The pick is the one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984,
"Classification and regression trees", section 3.4.3): of the tries that are not worse than the best by more than its
standard error, the one nearest to the settings that it began with.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run, RunState

from . import services
from .models import PreferenceDataset
from .recipes import recipe_check, schema, settings_check

JOB = "feedbackhub.rounds.jobs.measure"
STEPS, VALIDATION_ROWS = 40, 256
# What is tried of each setting, as factors of where the search stands.
FACTORS = {"learning_rate": (1 / 3, 3.0), "beta": (1 / 3, 3.0), "lora_r": (0.5, 2.0)}


@dataclass(frozen=True)
class Try:
    """Settings that were tried; `score` is higher when better, with its standard error."""

    settings: dict
    run: Run
    score: float
    error: float
    steps_away: float  # from where the search began, in doublings


@dataclass(frozen=True)
class Search:
    tries: list[Try]
    pick: Try
    metric: str
    reason: str


def search(
    *,
    project: Project,
    by: User,
    recipe: str,
    base_model: ModelVersion,
    dataset: PreferenceDataset,
    finish: Callable[[Run], Run],
    settings: dict | None = None,
    steps: int = STEPS,
) -> Search:
    """Search from `settings`. finish: brings a run to its end, and returns it.

    Raises DomainError: what a round with these would be refused for; no validation row; no try that came to its end.
    """
    recipe_check(recipe)
    began = settings_check(recipe, settings or {})
    services._base_check(project, base_model)
    services._dataset_check(project, recipe, dataset)
    if not dataset.counts.get("validation"):
        message = _("This dataset has no validation row to choose on: judge some prompts of the split “validation”.")
        raise DomainError(message, fields={"dataset": message})
    rules = schema()[recipe]["settings"]
    searched = [name for name in FACTORS if name in rules]
    start = {name: began.get(name, rules[name]["default"]) for name in searched}

    def tried(found: dict) -> Try | None:
        run = finish(_run(project, by, recipe, base_model, dataset, {**began, **found}, steps))
        return _judged(run, recipe, found, start, min(VALIDATION_ROWS, dataset.counts["validation"]))

    tries = [first] if (first := tried(start)) else []
    stands = start
    for name in searched:
        for value in _around(stands[name], FACTORS[name], rules[name]):
            if one := tried({**stands, name: value}):
                tries.append(one)
        if tries:
            stands = max(tries, key=lambda one: one.score).settings
    if not tries:
        raise DomainError(_("None of the tries came to its end: their runs say why."))
    return _chosen(tries, recipe)


def _around(value: float, factors: tuple[float, ...], rule: dict) -> Iterator[float]:
    for factor in factors:
        found = value * factor
        found = max(1, round(found)) if rule["type"].startswith("int") else float(f"{found:.3g}")
        low, high = rule.get("minimum"), rule.get("maximum")
        if found != value and (low is None or found >= low) and (high is None or found <= high):
            yield found


def _run(project, by, recipe, base_model, dataset, settings, steps) -> Run:
    """The run of a try: the one that is there already, or a new one."""
    tried = {name: value for name, value in settings.items() if value is not None}
    known = {"max_steps": steps, "sample_count": 0, "validation_rows": VALIDATION_ROWS, "eval_every": steps}
    if "lora_r" in tried:
        tried["lora_alpha"] = 2 * tried["lora_r"]
    spec = services._spec(0, recipe, base_model, dataset, {**tried, **known})
    spec |= {"title": f"search of dataset {dataset.pk} from {base_model.name}", "data": {**spec["data"]}}
    del spec["data"]["samples"]
    spec["recipe"] = recipe
    earlier = Run.objects.filter(project=project, recipe=recipe, spec__title=spec["title"]).order_by("-pk")
    if found := next((run for run in earlier if run.spec == spec), None):
        return found
    files = services._files(project, dataset)
    del files["data/samples.jsonl"]
    return runs.run_create(project=project, recipe=recipe, spec=spec, files=files, queue="training", job=JOB, by=by)


def _judged(run: Run, recipe: str, settings: dict, start: dict, rows: int) -> Try | None:
    """The try with its score, None where it failed: a rate that diverges is an answer too."""
    metrics = (run.result or {}).get("metrics") or {}
    value = metrics.get(f"validation_{_metric(recipe)}")
    if run.state != RunState.COMPLETED or value is None or not math.isfinite(value):
        return None
    # Of a share its binomial error; a mean loss has none here, and a hundredth stands for it.
    error = math.sqrt(max(value * (1 - value), 1e-9) / rows) if _metric(recipe) == "accuracy" else 0.01 * abs(value)
    score = value if _metric(recipe) == "accuracy" else -value
    away = sum(abs(math.log2(settings[name] / start[name])) for name in settings if start[name])
    return Try(settings, run, score, error, away)


def _metric(recipe: str) -> str:
    """What the validation rows are judged by. β scales the loss of preferences: only their accuracy can be compared."""
    return "loss" if recipe == "sft" else "accuracy"


def _chosen(tries: list[Try], recipe: str) -> Search:
    best = max(tries, key=lambda one: one.score)
    close = [one for one in tries if one.score >= best.score - best.error]
    pick = min(close, key=lambda one: (one.steps_away, -one.score))
    shown = ", ".join(f"{name} {value:g}" for name, value in pick.settings.items())
    of_best, of_pick = abs(best.score), abs(pick.score)
    metric = _metric(recipe)
    if pick is best:
        reason = f"{shown}: the best validation {metric} of {len(tries)} tries, {of_pick:.4g} ± {best.error:.2g}."
    else:
        reason = (
            f"{shown}: validation {metric} {of_pick:.4g}, within one standard error ({best.error:.2g}) of the best of "
            f"{len(tries)} tries ({of_best:.4g}), and nearest to the settings that it began with."
        )
    return Search(tries, pick, metric, reason)
