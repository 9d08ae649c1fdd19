"""Choosing the pair whose vote settles most of the order: against a direct reckoning, and against random pairs."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kendalltau, norm

from feedbackhub.stats.active import Posterior
from feedbackhub.stats.tallies import Tallies


def tallies_of(models: int, *votes: tuple[int, int, float]) -> Tallies:
    """(winner, loser, how often)."""
    wins = np.zeros((models, models))
    for winner, loser, count in votes:
        wins[winner, loser] += count
    return Tallies(wins, np.zeros((models, models)))


def doubt(theta: np.ndarray, covariance: np.ndarray) -> float:
    """Σ P(1 − P) over pairs, from the definition."""
    total = 0.0
    for i, j in combinations(range(len(theta)), 2):
        variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
        above = norm.cdf((theta[i] - theta[j]) / np.sqrt(variance))
        total += above * (1 - above)
    return total


def test_the_gain_is_the_expected_fall_of_the_doubt():
    """Both answers to a vote are played through; with many votes behind the models the first order is all there is."""
    rng = np.random.default_rng(0)
    wins = rng.integers(1900, 2100, (4, 4)).astype(float)
    np.fill_diagonal(wins, 0)
    posterior = Posterior(Tallies(wins, np.zeros((4, 4))))
    theta, covariance = posterior.theta, posterior.covariance
    before = doubt(theta, covariance)
    gains = posterior.gains()
    for k, m in combinations(range(4), 2):
        p = expit(theta[k] - theta[m])
        moved = covariance[:, k] - covariance[:, m]
        shrink = 1 / (1 + p * (1 - p) * (moved[k] - moved[m]))
        after = covariance - p * (1 - p) * shrink * np.outer(moved, moved)
        # A Gaussian posterior's mean moves by (y − p) · moved to the first order.
        win, loss = (doubt(theta + (y - p) * shrink * moved, after) for y in (1, 0))
        assert gains[k, m] == pytest.approx(before - (p * win + (1 - p) * loss), rel=0.02)
        assert gains[k, m] == pytest.approx(gains[m, k], rel=1e-9)
    assert np.diag(gains).tolist() == [0] * 4


def test_the_posterior_is_the_mode_with_its_curvature():
    posterior = Posterior(tallies_of(2, (0, 1, 3), (1, 0, 1)), prior_sd=2.0)
    difference = posterior.theta[0] - posterior.theta[1]
    # By symmetry θ = ±d/2, and d solves 3 − 4σ(d) = d/2 · ¼.
    assert 3 - 4 * expit(difference) == pytest.approx(difference / 8, abs=1e-9)
    information = 4 * expit(difference) * expit(-difference)
    expected = np.linalg.inv(np.array([[information, -information], [-information, information]]) + np.eye(2) / 4)
    assert posterior.covariance == pytest.approx(expected, rel=1e-9)


def test_what_is_not_connected_is_connected_first():
    posterior = Posterior(tallies_of(4, (0, 1, 60), (1, 0, 55), (2, 3, 60), (3, 2, 55)))
    pairs = posterior.next_pairs(2, np.random.default_rng(0), explore=0)
    assert {model in (0, 1) for model in pairs[0]} == {True, False}


def test_near_models_are_asked_about_and_settled_ones_are_not():
    far = [(0, other, 200) for other in (1, 2)] + [(other, 0, 4) for other in (1, 2)]
    posterior = Posterior(tallies_of(3, *far, (1, 2, 10), (2, 1, 10)))
    gains = posterior.gains()
    assert gains[1, 2] > 10 * max(gains[0, 1], gains[0, 2])
    assert posterior.next_pairs(3, np.random.default_rng(0), explore=0) == [(1, 2)] * 3


def test_exploring_asks_about_every_pair_alike():
    posterior = Posterior(tallies_of(3, (0, 1, 500), (1, 2, 500)))
    pairs = posterior.next_pairs(3000, np.random.default_rng(0), explore=1)
    counts = [pairs.count(pair) for pair in combinations(range(3), 2)]
    assert all(900 < count < 1100 for count in counts)
    with pytest.raises(ValueError, match="explore"):
        posterior.next_pairs(1, np.random.default_rng(0), explore=1.5)


def test_only_pairs_that_can_be_asked_about_are_chosen():
    posterior = Posterior(tallies_of(4))
    assert set(posterior.next_pairs(50, np.random.default_rng(0), among=[(2, 0), (1, 3)])) == {(0, 2), (1, 3)}
    assert posterior.next_pairs(5, np.random.default_rng(0), among=[]) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_found_with_fewer_votes_than_by_chance(seed):
    truth = np.random.default_rng(seed).normal(0, 1, 15)
    active, chance = (np.mean([tau(truth, explore, run) for run in range(6)]) for explore in (0.1, 1.0))
    assert active > chance


def tau(truth: np.ndarray, explore: float, seed: int, votes: int = 600) -> float:
    rng = np.random.default_rng(seed)
    wins = np.zeros((len(truth), len(truth)))
    for _ in range(votes // 30):
        posterior = Posterior(Tallies(wins, np.zeros_like(wins)))
        for a, b in posterior.next_pairs(30, rng, explore=explore):
            winner, loser = (a, b) if rng.random() < expit(truth[a] - truth[b]) else (b, a)
            wins[winner, loser] += 1
    return kendalltau(Posterior(Tallies(wins, np.zeros_like(wins))).theta, truth).statistic
