"""Votes as imports store them, tallies and all."""

import itertools
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from feedbackhub.catalog.services import model_get_or_create_imported
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.services import ImportedItem, ImportedJudgment, judgments_import

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
