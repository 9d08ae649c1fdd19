"""Several models side by side: every metric that was taken of all of them on the same inputs, and their ratings."""

from collections import defaultdict

from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.metrics import METRICS, metric_of
from feedbackhub.evaluation.models import Result
from feedbackhub.projects.models import Project

from .lineage import latest_pair
from .selectors import board

MODELS_AT_MOST = 8  # more lines than that nobody tells apart
FAMILIES = (("rouge", "ROUGE"), ("bleu", "BLEU"), ("chrf", "chrF"))


def side_by_side(project: Project, models: list[ModelVersion]) -> dict:
    """{rows: [{metric, label, digits, higher_is_better, cells, suite}], missing, radar, bars}.

    A cell is {value, lower, upper, n, best} or None. Each metric's values come from one evaluation, the latest that has
    most of the models: numbers on other inputs are not put beside each other. `missing`: what could not be compared.
    """
    results = Result.objects.filter(evaluation__project=project, evaluation__status="done", model__in=models)
    by_metric: dict[str, dict[int, dict]] = defaultdict(lambda: defaultdict(dict))
    suites = {}
    for result in results.select_related("evaluation").order_by("evaluation_id"):
        by_metric[result.metric][result.evaluation_id][result.model_id] = result
        suites[result.evaluation_id] = result.evaluation.suite
    rows, missing = [_rating_row(project, models)], []
    for metric in sorted(by_metric, key=_rank):
        pk, found = max(by_metric[metric].items(), key=lambda one: (len(one[1]), one[0]))
        rows.append(_row(metric, suites[pk], [found.get(model.pk) for model in models]))
        if absent := [model.name for model in models if model.pk not in found]:
            missing.append({"metric": rows[-1]["label"], "models": ", ".join(absent)})
    rows = [row for row in rows if any(row["cells"])]
    measured = [row for row in rows if row["metric"] != "rating"]
    return {"rows": rows, "missing": missing, "radar": _radar(models, measured), "bars": _bars(models, measured)}


def default_models(project: Project) -> list[ModelVersion]:
    """Before and after: the latest tuned model's parent and itself; none where nothing was tuned."""
    pair = latest_pair(project)
    return [pair[1], pair[0]] if pair else []


def _rank(metric: str) -> tuple[int, str]:
    known = list(METRICS)
    return (known.index(metric) if metric in known else len(known), metric)


def _rating_row(project: Project, models: list[ModelVersion]) -> dict:
    """The board's ratings as a row like the others."""
    rated = {row["model"]: row for row in board(project=project)["rows"] if row["rating"] is not None}
    cells = [
        {"value": row["rating"], "lower": row["lower"], "upper": row["upper"], "n": row["votes"]} if row else None
        for row in (rated.get(model.name) for model in models)
    ]
    return _marked({"metric": "rating", "label": _("Rating by votes"), "digits": 0, "higher_is_better": True,
                    "help": _("Bradley–Terry; n is votes."), "cells": cells, "suite": ""})  # fmt: skip


def _row(metric: str, suite: str, results: list[Result | None]) -> dict:
    known = metric_of(metric)
    cells = [
        {"value": result.value, "lower": result.lower, "upper": result.upper, "n": result.n} if result else None
        for result in results
    ]
    return _marked({"metric": metric, "label": str(known.label), "digits": known.digits, "help": str(known.help),
                    "higher_is_better": known.higher_is_better, "cells": cells, "suite": suite})  # fmt: skip


def _marked(row: dict) -> dict:
    """With the best value marked, where there are several and they differ."""
    values = [cell["value"] for cell in row["cells"] if cell]
    if len(set(values)) > 1:
        best = max(values) if row["higher_is_better"] else min(values)
        for cell in filter(None, row["cells"]):
            cell["best"] = cell["value"] == best
    return row


def _radar(models: list[ModelVersion], rows: list[dict]) -> dict | None:
    """Each metric that all have as a share of the best one's (lower is better: the best one's as a share of it); None
    with fewer than three such metrics, which make no shape."""
    axes = [row for row in rows if all(row["cells"]) and _positive(row)]
    if len(axes) < 3 or len(models) < 2:
        return None
    return {
        "axes": [row["label"] for row in axes],
        "series": [
            {
                "name": model.name,
                "values": [_share(row, row["cells"][column]["value"]) for row in axes],
                "raw": [row["cells"][column]["value"] for row in axes],
            }
            for column, model in enumerate(models)
        ],
    }


def _positive(row: dict) -> bool:
    return all(cell["value"] > 0 for cell in row["cells"])


def _share(row: dict, value: float) -> float:
    values = [cell["value"] for cell in row["cells"]]
    return value / max(values) if row["higher_is_better"] else min(values) / value


def _bars(models: list[ModelVersion], rows: list[dict]) -> list[dict]:
    """A chart of bars with intervals for each family of text metrics, and one for each other metric."""
    charts: dict[str, list[dict]] = {}
    for row in rows:
        family = next((title for start, title in FAMILIES if row["metric"].startswith(start)), None)
        charts.setdefault(family or row["label"], []).append(row)
    return [
        {
            "id": f"bars-{number}",
            "title": title,
            "lead": of[0]["help"] if len(of) == 1 else "",
            "data": {
                "groups": [row["label"] for row in of],
                "series": [
                    {"name": model.name, "values": [row["cells"][column] for row in of]}
                    for column, model in enumerate(models)
                ],
            },
        }
        for number, (title, of) in enumerate(charts.items())
    ]
