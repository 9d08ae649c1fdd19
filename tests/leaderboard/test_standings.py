"""The board: what counts, what is rated, what a past moment or a slice shows; computed two ways, it says the same."""

import re
from datetime import UTC, datetime

import pytest
from django.urls import reverse

from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.selectors import ab, board
from feedbackhub.rating.tasks import tasks_create

pytestmark = pytest.mark.django_db
ROWS = {"model", "rating", "se", "lower", "upper", "rank", "rank_lower", "rank_upper", "status"}
ROWS |= {"wins", "losses", "ties", "both_bad", "votes"}


@pytest.fixture
def row(project):
    def find(name, **options):
        return next(row for row in board(project=project, **options)["rows"] if row["model"] == name)

    return find


@pytest.fixture
def circle(vote):
    """Three models that all beat one another, red most often."""
    for a, b, n in (("red", "blue", 5), ("blue", "red", 2), ("blue", "green", 4), ("green", "blue", 2)):
        for _ in range(n):
            vote(a, b, category="odd" if n % 2 else "even")
    vote("green", "red", "tie", category="odd")
    vote("green", "red", "both_bad", category="even")


def test_an_empty_project_has_an_empty_board(project):
    answer = board(project=project)
    assert (answer["rows"], answer["votes"], answer["connected"], answer["win_matrix"]) == ([], 0, False, [])


def test_an_empty_board_says_what_to_do_next(project, models, answered, alice, dave, client_of):
    address = reverse("leaderboard:board", args=[project.slug])
    links = lambda user: re.findall(r'<a class="btn[^>]*>([^<]+)', client_of(user).get(address).content.decode())  # noqa: E731
    assert links(alice)[-2:] == ["Make tasks", "Import votes"]
    answered("what ?")
    tasks_create(project=project, models=models, kind="pairwise")
    assert links(alice)[-3:] == ["Rate", "Tasks", "Import votes"]
    assert not {"Rate", "Tasks", "Import votes"} & set(links(dave))


def test_the_answer_has_the_contracts_keys(project, circle):
    answer = board(project=project)
    keys = {"as_of", "method", "votes", "models", "connected", "rows", "win_matrix", "notes"}
    assert set(answer) == keys
    assert set(answer["rows"][0]) == ROWS
    assert [row["model"] for row in answer["rows"]] == ["red", "blue", "green"]
    assert answer["connected"] is True
    assert sum(row["rating"] for row in answer["rows"]) == pytest.approx(3000)


def test_a_tie_is_half_a_win_each_and_both_bad_enters_no_rating(project, vote, row):
    vote("red", "blue")
    vote("blue", "red")
    before = row("red")["rating"]
    vote("red", "blue", "both_bad")
    assert row("red")["rating"] == pytest.approx(before)
    assert row("red")["both_bad"] == 1
    vote("red", "blue", "tie")
    answer = board(project=project)
    assert answer["win_matrix"] == [[0, 1.5], [1.5, 0]]
    assert answer["votes"] == 4


def test_a_model_that_only_wins_has_no_rating_and_a_note(project, circle, vote, row):
    vote("star", "red")
    star = row("star")
    assert (star["rating"], star["se"], star["rank"], star["status"]) == (None, None, None, "only_wins")
    answer = board(project=project)
    assert answer["connected"] is False
    assert any(note["code"] == "only_wins" and note["value"] == "star" for note in answer["notes"])
    assert answer["rows"][-1]["model"] == "star"


def test_the_tallies_and_the_votes_give_the_same_board(project, circle):
    from_tallies = board(project=project)
    from_votes = board(project=project, as_of=datetime(2100, 1, 1, tzinfo=UTC))
    for one, other in zip(from_tallies["rows"], from_votes["rows"], strict=True):
        assert one == pytest.approx(other)
    assert from_tallies["win_matrix"] == from_votes["win_matrix"]


def test_a_category_is_a_slice(project, circle, row):
    assert board(project=project, category="odd")["votes"] == 6
    assert row("blue", category="odd")["losses"] == 5


def test_a_past_moment_shows_only_what_had_happened(project, vote):
    vote("red", "blue", minute=0)
    vote("blue", "red", minute=10)
    assert board(project=project, as_of=datetime(2026, 11, 1, 12, 5, tzinfo=UTC))["votes"] == 1
    assert board(project=project, as_of=datetime(2026, 11, 1, 12, 10, tzinfo=UTC))["votes"] == 2


def test_elo_goes_by_the_votes_own_time(project, vote):
    vote("red", "blue", minute=10)
    vote("blue", "red", minute=0)
    elo = {row["model"]: row["rating"] for row in board(project=project, method="elo")["rows"]}
    # blue first: +2 for it, then red's win against a higher one brings a little more than 2
    assert elo["red"] > 1000 > elo["blue"]
    assert elo["red"] + elo["blue"] == pytest.approx(2000)
    assert board(project=project, method="elo")["rows"][0]["se"] is None


def test_length_control_says_its_coefficient_and_leaves_out_unknown_lengths(project, vote):
    for number in range(40):
        long_wins = number % 4 != 0
        a, b = ("red", "blue") if number % 2 else ("blue", "red")
        vote(a, b, "a" if long_wins else "b", chars=(200 + number, 100))
    vote("red", "blue")
    notes = {note["code"]: note for note in board(project=project, control="length")["notes"]}
    assert notes["lengths_unknown"]["value"] == 1
    assert notes["length_coefficient"]["value"] is not None or "undefined" in notes


def test_models_that_cannot_be_told_apart_share_a_rank(project, vote, row):
    for _ in range(3):
        vote("red", "blue")
        vote("blue", "red")
    assert (row("red")["rank"], row("red")["rank_upper"]) == (1, 2)
    assert (row("blue")["rank"], row("blue")["rank_upper"]) == (1, 2)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "gossip"}, "method"),
        ({"control": "weight"}, "control"),
        ({"method": "elo", "control": "length"}, "control"),
        ({"category": "nowhere"}, "category"),
    ],
)
def test_a_wrong_parameter_is_named(project, circle, options, named):
    with pytest.raises(DomainError) as refused:
        board(project=project, **options)
    assert named in refused.value.fields


def test_a_against_b_is_b_against_a_seen_from_the_other_side(project, circle):
    from feedbackhub.catalog.services import model_by_name

    red, blue = (model_by_name(project=project, name=name) for name in ("red", "blue"))
    one, other = ab(project=project, a=red, b=blue), ab(project=project, a=blue, b=red)
    assert (one["wins_a"], one["wins_b"]) == (5, 2) == (other["wins_b"], other["wins_a"])
    assert one["win_rate"] == pytest.approx(1 - other["win_rate"])
    assert one["verdict"] == "not_enough"
    assert one["votes_needed"] > 0
    assert one["position_bias"]["decided"] == 7
    assert one["position_bias"]["first"] == 7
    with pytest.raises(DomainError, match="against itself"):
        ab(project=project, a=red, b=red)


def test_votes_by_simulated_raters_are_called_simulated(project, circle, vote):
    from feedbackhub.rating.models import Judgment
    from feedbackhub.rating.services import tallies_rebuild

    assert not [note for note in board(project=project)["notes"] if note["code"] == "simulated"]
    Judgment.objects.filter(category="even").update(source="simulated")
    tallies_rebuild(project=project)
    for options in ({}, {"as_of": datetime(2100, 1, 1, tzinfo=UTC)}):
        (note,) = [note for note in board(project=project, **options)["notes"] if note["code"] == "simulated"]
        assert note["value"] == 9
