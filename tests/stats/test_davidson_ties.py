"""Davidson's ties: the maximum found by another optimiser, errors by differences of the likelihood, closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize

from feedbackhub.stats import contextual
from feedbackhub.stats.contextual import contextual_bradley_terry
from feedbackhub.stats.ratings import SCALE


def log_likelihoods(x, a, b, outcome, models):
    """(N,) as Davidson (1970) writes it: πa, πb and ν √(πa πb) over their sum."""
    worth, nu = np.exp(x[:models]), np.exp(x[models])
    one, other = worth[a], worth[b]
    tie = nu * np.sqrt(one * other)
    return np.log(np.select([outcome == 1, outcome == 0], [one, other], tie) / (one + other + tie))


@pytest.fixture(scope="module")
def votes():
    generator = np.random.default_rng(3)
    a = generator.integers(4, size=500)
    b = (a + generator.integers(1, 4, size=500)) % 4
    return a, b, generator.choice([1, 0.5, 0], p=[0.5, 0.3, 0.2], size=500) * 1.0


@pytest.fixture(scope="module")
def fit(votes):
    return contextual_bradley_terry(4, *votes, ties="davidson")


def test_the_maximum_is_the_one_another_optimiser_finds(votes, fit):
    def loss(x):
        return -log_likelihoods(x, *votes, 4).sum() + x[:4].sum() ** 2

    found = minimize(loss, np.zeros(5), tol=1e-12).x
    assert fit.ratings.rating == pytest.approx(1000 + SCALE * found[:4], abs=1e-2)
    assert fit.nu == pytest.approx(np.exp(found[4]), rel=1e-5)


def test_the_errors_are_the_sandwich_of_differences(votes, fit):
    x = np.append((fit.ratings.rating - 1000) / SCALE, np.log(fit.nu))
    step = 1e-4
    up, down = (np.array([log_likelihoods(x + s * e, *votes, 4) for e in np.eye(5)]) for s in (step, -step))
    scores = (up - down).T / (2 * step)
    assert scores.sum(axis=0) == pytest.approx(np.zeros(5), abs=1e-4)

    def whole(y):
        return log_likelihoods(y, *votes, 4).sum()

    pairs = [[(i, j) for j in np.eye(5)] for i in np.eye(5)]
    h = 1e-3
    information = np.array(
        [
            [
                -(whole(x + h * (i + j)) - whole(x + h * (i - j)) - whole(x - h * (i - j)) + whole(x - h * (i + j)))
                / (4 * h * h)
                for i, j in row
            ]
            for row in pairs
        ]
    )
    centre = np.eye(5)
    centre[:4, :4] -= 0.25
    bread = centre @ np.linalg.pinv(information, rcond=1e-6) @ centre.T
    expected = bread @ (scores.T @ scores) @ bread.T
    assert fit.ratings.covariance == pytest.approx(SCALE**2 * expected[:4, :4], rel=1e-3, abs=1e-2)


def test_two_models_have_it_in_closed_form():
    wins, losses, ties = 50, 20, 30
    outcome = [1] * wins + [0] * losses + [0.5] * ties
    fit = contextual_bradley_terry(2, [0] * 100, [1] * 100, outcome, ties="davidson")
    assert fit.ratings.rating[0] - fit.ratings.rating[1] == pytest.approx(SCALE * np.log(wins / losses))
    assert fit.nu == pytest.approx(ties / np.sqrt(wins * losses))


def test_without_ties_it_is_bradley_terry(votes):
    a, b, outcome = (column[votes[2] != 0.5] for column in votes)
    fit, plain = (contextual_bradley_terry(4, a, b, outcome, ties=ties) for ties in ("davidson", "half"))
    assert fit.nu is None
    assert fit.ratings.rating == pytest.approx(plain.ratings.rating)


def test_ties_that_nothing_bounds_say_so():
    fit = contextual_bradley_terry(2, [0, 0, 0], [1, 1, 1], [1, 0.5, 1], ties="davidson")
    assert fit.ratings is None
    assert fit.undefined_because == contextual.ONE_WAY


def test_clusters_of_one_vote_are_the_plain_sandwich(votes, fit):
    clustered = contextual_bradley_terry(4, *votes, ties="davidson", clusters=[np.arange(500)])
    assert clustered.ratings.covariance == pytest.approx(fit.ratings.covariance * 500 / 499)


def test_counted_rows_are_as_many_votes(votes, fit):
    rows, counts = np.unique(np.column_stack(votes), axis=0, return_counts=True)
    a, b, outcome = rows.T
    counted = contextual_bradley_terry(4, a, b, outcome, ties="davidson", counts=counts)
    assert counted.votes == 500
    assert counted.ratings.covariance == pytest.approx(fit.ratings.covariance, rel=1e-8)
    with pytest.raises(ValueError, match="cannot be clustered"):
        contextual_bradley_terry(4, a, b, outcome, counts=counts, judgment=np.arange(len(a)))
