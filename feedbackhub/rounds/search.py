"""A small search for a round's settings: learning rate, then β, then rank, each at its best so far, a run a try.

Every try is a run directory of its own through the seam, on the round's own train rows, cut short to the same number of
steps; it is judged on the validation rows, and no test row is read. What is there is not run again, so that a search
goes on where it was stopped. The pick is the one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984,
"Classification and regression trees", section 3.4.3): of the tries that are not worse than the best by more than its
standard error, the one nearest to the settings that it began with.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run, RunState
from feedbackhub.stats.intervals import wilson_interval

from . import services
from .models import PreferenceDataset
from .recipes import recipe_check, schema, settings_check

JOB = "feedbackhub.rounds.jobs.measure"
STEPS, VALIDATION_ROWS = 40, 256
# What is tried of each setting, as factors of where the search stands.
FACTORS = {"learning_rate": (1 / 3, 3.0), "beta": (1 / 3, 3.0), "lora_r": (0.5, 2.0)}


METRICS = {"accuracy": lazy("accuracy"), "loss": lazy("loss")}


@dataclass(frozen=True)
class Try:
    """Settings that were tried; `score` is higher when better, with its standard error; both None where it failed."""

    settings: dict
    run: Run
    score: float | None
    error: float | None
    steps_away: float  # from where the search began, in doublings


@dataclass(frozen=True)
class Search:
    """What is known of a search: every try in order; the pick, unless it waits for a run or nothing came to its end."""

    made: list[Try]
    metric: str
    rows: int  # validation rows that judge
    pick: Try | None = None
    waits_for: Run | None = None

    @property
    def tries(self) -> list[Try]:
        """Those that came to their end."""
        return [one for one in self.made if one.score is not None]

    @property
    def reason(self) -> str:
        return reason_of(self.told())

    def told(self) -> dict:
        """{metric, rows, pick: settings?, tries: [{run, settings, state, message, score, error, picked}], failed}.

        `score` is the metric itself; `failed` are the ids of the runs without one.
        """
        tries = [
            {
                "run": one.run.pk,
                "settings": one.settings,
                "state": str(one.run.state),
                "message": one.run.error_message,
                "score": None if one.score is None else abs(one.score),
                "error": one.error,
                "picked": one is self.pick,
            }
            for one in self.made
        ]
        failed = [one["run"] for one in tries if one["score"] is None]
        pick = self.pick and self.pick.settings
        return {"metric": self.metric, "rows": self.rows, "pick": pick, "tries": tries, "failed": failed}


class _Waits(Exception):
    """A run has not come to its end yet."""

    def __init__(self, run: Run):
        super().__init__(f"waits for run {run.pk}")
        self.run = run


def search(*, recipe: str, finish: Callable[[Run], Run], **given) -> Search:
    """Search to the end. finish: brings a run to its end, and returns it; else as search_so_far.

    Raises DomainError: as search_so_far; no try that came to its end.
    """
    found = search_so_far(recipe=recipe, finish=finish, **given)
    if found.pick is None:
        raise DomainError(_("None of the tries came to its end: their runs say why."))
    return found


def search_so_far(
    *,
    project: Project,
    by: User | None,
    recipe: str,
    base_model: ModelVersion,
    dataset: PreferenceDataset,
    finish: Callable[[Run], Run | None],
    settings: dict | None = None,
    steps: int = STEPS,
) -> Search:
    """Search from `settings`, as far as it goes now: again and again, it makes each run once.

    finish: returns a run that has ended; None for one that has not, and the search waits for it.
    Raises DomainError: what a round with these would be refused for; no validation row.
    """
    recipe_check(recipe)
    began = settings_check(recipe, settings or {})
    services._base_check(project, base_model)
    services._dataset_check(project, recipe, dataset)
    if message := no_validation(dataset):
        raise DomainError(message, fields={"dataset": message})
    rules = schema()[recipe]["settings"]
    searched = settings_searched(recipe, began)
    start = {name: began.get(name, rules[name]["default"]) for name in searched}
    found = Search([], _metric(recipe), rows_judging(dataset))

    def tried(values: dict) -> None:
        run = _run(project, by, recipe, base_model, dataset, {**began, **values}, steps)
        ended = finish(run)
        if ended is None:
            raise _Waits(run)
        found.made.append(_judged(ended, recipe, values, start, found.rows))

    try:
        tried(start)
        stands = start
        for name in searched:
            for value in _around(stands[name], FACTORS[name], rules[name]):
                tried({**stands, name: value})
            if found.tries:
                stands = max(found.tries, key=lambda one: one.score).settings
    except _Waits as waits:
        return replace(found, waits_for=waits.run)
    return replace(found, pick=_pick(found.tries)) if found.tries else found


def settings_searched(recipe: str, settings: dict) -> list[str]:
    """The settings that are tried, in their order; no rank where there is no adapter."""
    rules = schema()[recipe]["settings"]
    names = [name for name in FACTORS if name in rules]
    adapts = settings.get("method", rules["method"]["default"]) in ("lora", "qlora")
    return names if adapts else [name for name in names if name != "lora_r"]


def in_order(settings: dict) -> dict:
    """Settings in the order in which they are tried, which PostgreSQL's jsonb does not keep."""
    return {name: settings[name] for name in FACTORS if name in settings}


def rows_judging(dataset: PreferenceDataset) -> int:
    return min(VALIDATION_ROWS, dataset.counts.get("validation", 0))


def no_validation(dataset: PreferenceDataset) -> str:
    """Why nothing could be chosen on this dataset, or the empty text."""
    if dataset.counts.get("validation"):
        return ""
    return _("This dataset has no validation row to choose on: judge some prompts of the split “validation”.")


def settings_with(began: dict, pick: dict) -> dict:
    """A round's settings with what was picked; an adapter is scaled as the tries were, lora_alpha twice its rank."""
    return {**began, **pick, **({"lora_alpha": 2 * pick["lora_r"]} if "lora_r" in pick else {})}


def _around(value: float, factors: tuple[float, ...], rule: dict) -> Iterator[float]:
    for factor in factors:
        found = value * factor
        found = max(1, round(found)) if rule["type"].startswith("int") else float(f"{found:.3g}")
        low, high = rule.get("minimum"), rule.get("maximum")
        if found != value and (low is None or found >= low) and (high is None or found <= high):
            yield found


def _run(project, by, recipe, base_model, dataset, settings, steps) -> Run:
    """The run of a try: the one that is there already, or a new one; only for a new one the rows are read."""
    tried = {name: value for name, value in settings.items() if value is not None}
    known = {"max_steps": steps, "sample_count": 0, "validation_rows": VALIDATION_ROWS, "eval_every": steps}
    spec = services._spec(0, recipe, base_model, dataset, {**settings_with(tried, tried), **known})
    spec |= {"title": f"search of dataset {dataset.pk} from {base_model.name}", "data": {**spec["data"]}}
    del spec["data"]["samples"]
    spec["recipe"] = recipe
    earlier = Run.objects.filter(project=project, recipe=recipe, spec__title=spec["title"]).order_by("-pk")
    if found := next((run for run in earlier if run.spec == spec), None):
        return found
    files = services._files(project, dataset)
    del files["data/samples.jsonl"]
    return runs.run_create(project=project, recipe=recipe, spec=spec, files=files, queue="training", job=JOB, by=by)


def _judged(run: Run, recipe: str, settings: dict, start: dict, rows: int) -> Try:
    """The try with its score, None where it failed: a rate that diverges is an answer too."""
    metrics = (run.result or {}).get("metrics") or {}
    value = metrics.get(f"validation_{_metric(recipe)}")
    away = sum(abs(math.log2(settings[name] / start[name])) for name in settings if start[name])
    if run.state != RunState.COMPLETED or value is None or not math.isfinite(value):
        return Try(settings, run, None, None, away)
    # A mean loss has no error here, and a hundredth stands for it.
    error = share_error(value, rows) if _metric(recipe) == "accuracy" else 0.01 * abs(value)
    score = value if _metric(recipe) == "accuracy" else -value
    return Try(settings, run, score, error, away)


def share_error(share: float, rows: int) -> float:
    """The standard error of a share of so many rows: half of Wilson's interval at one standard error.

    √(p (1 − p) / n) were 0 where all or none are right, and a single row, rightly told, would beat all other tries.
    """
    lower, upper = wilson_interval(share * rows, rows, z=1.0)
    return (upper - lower) / 2


def _metric(recipe: str) -> str:
    """What the validation rows are judged by. β scales the loss of preferences: only their accuracy can be compared."""
    return "loss" if recipe == "sft" else "accuracy"


def _pick(tries: list[Try]) -> Try:
    best = max(tries, key=lambda one: one.score)
    close = [one for one in tries if one.score >= best.score - best.error]
    return min(close, key=lambda one: (one.steps_away, -one.score))


def reason_of(told: dict) -> str:
    """Why the pick of a search (Search.told) was picked, in the reader's language; the empty text without a pick."""
    ended = [one for one in told["tries"] if one["score"] is not None]
    pick = next((one for one in ended if one["picked"]), None)
    if pick is None:
        return ""
    best = (min if told["metric"] == "loss" else max)(ended, key=lambda one: one["score"])
    shown = ", ".join(f"{name} {value:g}" for name, value in in_order(pick["settings"]).items())
    given = {"settings": shown, "metric": METRICS[told["metric"]], "tries": len(ended)}
    given |= {"value": f"{pick['score']:.4g}", "best": f"{best['score']:.4g}", "error": f"{best['error']:.2g}"}
    if pick is best:
        return _("%(settings)s: the best validation %(metric)s of %(tries)s tries, %(value)s ± %(error)s.") % given
    return (
        _(
            "%(settings)s: validation %(metric)s %(value)s, within one standard error (%(error)s) of the best of "
            "%(tries)s tries (%(best)s), and nearest to the settings that it began with."
        )
        % given
    )
