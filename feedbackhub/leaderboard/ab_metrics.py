"""Automatic metrics beside the votes: both models on the same inputs, their difference resampled in pairs."""

import json
from collections import defaultdict
from pathlib import Path

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.metrics import metric_of
from feedbackhub.evaluation.models import Evaluation, EvaluationRun, Result
from feedbackhub.evaluation.services import baseline_of
from feedbackhub.projects.models import Project
from feedbackhub.stats.intervals import paired_comparison

SCORES = "scores.jsonl"  # of a run directory: each row's value of every metric
ROWS_FOR_A_VERDICT = 20  # as on the page of an evaluation: fewer make intervals too narrow
NEAR = 1e-6  # relative: a metric is the mean of its rows


def metrics(*, project: Project, a: ModelVersion, b: ModelVersion) -> list[dict]:
    """The latest automatic metrics that both models have from one evaluation, so on the same inputs:
    [{metric, a, b, suite, difference}], `a` and `b` as {value, lower, upper, n}.

    `difference`: {value, lower, upper, n, p_value, verdict} of a − b by the paired bootstrap over rows; lower, upper
    and p_value are None where the rows' values are not there. verdict: better, worse, no difference, too few rows or
    nothing.
    """
    results = Result.objects.filter(evaluation__project=project, model__in=(a, b), evaluation__status="done")
    found: dict[tuple[int, str], dict] = defaultdict(dict)
    for result in results.order_by("evaluation_id"):
        measured = {name: getattr(result, name) for name in ("value", "lower", "upper", "n")}
        found[result.evaluation_id, result.metric]["a" if result.model_id == a.pk else "b"] = measured
    latest = {metric: (pk, sides) for (pk, metric), sides in sorted(found.items()) if len(sides) == 2}
    evaluations = Evaluation.objects.in_bulk({pk for pk, _ in latest.values()})
    rows = {pk: _rows(evaluation, a, b) for pk, evaluation in evaluations.items()}
    return [
        {
            "metric": metric,
            **sides,
            "suite": evaluations[pk].suite,
            "difference": _difference(metric, sides, rows[pk]),
        }
        for metric, (pk, sides) in sorted(latest.items())
    ]


def _rows(evaluation: Evaluation, a: ModelVersion, b: ModelVersion) -> dict:
    """What the two runs left: {paired: {metric: {value, lower, upper, n}} of a − b, scores: (a's, b's) by row}."""
    parts = EvaluationRun.objects.filter(evaluation=evaluation, model__in=(a, b)).select_related("run")
    runs = {part.model_id: part.run for part in parts}
    if len(runs) < 2:
        return {"paired": {}, "scores": ({}, {})}
    return {
        "paired": _paired_by_run(evaluation, runs, a, b),
        "scores": tuple(_scores(runs[model.pk].directory / SCORES) for model in (a, b)),
    }


def _paired_by_run(evaluation: Evaluation, runs: dict, a: ModelVersion, b: ModelVersion) -> dict:
    """The differences that a run took itself, where its baseline was the other one: of corpus metrics too."""
    measured = [part.model for part in evaluation.parts.select_related("model").order_by("pk")]
    for model, other, sign in ((a, b, 1), (b, a, -1)):
        baseline = baseline_of(model, measured)
        differences = (runs[model.pk].result or {}).get("differences") or {}
        if baseline is not None and baseline.pk == other.pk and differences:
            return {name: _turned(one, sign) for name, one in differences.items()}
    return {}


def _turned(found: dict, sign: int) -> dict:
    """A difference seen from the other side."""
    known = {name: found.get(name) for name in ("value", "lower", "upper", "n", "p_value")}
    if sign < 0 and known["lower"] is not None:
        known["lower"], known["upper"] = -known["upper"], -known["lower"]
    return {**known, "value": sign * known["value"]}


def _scores(path: Path) -> dict:
    """{row's id: {metric: value}}; empty where the run left none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {json.dumps(row.pop("id")): row for row in rows if "id" in row}


def _difference(metric: str, sides: dict, rows: dict) -> dict:
    value = sides["a"]["value"] - sides["b"]["value"]
    found = rows["paired"].get(metric) or _resampled(metric, sides, *rows["scores"])
    found = found or {"value": value, "lower": None, "upper": None, "n": None, "p_value": None}
    return {**found, "verdict": _verdict(metric, found)}


def _resampled(metric: str, sides: dict, ours: dict, theirs: dict) -> dict | None:
    """By the rows of both; None where the metric is no mean of its rows (BLEU, perplexity), or there are none."""
    shared = [key for key in ours if metric in ours[key] and metric in theirs.get(key, {})]
    if not shared:
        return None
    for side, scores in (("a", ours), ("b", theirs)):
        mean = sum(row[metric] for row in scores.values() if metric in row) / sum(metric in r for r in scores.values())
        if abs(mean - sides[side]["value"]) > NEAR * max(1.0, abs(mean)):
            return None
    found = paired_comparison([ours[key][metric] for key in shared], [theirs[key][metric] for key in shared])
    return {"value": found.difference, **{name: getattr(found, name) for name in ("lower", "upper", "n", "p_value")}}


def _verdict(metric: str, found: dict) -> str:
    if found["lower"] is None:
        return ""
    if (found["n"] or 0) < ROWS_FOR_A_VERDICT:
        return "too few rows"
    if found["lower"] <= 0 <= found["upper"]:
        return "no difference"
    return "better" if (found["lower"] > 0) == metric_of(metric).higher_is_better else "worse"
