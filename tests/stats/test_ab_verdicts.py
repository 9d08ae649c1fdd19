"""A against B in one summary."""

import pytest

from feedbackhub.stats.compare import compare


def test_no_votes():
    summary = compare(0, 0, 0, both_bad=4)
    assert (summary.win_rate, summary.p_value, summary.votes_needed) == (None, None, None)
    assert summary.verdict == "not_enough"
    assert summary.both_bad == 4


def test_a_clear_winner_from_both_sides():
    summary, mirrored = compare(70, 30, 10), compare(30, 70, 10)
    assert (summary.verdict, mirrored.verdict) == ("better", "worse")
    assert summary.win_rate == pytest.approx(75 / 110)
    assert summary.lower > 0.5
    assert summary.p_value == pytest.approx(7.85e-5, rel=1e-3)
    assert summary.anytime.e_value > 20
    assert summary.votes_needed == 0
    assert mirrored.upper == pytest.approx(1 - summary.lower)


def test_a_verdict_that_is_in_needs_no_more_votes():
    summary = compare(120, 80)
    assert summary.verdict == "better"
    assert summary.anytime.e_value < 20  # the anytime test alone would go on
    assert summary.votes_needed == 0


def test_interval_and_sign_test_must_agree_on_a_winner():
    summary = compare(60, 40)  # the interval is just above a half, p is 0.057
    assert summary.lower > 0.5
    assert summary.p_value > 0.05
    assert summary.verdict == "not_enough"
    assert summary.votes_needed > 0


def test_few_votes_are_not_enough():
    assert compare(3, 2).verdict == "not_enough"
    assert compare(0, 0, 3).verdict == "not_enough"


def test_many_even_votes_are_no_difference():
    summary = compare(1000, 990, 300)
    assert summary.verdict == "no_difference"
    assert summary.votes_needed == 0


def test_both_bad_enters_no_number():
    plain, with_bad = compare(12, 9, 4).as_dict(), compare(12, 9, 4, both_bad=50).as_dict()
    assert plain | {"both_bad": 50} == with_bad
    assert set(plain["anytime"]) == {"e_value", "lower", "upper"}


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        compare(1, -1)
    with pytest.raises(ValueError, match="both_bad"):
        compare(1, 1, both_bad=-1)
