"""A ranking's pairs are one judgment: its errors are those of a sandwich with one score a judgment."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.ratings import SCALE
from feedbackhub.stats.tallies import Tallies


def pairs_of(tiers):
    """(a, b, outcome) of every pair of a ranking."""
    placed = [(model, tier) for tier, models in enumerate(tiers) for model in models]
    return [(a, b, 1.0 if i < j else 0.0 if i > j else 0.5) for (a, i), (b, j) in combinations(placed, 2)]


def tallies_of(models, judgments):
    return Tallies.of_votes(models, *np.array([pair for tiers in judgments for pair in pairs_of(tiers)]).T)


def random_judgments(models, count, *, seed):
    generator = np.random.default_rng(seed)
    strength = np.linspace(1, -1, models)
    judgments = []
    for _ in range(count):
        shown = generator.permutation(models)[: generator.integers(2, 6)]
        order = shown[np.argsort(-strength[shown] - generator.gumbel(size=len(shown)))].tolist()
        tiers = [[order[0]]]
        for model in order[1:]:
            if generator.random() < 0.3:
                tiers[-1].append(model)
            else:
                tiers.append([model])
        judgments.append(tuple(map(tuple, tiers)))
    return judgments


def sandwich(models, judgments, rating):
    theta = (rating - 1000) / SCALE
    information, meat = np.zeros((models, models)), np.zeros((models, models))
    for tiers in judgments:
        score = np.zeros(models)
        for a, b, outcome in pairs_of(tiers):
            if np.isnan(theta[a] + theta[b]):
                continue
            direction = np.eye(models)[a] - np.eye(models)[b]
            probability = expit(theta[a] - theta[b])
            score += (outcome - probability) * direction
            information += probability * (1 - probability) * np.outer(direction, direction)
        meat += np.outer(score, score)
    bread = np.linalg.pinv(information)
    return SCALE**2 * bread @ meat @ bread


def test_errors_equal_the_sandwich_by_judgment():
    judgments = random_judgments(7, 250, seed=1)
    ratings = bradley_terry(tallies_of(7, judgments), [(tiers, 1) for tiers in judgments if len(sum(tiers, ())) > 2])
    assert ratings.covariance == pytest.approx(sandwich(7, judgments, ratings.rating), rel=1e-8, abs=1e-8)
    independent = bradley_terry(tallies_of(7, judgments))
    assert np.array_equal(ratings.rating, independent.rating)
    assert np.abs(ratings.se / independent.se - 1).max() > 0.05


def test_patterns_with_counts_and_duplicates_add_up():
    judgments = random_judgments(5, 60, seed=2)
    repeated = judgments * 3
    tallies = tallies_of(5, repeated)
    one_by_one = bradley_terry(tallies, [(tiers, 1) for tiers in repeated])
    counted = bradley_terry(tallies, [(tiers, 2) for tiers in judgments] + [(tiers, 1) for tiers in judgments])
    assert counted.covariance == pytest.approx(one_by_one.covariance)


def test_models_outside_the_rated_component_leave_a_ranking():
    judgments = [*random_judgments(5, 80, seed=3), ((5,), (0,), (1, 2)), ((5,), (3,), (1,), (2,)), ((5,), (4,), (0,))]
    ratings = bradley_terry(tallies_of(6, judgments), [(tiers, 1) for tiers in judgments])
    assert ratings.status == ["ok"] * 5 + ["only_wins"]
    expected = sandwich(6, judgments, ratings.rating)
    assert ratings.covariance[:5, :5] == pytest.approx(expected[:5, :5], rel=1e-8, abs=1e-8)


def test_more_rankings_than_fit_one_chunk(monkeypatch):
    judgments = random_judgments(6, 120, seed=4)
    tallies, rankings = tallies_of(6, judgments), [(tiers, 1) for tiers in judgments]
    whole = bradley_terry(tallies, rankings)
    monkeypatch.setattr("feedbackhub.stats.bradley_terry.CHUNK", 7)
    assert bradley_terry(tallies, rankings).covariance == pytest.approx(whole.covariance)


def test_bad_rankings_are_named():
    tallies = tallies_of(3, [((0,), (1,), (2,))])
    with pytest.raises(ValueError, match="names a model twice"):
        bradley_terry(tallies, [(((0,), (1, 0)), 1)])
    with pytest.raises(ValueError, match="not in 0 … 2"):
        bradley_terry(tallies, [(((0,), (1,), (3,)), 1)])
