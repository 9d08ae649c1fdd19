"""Bradley–Terry on cases that a person can work out, and its errors against the definition."""

import numpy as np
import pytest
from scipy.special import expit

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.ratings import SCALE, Z95, interval_ranks
from feedbackhub.stats.tallies import Tallies, average_win_rate


def tallies_of(models, *rows):
    """Rows (a, b, wins_a, wins_b, ties)."""
    return Tallies.of_pairs(models, *np.array(rows).reshape(-1, 5).T)


def random_votes(models, votes, *, ties=0.2, seed=0):
    generator = np.random.default_rng(seed)
    a = generator.integers(models, size=votes)
    b = (a + generator.integers(1, models, size=votes)) % models
    strength = generator.normal(size=models)
    won = generator.random(votes) < expit(strength[a] - strength[b])
    return a, b, np.where(generator.random(votes) < ties, 0.5, won.astype(float))


def test_three_wins_to_one_is_odds_of_three():
    ratings = bradley_terry(tallies_of(2, (0, 1, 3, 1, 0)))
    assert ratings.rating[0] - ratings.rating[1] == pytest.approx(400 * np.log10(3))
    assert ratings.rating.mean() == pytest.approx(1000)
    # p = 3/4; information 4·p(1−p) = 3/4; scores 3·(1/4)² + (3/4)² = 3/4; each rating is half the difference
    assert ratings.se == pytest.approx([SCALE * np.sqrt(0.75 / 0.75**2) / 2] * 2)
    assert ratings.lower == pytest.approx(ratings.rating - Z95 * ratings.se)


def test_a_tie_is_one_vote_of_a_half_and_not_two_half_votes():
    ratings = bradley_terry(tallies_of(2, (0, 1, 2, 0, 2)))
    assert ratings.rating[0] - ratings.rating[1] == pytest.approx(400 * np.log10(3))
    # every residual is 1/4: scores 4·(1/4)² = 1/4
    assert ratings.se == pytest.approx([SCALE * np.sqrt(0.25 / 0.75**2) / 2] * 2)


def test_only_ties_make_equals():
    ratings = bradley_terry(tallies_of(3, (0, 1, 0, 0, 4), (1, 2, 0, 0, 1)))
    assert ratings.rating == pytest.approx([1000] * 3)
    assert ratings.connected


def test_pairs_add_up_whichever_way_round_they_come():
    once = tallies_of(3, (0, 1, 5, 3, 2), (1, 2, 4, 4, 1), (2, 0, 1, 6, 0))
    scattered = tallies_of(3, (1, 0, 3, 0, 1), (2, 1, 4, 4, 1), (0, 1, 5, 0, 1), (0, 2, 6, 1, 0))
    assert np.array_equal(once.wins, scattered.wins)
    assert np.array_equal(once.ties, scattered.ties)
    assert once.votes == scattered.votes == 26


def test_votes_and_their_tallies_are_the_same():
    a, b, outcome = random_votes(4, 300)
    counted = Tallies.of_pairs(4, a, b, outcome == 1, outcome == 0, outcome == 0.5)
    assert np.array_equal(Tallies.of_votes(4, a, b, outcome).wins, counted.wins)
    assert np.array_equal(Tallies.of_votes(4, a, b, outcome).ties, counted.ties)
    assert counted.votes == 300


def test_errors_are_the_sandwich_of_single_votes():
    a, b, outcome = random_votes(6, 400)
    ratings = bradley_terry(Tallies.of_votes(6, a, b, outcome))
    theta = (ratings.rating - 1000) / SCALE
    design = np.eye(6)[a] - np.eye(6)[b]
    probability = expit(design @ theta)
    assert design.T @ (outcome - probability) == pytest.approx(np.zeros(6), abs=1e-8)  # it is the maximum
    bread = np.linalg.pinv(design.T @ (design * (probability * (1 - probability))[:, None]))
    scores = design * (outcome - probability)[:, None]
    assert ratings.covariance / SCALE**2 == pytest.approx(bread @ scores.T @ scores @ bread, abs=1e-10)


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(5)
    strength = np.linspace(-1, 1, 5)
    a, b = np.triu_indices(5, 1)
    held = []
    for _ in range(400):
        wins = generator.binomial(60, expit(strength[a] - strength[b]))
        ratings = bradley_terry(Tallies.of_pairs(5, a, b, wins, 60 - wins, np.zeros(10)))
        held.append(np.abs(ratings.rating - 1000 - SCALE * strength) <= Z95 * ratings.se)
    assert 0.93 < np.mean(held) < 0.97


def test_extreme_tallies_still_converge():
    ratings = bradley_terry(tallies_of(4, (0, 1, 10_000_000, 1, 0), (1, 2, 9_000_000, 1, 0), (2, 3, 1, 8_000_000, 2)))
    assert ratings.rating[0] - ratings.rating[1] == pytest.approx(400 * 7, abs=1e-6)
    assert ratings.rating[1] - ratings.rating[2] == pytest.approx(400 * np.log10(9e6), abs=1e-6)


def test_ranks_follow_the_intervals():
    lower, upper = np.array([30.0, 20, 0, np.nan]), np.array([40.0, 32, 10, np.nan])
    best, worst = interval_ranks(lower, upper)
    assert best.tolist() == [1, 1, 3, 0]
    assert worst.tolist() == [2, 2, 3, 0]


def test_average_win_rate_weighs_opponents_and_not_votes():
    rates = average_win_rate(tallies_of(4, (0, 1, 9, 1, 0), (0, 2, 0, 1, 1)))
    assert rates[:3] == pytest.approx([(0.9 + 0.25) / 2, 0.1, 0.75])
    assert np.isnan(rates[3])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 0, 1, 0, 0), "row 1 sets model 0 against itself"),
        ((0, 5, 1, 0, 0), r"b\[1\] is 5.*below 3"),
        ((0, 1, 1, -2, 0), r"wins_b\[1\] is -2"),
    ],
)
def test_bad_tallies_are_named(row, message):
    with pytest.raises(ValueError, match=message):
        tallies_of(3, (1, 2, 1, 1, 1), row)


def test_an_unknown_outcome_is_named():
    with pytest.raises(ValueError, match=r"outcome\[1\] is 0.7"):
        Tallies.of_votes(2, [0, 0], [1, 1], [1, 0.7])
