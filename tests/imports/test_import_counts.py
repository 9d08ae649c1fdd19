"""Which imported judgments count on the leaderboard, and which only train."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from feedbackhub.leaderboard.selectors import board
from feedbackhub.rating.models import Judgment, PairTally
from feedbackhub.rating.tally import tallies_check
from feedbackhub.rounds.datasets import dataset_freeze

pytestmark = pytest.mark.django_db
PAIR = {"prompt": "Why?", "chosen": "Light.", "rejected": "No.", "split": "train"}


def votes(project, method: str = "bt") -> int:
    return board(project=project, method=method)["votes"]


@pytest.mark.parametrize(
    ("models", "counts"),
    [
        ({}, 0),
        ({"chosen_model": "a"}, 0),
        ({"rejected_model": "b"}, 0),
        ({"chosen_model": "a", "rejected_model": "a"}, 0),
        ({"chosen_model": "a", "rejected_model": "b"}, 1),
    ],
)
def test_a_preference_counts_only_when_both_models_are_named(project, imported, models, counts):
    imported("preferences", [{**PAIR, **models}])
    assert PairTally.objects.count() == counts
    assert votes(project) == votes(project, "elo") == counts
    assert tallies_check(project=project) == []


def test_every_preference_trains(project, alice, imported):
    named = {"chosen_model": "a", "rejected_model": "b"}
    imported("preferences", [PAIR, {**PAIR, **named, "prompt": "How?"}, {**PAIR, "prompt": "Who?", "split": "test"}])
    dataset = dataset_freeze(project=project, by=alice)
    assert dataset.counts["rows"] == 2
    assert dataset.excluded == {"test_split": 1}
    assert {row.data["chosen"][0]["content"] for row in dataset.rows.all()} == {"Light."}


def test_a_vote_counts_with_or_without_texts_and_trains_only_with_both(project, alice, imported):
    vote = {"model_a": "a", "model_b": "b", "winner": "model_b"}
    told = {"prompt": "Why?", "split": "train"}
    lines = [
        vote,
        {**vote, **told},
        {**vote, **told, "output_a": "x"},
        {**vote, **told, "output_a": "x", "output_b": "y"},
    ]
    imported("votes", lines)
    assert votes(project) == votes(project, "elo") == 4
    dataset = dataset_freeze(project=project, by=alice)
    assert dataset.counts["rows"] == 1
    assert dataset.rows.get().data["chosen"][0]["content"] == "y"
    assert dataset.excluded == {"answers_missing": 3}


def test_both_bad_and_ties_are_counted_as_such(project, imported):
    winners = ["model_a", "model_b", "model_b", "tie", "both_bad", "both_bad"]
    imported("votes", [{"model_a": "b", "model_b": "a", "winner": winner} for winner in winners])
    rows = {row["model"]: row for row in board(project=project)["rows"]}
    assert [rows["a"][name] for name in ("wins", "losses", "ties", "both_bad")] == [2, 1, 1, 2]
    assert Judgment.objects.filter(none_acceptable=True).count() == 2


@pytest.mark.django_db(transaction=True)
def test_postgresql_has_counted_the_rows_when_an_import_ends(imported):
    """Else it may hold the tables for empty for a minute, and plan accordingly; SQLite does not go by such counts."""
    with CaptureQueriesContext(connection) as asked:
        imported("votes", [{"model_a": "a", "model_b": "b", "winner": "model_b", "prompt": f"{n}?"} for n in range(70)])
    on_postgresql = connection.vendor == "postgresql"
    assert any(query["sql"].startswith("ANALYZE") for query in asked) == on_postgresql
    if on_postgresql:
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE relname IN ('rating_judgment', 'catalog_prompt')")
            assert cursor.fetchall() == [(70,), (70,)]
