"""The anytime test: a martingale under the claim that it tests, so that looking often does no harm."""

import numpy as np
import pytest
from scipy.special import beta

from feedbackhub.stats.anytime import anytime_test, log_capital, log_e_value


def test_no_votes_say_nothing():
    test = anytime_test(0, 0, 0)
    assert (test.e_value, test.lower, test.upper) == (1, 0, 1)


def test_e_value_by_hand():
    # ∫ q³ dBeta(½, ½) = (½·1½·2½) / (1·2·3); times 2³
    assert anytime_test(3, 0).e_value == pytest.approx(0.5 * 1.5 * 2.5 / 6 * 8)
    assert anytime_test(2, 1).e_value == pytest.approx(beta(2.5, 1.5) / beta(0.5, 0.5) * 8)


def test_capital_at_a_half_is_the_e_value_whatever_the_ties():
    for wins, losses, ties in [(0, 0, 9), (7, 2, 0), (300, 250, 100), (90_000, 91_000, 40_000)]:
        assert log_capital(0.5, wins, losses, ties) == pytest.approx(log_e_value(wins, losses), abs=1e-6)


@pytest.mark.parametrize("m", [0.2, 0.5, 0.63])
@pytest.mark.parametrize("tied", [0.0, 0.25])
def test_the_capital_is_a_martingale(m, tied):
    won = m - tied / 2
    for wins, losses, ties in [(4, 1, 0), (6, 9, 5), (50, 60, 30)]:
        after = (
            won * np.exp(log_capital(m, wins + 1, losses, ties))
            + tied * np.exp(log_capital(m, wins, losses, ties + 1))
            + (1 - won - tied) * np.exp(log_capital(m, wins, losses + 1, ties))
        )
        assert after == pytest.approx(np.exp(log_capital(m, wins, losses, ties)), rel=1e-5)


def test_looking_after_every_vote_rarely_refutes_the_truth():
    generator = np.random.default_rng(3)
    share, looks = np.array([0.45, 0.3, 0.25]), 150  # wins, ties, losses: a win rate of 0.6
    refuted_half, refuted_truth = 0, 0
    for _ in range(200):
        votes = generator.choice(3, size=looks, p=[0.35, 0.3, 0.35])
        counts = np.stack([(votes == kind).cumsum() for kind in range(3)])
        refuted_half += any(log_e_value(w, lost) >= np.log(20) for w, _, lost in counts.T)
        votes = generator.choice(3, size=looks, p=share)
        counts = np.stack([(votes == kind).cumsum() for kind in range(3)])[:, 4::10]
        refuted_truth += any(log_capital(0.6, w, lost, t) >= np.log(20) for w, t, lost in counts.T)
    assert refuted_half <= 10
    assert refuted_truth <= 10


def test_the_interval_is_exactly_what_is_not_refuted():
    grid = np.linspace(0.0013, 0.9989, 997)
    for wins, losses, ties in [(1, 0, 0), (0, 2, 1), (3, 9, 4), (0, 0, 20), (30, 12, 100), (2, 0, 400), (700, 650, 9)]:
        test = anytime_test(wins, losses, ties)
        kept = np.array([log_capital(m, wins, losses, ties) < np.log(20) for m in grid])
        assert np.array_equal(kept, (grid > test.lower) & (grid < test.upper)), (wins, losses, ties)


def test_the_interval_and_the_e_value_agree_about_a_half():
    for wins in range(50, 101, 2):
        test = anytime_test(wins, 150 - wins, 30)
        assert (test.e_value >= 20) == (not test.lower < 0.5 < test.upper)


def test_sides_mirror():
    one, other = anytime_test(40, 12, 7), anytime_test(12, 40, 7)
    assert (one.lower, one.upper) == pytest.approx((1 - other.upper, 1 - other.lower), abs=1e-7)
    assert one.e_value == pytest.approx(other.e_value)


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        anytime_test(-1, 3)
