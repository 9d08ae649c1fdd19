"""Who is rated, who is not, and what is said of those who are not."""

import numpy as np
import pytest

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.tallies import Tallies


def rate(models, *rows):
    return bradley_terry(Tallies.of_pairs(models, *np.array(rows).reshape(-1, 5).T))


RING = [(0, 1, 2, 1, 0), (1, 2, 2, 1, 0)]  # models 0, 1, 2 can be rated


def test_no_votes():
    ratings = rate(3)
    assert ratings.status == ["unconnected"] * 3
    assert not ratings.connected
    row = ratings.rows()[0]
    assert row.pop("status") == "unconnected"
    assert row == dict.fromkeys(("rating", "se", "lower", "upper", "rank", "rank_lower", "rank_upper"))


def test_one_model_and_none():
    assert rate(1).status == ["unconnected"]
    assert rate(0).rows() == []


def test_a_winner_and_a_loser_alone_are_not_rated():
    ratings = rate(2, (0, 1, 7, 0, 0))
    assert ratings.status == ["only_wins", "only_losses"]
    assert np.isnan(ratings.rating).all()


def test_a_chain_has_a_separated_middle():
    assert rate(3, (0, 1, 1, 0, 0), (1, 2, 1, 0, 0)).status == ["only_wins", "separated", "only_losses"]


def test_a_tie_connects_both_ways():
    assert rate(2, (0, 1, 0, 0, 1)).connected


def test_those_above_and_below_the_rated_ones():
    ratings = rate(6, *RING, (3, 0, 4, 0, 0), (2, 4, 1, 0, 0))
    assert ratings.status == ["ok", "ok", "ok", "only_wins", "only_losses", "unconnected"]
    assert not ratings.connected
    alone = rate(3, *RING)
    assert ratings.rating[:3] == pytest.approx(alone.rating)
    assert ratings.se[:3] == pytest.approx(alone.se)
    assert ratings.rating[:3].mean() == pytest.approx(1000)
    assert ratings.rank_upper[:3].max() <= 3
    assert all(ratings.rows()[model]["rank_upper"] is None for model in (3, 4, 5))


def test_a_group_that_only_beat_the_rated_ones_is_separated():
    ratings = rate(5, *RING, (3, 4, 1, 1, 0), (3, 0, 2, 0, 0), (4, 1, 2, 0, 0))
    assert ratings.status == ["ok"] * 3 + ["separated"] * 2


def test_an_island_is_unconnected():
    assert rate(5, *RING, (3, 4, 5, 5, 0)).status == ["ok"] * 3 + ["unconnected"] * 2


def test_of_two_islands_of_one_size_the_one_with_more_votes_is_rated():
    assert rate(4, (0, 1, 1, 1, 0), (2, 3, 2, 1, 0)).status == ["unconnected", "unconnected", "ok", "ok"]


def test_of_two_islands_alike_the_first_is_rated():
    assert rate(4, (2, 3, 1, 1, 0), (0, 1, 1, 1, 0)).status == ["ok", "ok", "unconnected", "unconnected"]
    assert rate(4, (0, 3, 1, 1, 0), (1, 2, 1, 1, 0)).status == ["ok", "unconnected", "unconnected", "ok"]
