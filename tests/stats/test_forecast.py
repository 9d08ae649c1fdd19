"""When the work will be done."""

import numpy as np
import pytest

from feedbackhub.stats.forecast import hours_left


def test_a_steady_pace_is_carried_on():
    found = hours_left([60] * 100, 600)
    assert found.hours == pytest.approx(10)
    assert (found.lower, found.upper) == (pytest.approx(10), pytest.approx(10))


def test_nights_are_reckoned_with():
    week = ([0] * 12 + [10] * 12) * 7
    found = hours_left(week, 240)
    assert 36 <= found.hours <= 60, "two days of work, nights between"


def test_the_interval_covers_what_comes():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(100):
        found = hours_left(rng.poisson(30, size=10), 300, rng=rng)
        came = np.searchsorted(np.cumsum(rng.poisson(30, size=100)), 300)
        covered += found.lower - 1 <= came <= found.upper
    assert covered >= 85, "95 of 100 expected; fewer than 85 once in ten thousand"


@pytest.mark.parametrize(("counts", "why"), [([50, 50], "less than 3 hours"), ([0] * 50 + [3], "fewer than 20")])
def test_too_little_to_tell(counts, why):
    found = hours_left(counts, 100)
    assert found.hours is None
    assert why in found.undefined_because


def test_nothing_left_takes_no_time():
    assert hours_left([], 0).hours == 0


def test_nonsense_is_refused():
    with pytest.raises(ValueError):
        hours_left([1, -1, 3], 5)
