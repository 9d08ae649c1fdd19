"""Ratings at equal length."""

import numpy as np
import pytest
from scipy.special import expit

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.contextual import CONFOUNDED, contextual_bradley_terry
from feedbackhub.stats.length_control import length_controlled_bradley_terry, length_feature
from feedbackhub.stats.ratings import SCALE
from feedbackhub.stats.tallies import Tallies


def votes_that_like_length(models=4, votes=6000, *, taste=1.5, seed=0):
    """The last model writes long and is no better than the first: only its length wins votes."""
    generator = np.random.default_rng(seed)
    a = generator.integers(models, size=votes)
    b = (a + generator.integers(1, models, size=votes)) % models
    strength = np.array([0.0, 1, -1, 0])
    typical = np.array([300, 300, 300, 1200])
    chars_a, chars_b = (generator.poisson(typical[side] * generator.gamma(4, 0.25, votes)) for side in (a, b))
    feature = (chars_a - chars_b) / (chars_a + chars_b + 1)
    outcome = generator.random(votes) < expit(strength[a] - strength[b] + taste * feature)
    return a, b, outcome.astype(float), chars_a, chars_b, strength


def test_length_no_longer_wins():
    *votes, strength = votes_that_like_length()
    plain = bradley_terry(Tallies.of_votes(4, *votes[:3]))
    fit = length_controlled_bradley_terry(4, *votes)
    assert plain.rating[3] - plain.rating[0] > 5 * plain.se[3]
    truth = 1000 + SCALE * (strength - strength.mean())
    assert (np.abs(fit.ratings.rating - truth) < 3 * fit.ratings.se).all()
    assert fit.coefficient / fit.feature_sd == pytest.approx(1.5, abs=3 * fit.coefficient_se / fit.feature_sd)
    assert fit.ratings.rating.mean() == pytest.approx(1000)


def brute_force_covariance(fit, a, b, outcome, chars_a, chars_b, judgment):
    feature = length_feature(chars_a, chars_b)
    design = np.column_stack([np.eye(4)[a] - np.eye(4)[b], (feature - feature.mean()) / feature.std()])
    estimates = np.append((fit.ratings.rating - 1000) / SCALE, fit.coefficient)
    probability = expit(design @ estimates)
    scores = design * (outcome - probability)[:, None]
    assert scores.sum(axis=0) == pytest.approx(np.zeros(5), abs=1e-7)
    scores = np.array([scores[judgment == value].sum(axis=0) for value in np.unique(judgment)])
    bread = np.linalg.pinv(design.T @ (design * (probability * (1 - probability))[:, None]))
    return bread @ scores.T @ scores @ bread


@pytest.mark.parametrize("clustered", [False, True])
def test_errors_are_the_sandwich_by_judgment(clustered):
    *votes, _ = votes_that_like_length(votes=300)
    judgment = np.arange(300) // (3 if clustered else 1) + 70
    fit = length_controlled_bradley_terry(4, *votes, judgment=judgment if clustered else None)
    expected = brute_force_covariance(fit, *votes, judgment)
    assert fit.ratings.covariance == pytest.approx(SCALE**2 * expected[:4, :4], rel=1e-7, abs=1e-7)
    assert fit.coefficient_se == pytest.approx(np.sqrt(expected[4, 4]))


def test_a_model_that_only_wins_is_left_out_before_the_feature_is_standardised():
    *votes, _ = votes_that_like_length(votes=300)
    alone = length_controlled_bradley_terry(4, *votes)
    more = [np.append(column, extra) for column, extra in zip(votes, (4, 0, 1, 9000, 10), strict=True)]
    fit = length_controlled_bradley_terry(5, *more)
    assert fit.ratings.status == ["ok"] * 4 + ["only_wins"]
    assert fit.feature_mean == alone.feature_mean
    assert fit.ratings.rating[:4] == pytest.approx(alone.ratings.rating)
    assert fit.votes == 300


@pytest.mark.parametrize(
    ("outcome", "chars_a", "chars_b", "reason"),
    [
        ([1, 1, 1], [5, 6, 7], [1, 2, 3], "no two models"),
        ([1, 0, 1], [5, 5, 5], [5, 5, 5], "the same in every vote"),
        ([1, 0, 1, 0], [50, 10, 60, 9], [10, 50, 9, 60], "length alone settles"),
    ],
)
def test_what_cannot_be_estimated_says_why(outcome, chars_a, chars_b, reason):
    count = len(outcome)
    fit = length_controlled_bradley_terry(2, [0] * count, [1] * count, outcome, chars_a, chars_b)
    assert fit.ratings is None
    assert reason in fit.undefined_because


def test_three_votes_that_would_make_a_rating_certain():
    """Model 0 is always the shorter by as much. Rounding gave the estimates a variance of −10¹⁵, told as no error."""
    feature = np.array([-1.0, -1, 1]) / 106
    fit = contextual_bradley_terry(2, [0, 0, 1], [1, 1, 0], [1, 1, 1], features=feature[:, None], centred=False)
    assert (fit.ratings, fit.undefined_because) == (None, CONFOUNDED)
    assert np.isnan(fit.coefficient_se).all()
    fit = length_controlled_bradley_terry(2, [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 0], *([50, 10] * 2, [10, 50] * 2))
    assert "length follows from which models were compared" in fit.undefined_because


def test_lengths_that_the_models_settle_are_no_ground_to_tell_them_apart():
    """Each model's answers are as long as ever: any effect of length can be had by shifting the models' strengths."""
    *votes, _ = votes_that_like_length(votes=200)
    a, b, outcome = votes[:3]
    swapped = [np.append(a, b), np.append(b, a), np.append(outcome, 1 - outcome)]
    own = np.array([0.3, 0.1, -0.2, 0.05])
    feature = own[swapped[0]] - own[swapped[1]]
    fit = contextual_bradley_terry(4, *swapped, features=feature[:, None])
    assert (fit.ratings, fit.undefined_because) == (None, CONFOUNDED)
    twice = np.column_stack([np.append(np.arange(200) % 7, np.arange(200) % 5)] * 2)
    assert contextual_bradley_terry(4, *swapped, features=twice).undefined_because == CONFOUNDED
    counts = np.where(np.arange(400) % 200 < 3, 10**7, 1)
    fit = contextual_bradley_terry(4, *swapped, features=feature[:, None], counts=counts)
    assert fit.undefined_because == CONFOUNDED
    once = np.append(np.zeros(399), 1e-2)
    fit = contextual_bradley_terry(4, *swapped, features=(feature + once)[:, None])
    assert np.isfinite(fit.coefficient_se).all()
    assert fit.coefficient_se[0] > 1


def test_unknown_lengths_are_named():
    with pytest.raises(ValueError, match=r"chars_b\[1\] is nan"):
        length_controlled_bradley_terry(2, [0, 0], [1, 1], [1, 0], [5, 5], [4, np.nan])
