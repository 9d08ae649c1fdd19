"""How many votes an A/B still takes; and the simulation of bench/verdicts.py in small."""

import numpy as np
import pytest

from bench import verdicts
from feedbackhub.stats.anytime import log_capital
from feedbackhub.stats.votes_needed import is_settled, log_capital_approximate, votes_needed


def test_a_verdict_that_is_in_needs_none():
    assert votes_needed(90, 10).median == 0
    assert votes_needed(6000, 6000, 2000).median == 0
    assert is_settled(90, 10, 0)
    assert not is_settled(60, 55, 0)


def test_the_surer_the_sooner():
    clear, close = votes_needed(33, 17), votes_needed(27, 23)
    assert 0 < clear.lower < clear.median < clear.upper
    assert clear.median < close.median
    assert votes_needed(270, 230, equivalence=0.02).median > votes_needed(270, 230).median


def test_it_cannot_be_said_without_votes_or_beyond_a_million():
    assert votes_needed(0, 0, 0) is None
    assert votes_needed(50_000, 50_000, equivalence=0.0005).median is None


def test_the_same_counts_give_the_same_answer():
    assert votes_needed(31, 22, 9) == votes_needed(31, 22, 9)


@pytest.mark.parametrize("counts", [(500, 480, 100), (900, 890, 400), (5000, 5100, 1000)])
@pytest.mark.parametrize("m", [0.45, 0.55])
def test_the_approximation_is_near_the_capital(counts, m):
    near = log_capital_approximate(m, *(np.array([float(count)]) for count in counts))[0]
    assert near == pytest.approx(log_capital(m, *counts), abs=0.3, rel=0.04)


def test_a_verdict_looked_at_after_every_vote_errs_rarely():
    row = verdicts.nulls(nulls=2000, votes=1000, ties=0.2)
    assert 0.005 < row["share"] <= 0.05
    said = verdicts.looked_at(votes=300, ties=0.2, seed=5, every=20)
    assert set(said) == {"not_enough"}


def test_votes_that_repeat_each_other_err_rarely_too():
    row = verdicts.clustered(nulls=150, prompts=40, per_prompt=10)
    assert row["share"] <= 0.05 < row["plain"]


def test_the_forecast_is_right_within_a_factor_of_one_and_a_half_in_the_median():
    rows = {row["what"]: row for row in verdicts.forecasts(repeats=8, longest=12_000)}
    assert rows["forecast, all"]["n"] > 60
    assert 1 / 1.5 < rows["forecast, all"]["median_ratio"] < 1.5
    assert rows["forecast, all"]["share"] > 0.65, "the middle 80 % of the futures hold what came"
