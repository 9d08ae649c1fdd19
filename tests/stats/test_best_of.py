"""Best of n against what can be counted by hand."""

from itertools import combinations

import numpy as np
import pytest

from feedbackhub.stats.best_of import divergence_bound, expected_maximum, mean_interval


def test_the_expected_best_of_k_is_the_mean_over_all_subsets():
    rewards = np.random.default_rng(1).normal(size=(3, 6))
    found = expected_maximum(rewards)
    for prompt, row in enumerate(rewards):
        for k in range(1, 7):
            by_hand = np.mean([max(subset) for subset in combinations(row, k)])
            assert found[prompt, k - 1] == pytest.approx(by_hand, abs=1e-12)
    assert found[:, 0] == pytest.approx(rewards.mean(axis=1))
    assert found[:, 5] == pytest.approx(rewards.max(axis=1))


def test_ties_and_one_answer():
    assert expected_maximum([[2.0, 2.0]]) == pytest.approx(np.array([[2.0, 2.0]]))
    assert expected_maximum([[3.0]]) == pytest.approx(np.array([[3.0]]))


def test_the_interval_of_a_mean_is_students():
    # R: t.test(c(1, 2, 4))
    assert mean_interval([1, 2, 4]) == pytest.approx((2.333333, -1.461250, 6.127917), abs=1e-6)
    assert mean_interval([5.0]) == (5.0, None, None)


def test_the_bound_on_the_divergence():
    assert divergence_bound(1) == 0
    assert divergence_bound(4) == pytest.approx(1.386294 - 0.75, abs=1e-6)
