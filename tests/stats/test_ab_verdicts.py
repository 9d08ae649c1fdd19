"""A against B in one summary."""

import numpy as np
import pytest

from feedbackhub.stats.anytime import log_e_value
from feedbackhub.stats.compare import compare, design_effect, minimum_detectable


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


def test_the_verdict_is_the_one_that_holds_however_often_one_looks():
    summary = compare(120, 80)  # one look would say better: the interval lies above a half, p is 0.006
    assert summary.lower > 0.5
    assert summary.p_value < 0.05
    assert summary.anytime.e_value < 20
    assert summary.verdict == "not_enough"
    assert summary.votes_needed > 0
    assert summary.votes_needed_lower <= summary.votes_needed <= summary.votes_needed_upper


def test_the_verdict_and_the_e_value_agree():
    for wins in range(100, 160):
        summary = compare(wins, 200 - wins, 20, smallest_difference=0)
        assert (summary.verdict == "better") == (summary.anytime.e_value >= 20)


def test_few_votes_are_not_enough():
    assert compare(3, 2).verdict == "not_enough"
    assert compare(0, 0, 3).verdict == "not_enough"


def test_many_even_votes_are_no_difference():
    summary = compare(1000, 990, 300)
    assert summary.verdict == "no_difference"
    assert summary.votes_needed == 0
    assert compare(1000, 990, 300, smallest_difference=0.02).verdict == "not_enough"


def test_a_difference_that_is_sure_and_too_small_is_not_worth_having():
    summary = compare(60_800, 59_200)
    assert summary.anytime.e_value > 20
    assert summary.verdict == "no_difference"
    assert compare(60_800, 59_200, smallest_difference=0.001).verdict == "better"


def test_what_as_many_votes_can_find():
    found = minimum_detectable(60, 40)
    least = next(k for k in range(50, 101) if log_e_value(k, 100 - k) >= np.log(20))
    generator = np.random.default_rng(0)
    share = (generator.binomial(100, 0.5 + found, 20_000) >= least).mean()
    assert share == pytest.approx(0.8, abs=0.03)
    assert minimum_detectable(600, 400) < found / 2.5
    assert minimum_detectable(50, 50, 100) == pytest.approx(minimum_detectable(50, 50) / 2)
    assert minimum_detectable(2, 1) is None, "three votes settle nothing whatever they say"


def test_votes_that_only_repeat_each_other_count_once():
    votes = [(prompt, float(prompt % 3 > 0)) for prompt in range(60) for _ in range(5)]
    effect = design_effect(votes)
    assert effect == pytest.approx(5 * 60 / 59)
    once, repeated = compare(40, 20), compare(200, 100, design_effect=effect)
    assert repeated.anytime.e_value == pytest.approx(once.anytime.e_value, rel=0.1)
    assert repeated.lower == pytest.approx(once.lower, abs=0.01)
    assert compare(200, 100).verdict == "better"
    assert repeated.verdict == "not_enough"
    assert repeated.votes_needed == pytest.approx(5 * once.votes_needed, rel=0.25)


def test_one_vote_a_prompt_has_no_design_effect():
    generator = np.random.default_rng(1)
    assert design_effect(enumerate(generator.integers(0, 2, 50))) == 1
    assert design_effect([]) == 1
    assert design_effect([("one prompt", 1.0), ("one prompt", 0.0)]) == 1
    assert design_effect((prompt, 1.0) for prompt in (1, 1, 2, 2)) == 1
    apart = design_effect(zip(generator.integers(0, 400, 1200).tolist(), generator.integers(0, 2, 1200).tolist()))
    assert apart < 1.2


def test_both_bad_enters_no_number():
    plain, with_bad = compare(12, 9, 4).as_dict(), compare(12, 9, 4, both_bad=50).as_dict()
    assert plain | {"both_bad": 50} == with_bad
    assert set(plain["anytime"]) == {"e_value", "lower", "upper"}


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        compare(1, -1)
    with pytest.raises(ValueError, match="both_bad"):
        compare(1, 1, both_bad=-1)
    with pytest.raises(ValueError, match="out of range"):
        compare(1, 1, design_effect=0.5)
