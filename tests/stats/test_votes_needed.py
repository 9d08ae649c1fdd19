"""How many votes an A/B still takes; and the simulation of bench/verdicts.py in small."""

import numpy as np
import pytest
from scipy.special import gammaln

from bench import verdicts
from feedbackhub.stats.anytime import log_capital
from feedbackhub.stats.votes_needed import is_settled, log_capital_approximate, votes_needed, votes_planned


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


def _votes_until_settled(rng, wins, losses, ties, rate, tied, *, longest=20_000):
    """One future, vote by vote, by the definition of the capital against ½ alone: Gamma functions, no approximation."""
    said = rng.choice(3, size=longest, p=[rate - tied / 2, 1 - rate - tied / 2, tied])
    w, lost = wins + np.cumsum(said == 0), losses + np.cumsum(said == 1)
    log_e = gammaln(w + 0.5) + gammaln(lost + 0.5) - gammaln(w + lost + 1) - np.log(np.pi) + (w + lost) * np.log(2)
    settled = log_e >= np.log(20)
    return int(np.argmax(settled)) + 1 if settled.any() else np.inf


@pytest.mark.parametrize("counts", [(0, 0, 0), (27, 23, 12), (60, 45, 25), (210, 180, 95)])
def test_when_the_rate_is_known_the_forecast_is_what_votes_then_take(counts):
    rng = np.random.default_rng(7)
    took = [_votes_until_settled(rng, *counts, rate=0.6, tied=0.2) for _ in range(600)]
    said = votes_needed(*counts, equivalence=0, share=0.5 / 0.8, futures=4000)
    assert said.median == pytest.approx(np.median(took), rel=0.12)
    assert said.lower == pytest.approx(np.quantile(took, 0.1), rel=0.25, abs=3)
    assert said.upper == pytest.approx(np.quantile(took, 0.9), rel=0.12)


def test_as_often_too_long_as_too_short_where_win_rates_are_as_expected():
    rng = np.random.default_rng(11)
    over, held, asked = 0, 0, 0
    while asked < 200:
        share = rng.beta(5, 5)
        rate = 0.1 + 0.8 * share
        wins, losses, ties = rng.multinomial(60, [rate - 0.1, 0.9 - rate, 0.2]).tolist()
        said = votes_needed(wins, losses, ties, equivalence=0, seed=asked)
        if said.median == 0:
            continue
        left = _votes_until_settled(rng, wins, losses, ties, rate, 0.2, longest=30_000)
        over += said.median is None or said.median > left
        held += said.lower <= left <= (said.upper or np.inf)
        asked += 1
    assert 0.42 < over / asked < 0.58
    assert 0.73 < held / asked < 0.87


def test_planned_votes_grow_as_the_difference_shrinks():
    clear, close = votes_planned(0.7), votes_planned(0.6)
    assert 30 < clear < close / 3
    assert votes_planned(0.501, equivalence=0) == 1_000_000


def test_the_forecast_is_right_within_a_factor_of_one_and_a_half_in_the_median():
    rows = {row["what"]: row for row in verdicts.forecasts(repeats=6, longest=12_000)}
    assert rows["forecast, all"]["n"] > 60
    assert verdicts.missed(list(rows.values())) == []
    assert 0.7 < rows["forecast, all"]["known_ratio"] < 1.4, (
        "who knows the win rate says neither too little nor too much"
    )
    assert rows["forecast, all"]["range_holds"] > 0.65, "the middle 80 % of the futures hold what came"
