"""Reads of evaluations that pages and API share."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Max, Q, QuerySet
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.models import Project

from .metrics import METRICS, Metric, metric_of
from .models import DataRequest, Evaluation, Result, SuiteVersion
from .services import baseline_of

# A bootstrap of fewer rows is too sure of itself: its intervals come out too narrow.
ROWS_FOR_A_VERDICT = 20
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A model's metric minus its baseline's. `lower` and `upper` are null where it was not resampled in pairs."""

    value: float
    lower: float | None
    upper: float | None
    verdict: str  # better, worse, no difference, too few rows, or "" without an interval
    p_value: float | None = None


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
class Column:
    """What stands over a column that is no model by itself."""

    name: str


@dataclass(frozen=True)
class ComparisonTable:
    """Metrics × models, in the order in which the models were asked for."""

    models: Sequence[ModelVersion | Column]
    rows: list[MetricRow]

    @property
    def main(self) -> list[MetricRow]:
        return [row for row in self.rows if not row.metric.minor]

    @property
    def more(self) -> list[MetricRow]:
        """What is told below: parts of the others."""
        return [row for row in self.rows if row.metric.minor]

    def chart(self) -> dict:
        """The same for chart.js, kind `bars`: a group a metric, a bar a model."""
        return {
            "groups": [str(row.metric.label) for row in self.main],
            "series": [
                {
                    "name": model.name,
                    "values": [_bar(row.cells[column]) for row in self.main],
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
    found = Evaluation.objects.filter(project=project).select_related("suite_version")
    found = found.annotate(items=Count("suite_version__items", filter=Q(suite_version__items__example=False)))
    return found.prefetch_related("parts__model").order_by("-pk")


def evaluations_like(evaluation: Evaluation) -> QuerySet[Evaluation]:
    """The project's other evaluations on the same suite, latest first: what it may be compared with."""
    return evaluations_of(evaluation.project).filter(suite=evaluation.suite).exclude(pk=evaluation.pk)


def latest_suites(project: Project) -> list[SuiteVersion]:
    """The latest version of each of the project's own suites, by name, with its number of items."""
    own = SuiteVersion.objects.filter(project=project)
    latest = own.values("name").annotate(number=Max("number")).values_list("name", "number")
    newest = set(latest)
    found = own.annotate(size=Count("items", filter=Q(items__example=False))).order_by("name", "number")
    return [suite for suite in found if (suite.name, suite.number) in newest]


def suite_get(*, project: Project, pk: int) -> SuiteVersion:
    found = SuiteVersion.objects.filter(project=project, pk=pk).first()
    if found is None:
        raise NotFound(_('There is no suite %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def data_request_get(*, project: Project, pk: int) -> DataRequest:
    found = DataRequest.objects.filter(project=project, pk=pk).first()
    if found is None:
        raise NotFound(_('There is no data request %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def result_rows(evaluation: Evaluation) -> list[dict]:
    """[{model, metric, value, lower, upper, n}], as the API answers them."""
    results = evaluation.results.select_related("model").order_by("metric", "model__name")
    return [
        {
            "model": result.model.name,
            "metric": result.metric,
            "value": result.value,
            "lower": result.lower,
            "upper": result.upper,
            "n": result.n,
        }
        for result in results
    ]


def evaluation_get(*, project: Project, pk: int) -> Evaluation:
    found = Evaluation.objects.filter(project=project, pk=pk).select_related("suite_version").first()
    if found is None:
        raise NotFound(_('There is no evaluation %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def comparison_table(evaluation: Evaluation) -> ComparisonTable:
    """The evaluation's results side by side, each model beside its baseline."""
    parts = list(evaluation.parts.select_related("model", "run").order_by("pk"))
    models = [part.model for part in parts]
    paired = {part.model_id: part.differences or (part.run.result or {}).get("differences") or {} for part in parts}
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
    return Cell(result, baseline, difference_of(name, found))


def difference_of(name: str, found: dict) -> Difference:
    """`found`: {value, lower, upper, n, p_value?}, resampled in pairs; only {value} where it was not.

    Better or worse takes an interval without zero and a test that agrees: of a few items that turned, none the wrong
    way, the bootstrap is too sure (4 to 0 leaves zero out; the exact sign test says p = 0.125).
    """
    lower, upper = found.get("lower"), found.get("upper")
    better = metric_of(name).higher_is_better
    if lower is None or upper is None:
        verdict = ""
    elif found["n"] < ROWS_FOR_A_VERDICT:
        verdict = "too few rows"
    elif lower <= 0 <= upper or found.get("p_value", 0) >= LEVEL:
        verdict = "no difference"
    else:
        verdict = "better" if (lower > 0) == better else "worse"
    return Difference(found["value"], lower, upper, verdict, found.get("p_value"))


def compared_table(evaluations: list[Evaluation]) -> ComparisonTable:
    """Evaluations side by side: a column for each model of each, `NAME #ID`; without differences."""
    columns = [(one, part.model) for one in evaluations for part in one.parts.select_related("model").order_by("pk")]
    results = {
        (result.metric, result.evaluation_id, result.model_id): result
        for result in Result.objects.filter(evaluation__in=evaluations)
    }
    found = {key: Cell(result, None, None) for key, result in results.items()}
    rows = [
        MetricRow(name, metric_of(name), [found.get((name, one.pk, model.pk)) for one, model in columns])
        for name in sorted({name for name, _one, _model in results}, key=_rank)
    ]
    return ComparisonTable([Column(f"{model.name} #{one.pk}") for one, model in columns], rows)
