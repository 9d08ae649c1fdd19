"""Votes as imports store them, tallies and all."""

import itertools
import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from feedbackhub.catalog.content import messages_of, prompt_digest, text_parts
from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.catalog.services import model_get_or_create_imported
from feedbackhub.evaluation.models import Evaluation, EvaluationRun, Result
from feedbackhub.rating.models import Judgment, JudgmentItem
from feedbackhub.rating.services import ImportedItem, ImportedJudgment, judgments_import, tallies_rebuild
from feedbackhub.runs.models import Run

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def vote(project):
    """vote("red", "blue") → red won; winner: a, b, tie or both_bad. Also category=, minute=, chars=(a, b), judge=,
    question=, prompt=, outputs=(a, b)."""
    counter = itertools.count()

    def make(a, b, winner="a", *, category="", minute=None, chars=(None, None), judge="judge", **more):
        number = next(counter)
        tiers = {"a": (0, 1), "b": (1, 0)}.get(winner, (0, 0))
        models = [model_get_or_create_imported(project=project, name=name) for name in (a, b)]
        outputs = more.pop("outputs", (None, None))
        items = [ImportedItem(*row) for row in zip(models, outputs, tiers, chars, strict=True)]
        row = ImportedJudgment(
            import_key=str(number),
            payload_digest=winner,
            items=items,
            prompt=more.pop("prompt", None),
            judge=judge,
            category=category,
            occurred_at=NOON + timedelta(minutes=number if minute is None else minute),
            none_acceptable=winner == "both_bad",
            **more,
        )
        held.append(row)
        if not holding:
            bring()

    def bring():
        made = judgments_import(project=project, rows=held, source=Judgment.Source.VOTES)
        assert made == ["created"] * len(held)
        held.clear()

    @contextmanager
    def together():
        """Many votes in one import."""
        holding.append(True)
        yield
        holding.clear()
        bring()

    held, holding = [], []
    make.together = together
    return make


# --- Of A/B reports: a child and its parent, answers, judgments of them, an evaluation ------------------------------


@pytest.fixture
def models(project):
    parent = ModelVersion.objects.create(project=project, name="parent", kind="imported")
    child = ModelVersion.objects.create(project=project, name="child", kind="imported", parent=parent)
    return child, parent


@pytest.fixture
def answered(project, models):
    """answered("prompt", (child's, parent's)) → their two outputs to a new prompt."""

    def make(text, answers=("one answer", "another answer")):
        messages = messages_of(text)
        prompt = Prompt.objects.create(project=project, messages=messages, digest=prompt_digest(messages), split="test")
        return [
            Output.objects.create(prompt=prompt, model=model, parts=text_parts(answer), content_key="1")
            for model, answer in zip(models, answers, strict=True)
        ]

    return make


@pytest.fixture
def said(project):
    """said(outputs, "a"): a judgment of the two, tallied; any field of Judgment."""

    def make(outputs, winner, **fields):
        tiers = {"a": (0, 1), "b": (1, 0)}.get(winner, (0, 0))
        judgment = Judgment.objects.create(
            **{"project": project, "kind": "pairwise", "source": "rater", "prompt": outputs[0].prompt}
            | {"occurred_at": timezone.now()}
            | fields
        )
        JudgmentItem.objects.bulk_create(
            JudgmentItem(
                judgment=judgment,
                model=output.model,
                output=output,
                position=position,
                tier=tier,
                chars=len(output.text),
            )
            for position, (output, tier) in enumerate(zip(outputs, tiers, strict=True))
        )
        tallies_rebuild(project=project)
        return judgment

    return make


@pytest.fixture
def measured(project, models):
    """measured({"child": [scores], …}): an evaluation: ROUGE-1 by row as runs leave it, and a BLEU."""

    def make(scores):
        evaluation = Evaluation.objects.create(project=project, suite="text-overlap", status="done")
        for place, model in enumerate(models):
            run = Run.objects.create(project=project, recipe="evaluate", job="", spec={}, state="completed", result={})
            run.directory.mkdir(parents=True, exist_ok=True)
            rows = [{"id": n, "rouge1": value, "bleu": 10.0} for n, value in enumerate(scores[model.name])]
            (run.directory / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            EvaluationRun.objects.create(evaluation=evaluation, model=model, run=run)
            mean = sum(scores[model.name]) / len(rows)
            for metric, value in (("rouge1", mean), ("bleu", 22.0 - 2 * place)):
                Result.objects.create(
                    evaluation=evaluation,
                    model=model,
                    metric=metric,
                    value=value,
                    lower=value,
                    upper=value,
                    n=len(rows),
                )
        return evaluation

    return make
