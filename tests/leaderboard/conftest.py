"""Votes as imports store them, tallies and all."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from feedbackhub.catalog.services import model_get_or_create_imported
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.services import ImportedItem, ImportedJudgment, judgments_import

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def vote(project):
    """vote("red", "blue") → red won; winner: a, b, tie or both_bad. Also category=, minute=, chars=(a, b)."""
    counter = itertools.count()

    def make(a, b, winner="a", *, category="", minute=None, chars=(None, None)):
        number = next(counter)
        tiers = {"a": (0, 1), "b": (1, 0)}.get(winner, (0, 0))
        models = [model_get_or_create_imported(project=project, name=name) for name in (a, b)]
        items = [ImportedItem(model, None, tier, n) for model, tier, n in zip(models, tiers, chars, strict=True)]
        row = ImportedJudgment(
            import_key=str(number),
            payload_digest=winner,
            items=items,
            prompt=None,
            judge="judge",
            category=category,
            occurred_at=NOON + timedelta(minutes=number if minute is None else minute),
            none_acceptable=winner == "both_bad",
        )
        assert judgments_import(project=project, rows=[row], source=Judgment.Source.VOTES) == ["created"]

    return make
