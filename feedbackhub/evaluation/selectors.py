"""Reads of evaluations that pages and API share."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.models import Project

from .metrics import METRICS, Metric, metric_of
from .models import Evaluation, Result
from .services import baseline_of

# A bootstrap of fewer rows is too sure of itself: its intervals come out too narrow.
ROWS_FOR_A_VERDICT = 20


@dataclass(frozen=True)
class Difference:
    """A model's metric minus its baseline's. `lower` and `upper` are null where it was not resampled in pairs."""

    value: float
    lower: float | None
    upper: float | None
    verdict: str  # better, worse, no difference, too few rows, or "" without an interval


@dataclass(frozen=True)
class Cell:
    result: Result
    baseline: ModelVersion | None
    difference: Difference | None


@dataclass(frozen=True)
class MetricRow:
    name: str
    metric: Metric
    cells: list[Cell | None]


@dataclass(frozen=True)
class ComparisonTable:
    """Metrics × models, in the order in which the models were asked for."""

    models: list[ModelVersion]
    rows: list[MetricRow]

    def chart(self) -> dict:
        """The same for chart.js, kind `bars`: a group a metric, a bar a model."""
        return {
            "groups": [row.metric.label for row in self.rows],
            "series": [
                {
                    "name": model.name,
                    "values": [_bar(row.cells[column]) for row in self.rows],
                }
                for column, model in enumerate(self.models)
            ],
        }


def _bar(cell: Cell | None) -> dict | None:
    if cell is None:
        return None
    return {"value": cell.result.value, "lower": cell.result.lower, "upper": cell.result.upper, "n": cell.result.n}


def evaluations_of(project: Project) -> QuerySet[Evaluation]:
    """The project's evaluations, latest first, with their models."""
    return Evaluation.objects.filter(project=project).prefetch_related("parts__model").order_by("-pk")


def evaluation_get(*, project: Project, pk: int) -> Evaluation:
    found = Evaluation.objects.filter(project=project, pk=pk).first()
    if found is None:
        raise NotFound(_('There is no evaluation %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def comparison_table(evaluation: Evaluation) -> ComparisonTable:
    """The evaluation's results side by side, each model beside its baseline."""
    parts = list(evaluation.parts.select_related("model", "run").order_by("pk"))
    models = [part.model for part in parts]
    paired = {part.model_id: (part.run.result or {}).get("differences") or {} for part in parts}
    results = {(result.metric, result.model_id): result for result in evaluation.results.all()}
    rows = []
    for name in sorted({name for name, _model in results}, key=_rank):
        cells = [_cell(name, model, models, results, paired) for model in models]
        rows.append(MetricRow(name, metric_of(name), cells))
    return ComparisonTable(models, rows)


def _rank(name: str) -> tuple[int, str]:
    """Known metrics first, in their own order."""
    known = list(METRICS)
    return (known.index(name) if name in known else len(known), name)


def _cell(name: str, model: ModelVersion, models: list[ModelVersion], results: dict, paired: dict) -> Cell | None:
    result = results.get((name, model.pk))
    if result is None:
        return None
    baseline = baseline_of(model, models)
    against = results.get((name, baseline.pk)) if baseline else None
    if against is None:
        return Cell(result, baseline, None)
    found = paired[model.pk].get(name) or {"value": result.value - against.value}
    return Cell(result, baseline, _difference(name, found))


def _difference(name: str, found: dict) -> Difference:
    """`found`: {value, lower, upper, n}, resampled in pairs; only {value} where it was not."""
    lower, upper = found.get("lower"), found.get("upper")
    better = metric_of(name).higher_is_better
    if lower is None or upper is None:
        verdict = ""
    elif found["n"] < ROWS_FOR_A_VERDICT:
        verdict = "too few rows"
    elif lower <= 0 <= upper:
        verdict = "no difference"
    else:
        verdict = "better" if (lower > 0) == better else "worse"
    return Difference(found["value"], lower, upper, verdict)
