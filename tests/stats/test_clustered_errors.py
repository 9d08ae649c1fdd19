"""Errors by rater, by prompt and both ways: against sums written out, a general optimiser, and the truth."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from feedbackhub.stats.bootstrap import bootstrap_bradley_terry
from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.clusters import crossed, positive, quantile
from feedbackhub.stats.contextual import contextual_bradley_terry
from feedbackhub.stats.ratings import SCALE
from feedbackhub.stats.tallies import Tallies


def some_votes(votes=400, models=4, *, raters=12, prompts=15, seed=0, ties=0.2):
    generator = np.random.default_rng(seed)
    a = generator.integers(models, size=votes)
    b = (a + generator.integers(1, models, size=votes)) % models
    rater, prompt = generator.integers(raters, size=votes), generator.integers(prompts, size=votes)
    taste = generator.normal(0, 0.8, (raters, models))
    strength = np.linspace(0.6, -0.6, models)
    won = generator.random(votes) < expit(strength[a] - strength[b] + taste[rater, a] - taste[rater, b])
    outcome = np.where(generator.random(votes) < ties, 0.5, won.astype(float))
    return (a, b, outcome), rater, prompt


def by_hand(votes, ratings, clusters, weights=None):
    """The sandwich written out vote by vote, with G / (G − 1) for each way and their inclusion and exclusion."""
    a, b, outcome = votes
    weights = np.ones(len(a)) if weights is None else weights
    theta = (ratings.rating - 1000) / SCALE
    direction = np.eye(len(theta))[a] - np.eye(len(theta))[b]
    probability = expit(theta[a] - theta[b])
    scores = direction * (weights * (outcome - probability))[:, None]
    bread = np.linalg.pinv(direction.T @ (direction * (weights * probability * (1 - probability))[:, None]))

    def meat(labels):
        sums = np.array([scores[[one == label for one in labels]].sum(axis=0) for label in set(labels)])
        return len(sums) / (len(sums) - 1) * sums.T @ sums

    whole = sum(meat(labels.tolist()) for labels in clusters)
    if len(clusters) == 2:
        whole = whole - meat(list(zip(*(labels.tolist() for labels in clusters), strict=True)))
    return SCALE**2 * bread @ whole @ bread


def test_without_clusters_it_is_the_board_of_the_tallies():
    votes, *_ = some_votes()
    fit, board = contextual_bradley_terry(4, *votes), bradley_terry(Tallies.of_votes(4, *votes))
    assert fit.ratings.rating == pytest.approx(board.rating, abs=1e-7)
    assert fit.ratings.covariance == pytest.approx(board.covariance, rel=1e-7, abs=1e-7)
    assert fit.ratings.rank_upper.tolist() == board.rank_upper.tolist()


def test_one_way_and_two_ways():
    votes, rater, prompt = some_votes()
    for clusters in ([rater], [prompt], [rater, prompt]):
        fit = contextual_bradley_terry(4, *votes, clusters=clusters)
        expected = by_hand(votes, fit.ratings, clusters)
        assert fit.ratings.covariance == pytest.approx(positive(expected), rel=1e-7, abs=1e-6)
        assert fit.clusters == tuple(len(set(one.tolist())) for one in clusters)
        width = fit.ratings.upper - fit.ratings.rating
        assert width == pytest.approx(fit.ratings.se * quantile([np.arange(min(fit.clusters))]))


def test_raters_with_tastes_of_their_own_make_the_plain_interval_too_narrow():
    votes, rater, _ = some_votes(3000, raters=30)
    plain = contextual_bradley_terry(4, *votes).ratings.se
    assert (contextual_bradley_terry(4, *votes, clusters=[rater]).ratings.se > 1.5 * plain).all()


def test_the_quantile_is_students():
    assert quantile([np.arange(11)]) == pytest.approx(2.228139, abs=1e-6)  # t table, 10 degrees of freedom
    assert quantile([np.arange(500), np.arange(6)]) == pytest.approx(2.570582, abs=1e-6)


def test_a_covariance_with_a_negative_eigenvalue_is_mended():
    mended = positive(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert np.linalg.eigvalsh(mended).tolist() == pytest.approx([0, 3])


def test_crossed_clusters_are_the_pairs():
    one, other = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 1])
    assert len(set(crossed(one, other).tolist())) == 4
    assert crossed(one, other)[1] == crossed(one, other)[4]


def test_weights_are_the_weighted_likelihood_and_its_sandwich():
    votes, rater, _ = some_votes()
    weights = np.linspace(0, 1, 12)[rater]
    fit = contextual_bradley_terry(4, *votes, weights=weights)
    a, b, outcome = votes

    def loss(theta):
        p = expit(theta[a] - theta[b])
        return -(weights * (outcome * np.log(p) + (1 - outcome) * np.log(1 - p))).sum() + theta.sum() ** 2

    found = minimize(loss, np.zeros(4), tol=1e-12).x
    assert fit.ratings.rating == pytest.approx(1000 + SCALE * found, abs=1e-2)
    expected = by_hand(votes, fit.ratings, [np.arange(len(a))], weights)
    n = (weights > 0).sum()
    assert fit.ratings.covariance == pytest.approx(expected * (len(a) - 1) / len(a), rel=1e-6, abs=1e-6)
    assert fit.votes == n


def test_a_vote_of_weight_nothing_connects_nobody():
    a, b, outcome, weights = [0, 1, 2, 0], [1, 0, 0, 2], [1, 1, 1, 1], [1, 1, 0, 1]
    assert contextual_bradley_terry(3, a, b, outcome, weights=weights).ratings.status == ["ok", "ok", "only_losses"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": [1, -1, 1, 1]}, "at least 0"),
        ({"features": [[1.0], [np.nan], [0], [0]]}, "finite"),
        ({"ties": "third"}, "none of half, davidson"),
        ({"clusters": [[1, 2, 3, 4]] * 3}, "one or two ways"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        contextual_bradley_terry(2, [0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0.5], **given)


def test_the_bootstrap_comes_near_the_sandwich_and_whole_raters_near_the_clustered_one():
    votes, rater, prompt = some_votes(3000, raters=60, prompts=80)
    plain = bootstrap_bradley_terry(4, *votes, resamples=300)
    assert plain.ratings.se == pytest.approx(contextual_bradley_terry(4, *votes).ratings.se, rel=0.15)
    raters = bootstrap_bradley_terry(4, *votes, clusters=[rater], resamples=300)
    clustered = contextual_bradley_terry(4, *votes, clusters=[rater]).ratings
    assert raters.ratings.se == pytest.approx(clustered.se, rel=0.2)
    assert raters.ratings.rating == pytest.approx(clustered.rating)
    assert ((raters.ratings.lower < clustered.rating) & (clustered.rating < raters.ratings.upper)).all()
    both = bootstrap_bradley_terry(4, *votes, clusters=[rater, prompt], resamples=200)
    # the pigeonhole bootstrap is conservative: it adds the votes' own scatter once more for each way
    assert (both.ratings.se > 0.9 * raters.ratings.se).all()
    assert bootstrap_bradley_terry(4, *votes, resamples=20).ratings.se == pytest.approx(
        bootstrap_bradley_terry(4, *votes, resamples=20).ratings.se
    )


def test_resamples_without_finite_ratings_are_counted():
    found = bootstrap_bradley_terry(2, [0] * 9, [1] * 9, [1, 1, 1, 1, 1, 1, 1, 1, 0], resamples=100)
    assert found.separated > 10
    assert found.resamples + found.separated == 100


def test_features_that_are_not_centred_do_not_care_who_is_shown_first():
    (a, b, outcome), *_ = some_votes()
    feature = np.random.default_rng(5).random(len(a)) + 0.5 * (a < b)
    turned = np.arange(len(a)) % 3 == 0
    other = (np.where(turned, b, a), np.where(turned, a, b), np.where(turned, 1 - outcome, outcome))
    signed = np.where(turned, -feature, feature)
    one, two = (
        contextual_bradley_terry(4, *votes, features=column[:, None], centred=False)
        for votes, column in (((a, b, outcome), feature), (other, signed))
    )
    assert one.ratings.rating == pytest.approx(two.ratings.rating)
    assert one.feature_mean.tolist() == [0]


def test_errors_are_those_of_statsmodels():
    """sm.GLM(y, X, Binomial()).fit(cov_type="cluster", use_correction=False) of statsmodels 0.15, in points."""
    generator, n = np.random.default_rng(0), 600
    a = generator.integers(4, size=n)
    b = (a + generator.integers(1, 4, size=n)) % 4
    rater, prompt = generator.integers(20, size=n), generator.integers(25, size=n)
    outcome = generator.choice([0, 0.5, 1], size=n, p=[0.3, 0.2, 0.5])
    for clusters, number, expected in (
        (rater, 20, [13.29553264, 11.96872053, 13.1434811, 11.79742791]),
        (prompt, 25, [15.57258636, 14.10412839, 14.03536958, 10.6946711]),
    ):
        fit = contextual_bradley_terry(4, a, b, outcome, clusters=[clusters])
        assert fit.ratings.se == pytest.approx(np.array(expected) * np.sqrt(number / (number - 1)), abs=1e-6)
