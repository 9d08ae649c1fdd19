"""A round from end to end: the votes, the dataset frozen of them, the curves, the metrics, what raters say of it."""

from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.selectors import comparison_table
from feedbackhub.leaderboard.lineage import together
from feedbackhub.leaderboard.selectors import ab
from feedbackhub.rating.models import Judgment
from feedbackhub.rounds.models import PreferenceDataset, Round
from feedbackhub.runs import selectors as runs


def story(made: Round) -> dict:
    """{round, run, votes, dataset, excluded, left_out, series, samples, evaluation, table, ab, holds}."""
    steps = list(made.follow_ups.order_by("pk"))
    evaluation = next((step.evaluation for step in steps if step.evaluation_id), None)
    dataset = made.dataset
    is_policy = made.model is not None and made.model.role == ModelVersion.Purpose.POLICY
    looked_at = together(made.project) if is_policy else {"rows": []}
    return {
        "round": made,
        "run": made.run,
        "dataset": dataset,
        "votes": _votes(dataset),
        "excluded": [(_(reason.replace("_", " ")), n) for reason, n in sorted(dataset.excluded.items())],
        "left_out": sum(dataset.excluded.values()),
        "series": runs.series(made.run),
        "samples": runs.samples(made.run),
        "evaluation": evaluation,
        "table": comparison_table(evaluation) if evaluation else None,
        "ab": ab(project=made.project, a=made.model, b=made.base_model) if is_policy else None,
        "together": looked_at,
        "holds": next((row["holds"] for row in looked_at["rows"] if made.model and row["a"] == made.model.name), None),
    }


def _votes(dataset: PreferenceDataset) -> dict:
    """{judgments, raters, sources: [(words, n)], simulated} of the judgments that the dataset's rows rest on."""
    labels = dict(Judgment.Source.choices)
    sources = dataset.counts.get("sources", {})
    return {
        "judgments": dataset.counts.get("judgments", 0),
        "raters": dataset.counts.get("raters", 0),
        "sources": [(labels.get(source, source), n) for source, n in sorted(sources.items())],
        "simulated": sources.get(Judgment.Source.SIMULATED, 0),
    }
