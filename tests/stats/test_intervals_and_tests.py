"""Intervals and tests for one look."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from feedbackhub.stats.intervals import (
    binomial_test,
    bootstrap_mean,
    paired_comparison,
    sign_test,
    wilson_interval,
    win_rate_interval,
)


def test_wilson_against_scipy():
    for successes, n in [(0, 10), (3, 10), (10, 10), (500, 1234)]:
        interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes, n) == pytest.approx((interval.low, interval.high), abs=1e-7)
    assert wilson_interval(0, 0) == (0, 1)


def test_wilson_refuses_more_successes_than_trials():
    with pytest.raises(ValueError, match="11 successes of 10 trials"):
        wilson_interval(11, 10)


@pytest.mark.parametrize("tied", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("n", [20, 60])
def test_the_win_rate_interval_covers_as_it_says(n, tied):
    """Exactly, by the probabilities of all outcomes of n votes; over rates, for single ones swing with the lattice."""
    outcomes = [(w, t, n - w - t) for w, t in product(range(n + 1), repeat=2) if w + t <= n]
    bounds = np.array([win_rate_interval(w, lost, t) for w, t, lost in outcomes])
    coverage = []
    for advantage in np.linspace(0.1, 0.9, 33):
        rate = tied / 2 + (1 - tied) * advantage
        shares = [(1 - tied) * advantage, tied, (1 - tied) * (1 - advantage)]
        likely = stats.multinomial.pmf(outcomes, n, shares)
        coverage.append(likely[(bounds[:, 0] <= rate) & (rate <= bounds[:, 1])].sum())
    assert min(coverage) > 0.91
    assert 0.94 < np.mean(coverage) < 0.995  # few decisive votes: rather too wide than too narrow


def test_ties_narrow_the_interval_but_a_few_are_no_certainty():
    assert np.diff(win_rate_interval(10, 10, 80)) < 0.6 * np.diff(win_rate_interval(50, 50, 0))
    lower, upper = win_rate_interval(0, 0, 3)
    assert lower < 0.25
    assert upper > 0.75


def test_binomial_test_against_scipy():
    for successes, n, probability in [(3, 10, 0.5), (5, 10, 0.5), (3, 17, 0.3), (9, 9, 0.9), (40, 300, 0.1)]:
        expected = stats.binomtest(successes, n, probability).pvalue
        assert binomial_test(successes, n, probability) == pytest.approx(expected, rel=1e-9)


def test_sign_test_by_hand():
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert sign_test(4, 4) == sign_test(0, 0) == 1


def test_bootstrap_interval_of_a_mean_is_near_the_normal_one_and_repeats():
    values = np.random.default_rng(0).normal(3, 2, 400)
    mean, lower, upper = bootstrap_mean(values, seed=1)
    error = values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (lower, upper) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.15 * error)
    assert bootstrap_mean(values, seed=1) == (mean, lower, upper)
    assert bootstrap_mean(values, seed=2) != (mean, lower, upper)


def test_bootstrap_in_several_rounds_makes_all_its_resamples():
    values = np.random.default_rng(0).normal(size=30_000)
    _, lower, upper = bootstrap_mean(values, resamples=300)
    assert upper - lower == pytest.approx(2 * 1.96 / np.sqrt(30_000), rel=0.2)


def test_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one or more finite values"):
        bootstrap_mean([])


def test_pairs_show_what_the_two_means_alone_hide():
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 10, 200)
    paired = paired_comparison(hard + 1 + generator.normal(0, 1, 200), hard, seed=0)
    assert 0 < paired.lower < paired.difference < paired.upper < 2
    assert paired.better + paired.worse + paired.equal == paired.n == 200
    assert paired.p_value < 1e-6


def test_paired_error_by_hand():
    paired = paired_comparison([1, 0.5, 1], [0, 0.5, 1])
    assert (paired.better, paired.worse, paired.equal) == (1, 0, 2)
    assert paired.error == pytest.approx(1 / 3)  # sample variance 1/3, three items


def test_paired_scores_must_be_of_the_same_items():
    with pytest.raises(ValueError, match="same items"):
        paired_comparison([1, 2], [1, 2, 3])
