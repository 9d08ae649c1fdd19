"""Intervals and ranks that hold for all models at once; where ratings are anchored."""

import numpy as np
import pytest

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.ratings import Ratings
from feedbackhub.stats.simultaneous import simultaneous
from feedbackhub.stats.tallies import Tallies


def independent(rating, se):
    """Ratings whose errors are independent: for these the critical values are known."""
    rating = np.asarray(rating, dtype=float)
    models = len(rating)
    lower, upper = rating - 1.96 * se, rating + 1.96 * se
    return Ratings(
        rating, np.full(models, se), lower, upper, *np.zeros((2, models), int), ["ok"] * models,
        np.eye(models) * se**2, 0,
    )  # fmt: skip


def test_the_reach_is_that_of_the_largest_of_normals():
    found = simultaneous(independent(np.zeros(10), 1.0), draws=20_000)
    # P(max of ten |z| ≤ c) = (2Φ(c) − 1)¹⁰ = 0.95 at c = 2.7996
    assert found.upper[0] == pytest.approx(2.7996, abs=0.05)


def test_models_that_differ_in_nothing_share_all_ranks_as_often_as_promised():
    generator = np.random.default_rng(1)
    wrong = 0
    for seed in range(200):
        found = simultaneous(independent(generator.normal(size=8), 1.0), draws=400, seed=seed)
        wrong += bool((found.rank_lower > 1).any() or (found.rank_upper < 8).any())
    assert wrong <= 20  # 5 % of 200 are 10; 20 and more have a chance of 0.2 %


def test_ranks_step_down():
    # far apart groups are told apart first, which leaves fewer differences to correct for
    ratings = independent([0, 0.1, 100, 103.4, 200, 200.1, 200.2, 200.3], 1.0)
    found = simultaneous(ratings, draws=4000)
    assert found.rank_lower.tolist() == [7, 7, 5, 5, 1, 1, 1, 1]
    assert found.rank_upper.tolist() == [8, 8, 6, 6, 4, 4, 4, 4]


def test_the_intervals_are_wider_than_those_for_one_model():
    rng = np.random.default_rng(0)
    a = rng.integers(6, size=900)
    b = (a + rng.integers(1, 6, size=900)) % 6
    ratings = bradley_terry(Tallies.of_votes(7, np.append(a, 6), np.append(b, 0), np.append(rng.random(900) < 0.5, 1)))
    found = simultaneous(ratings)
    assert (found.upper[:6] > ratings.upper[:6]).all()
    assert np.isnan(found.upper[6])
    assert found.rank_lower[6] == 0
    assert found.rating[:6] == pytest.approx(ratings.rating[:6])


def test_an_anchor_stands_at_1000_and_the_others_errors_are_of_their_distance():
    tallies = Tallies.of_pairs(3, [0, 1, 0], [1, 2, 2], [30, 25, 40], [12, 14, 9], [6, 0, 3])
    centred, anchored = bradley_terry(tallies), bradley_terry(tallies).anchored(1)
    assert anchored.rating[1] == 1000
    assert anchored.se[1] == 0
    assert anchored.rating[0] - anchored.rating[2] == pytest.approx(centred.rating[0] - centred.rating[2])
    difference = np.array([1, -1, 0])
    assert anchored.se[0] == pytest.approx(np.sqrt(difference @ centred.covariance @ difference))
    assert anchored.covariance[0, 2] == pytest.approx(np.array([0, -1, 1]) @ centred.covariance @ difference)
    assert anchored.upper[0] == pytest.approx(anchored.rating[0] + 1.959964 * anchored.se[0])
    assert anchored.rank_lower.tolist() == centred.rank_lower.tolist()


def test_a_model_without_a_rating_is_no_anchor():
    tallies = Tallies.of_pairs(3, [0, 2], [1, 0], [3, 2], [2, 0], [0, 0])
    with pytest.raises(ValueError, match="model 2 has no rating"):
        bradley_terry(tallies).anchored(2)
