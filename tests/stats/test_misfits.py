"""What ratings do not explain is found, and what they explain is not."""

import numpy as np
import pytest
from scipy.special import expit

from feedbackhub.stats.misfit import bursts, holm, leaning, pair_misfits
from feedbackhub.stats.style import contrast, style_counts

THETA = np.array([0.5, 0.0, -0.5])


def test_holm_corrects_as_in_his_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []


def test_a_pair_that_goes_another_way_is_named_with_who_wins_it():
    expected = expit(THETA[:, None] - THETA[None, :]) * 100
    wins = expected.copy()
    wins[2, 0], wins[0, 2] = 70, 30
    (found,) = pair_misfits(THETA, wins)
    assert (found.model, found.group, found.votes, found.won) == (2, 0, 100, 70)
    assert found.expected == pytest.approx(expected[2, 0])
    assert pair_misfits(THETA, expected) == []


def test_a_rater_who_votes_one_way_is_found_among_honest_ones():
    generator = np.random.default_rng(0)
    a = generator.integers(3, size=2000)
    b = (a + generator.integers(1, 3, size=2000)) % 3
    rater = generator.integers(-1, 20, size=2000)
    outcome = (generator.random(2000) < expit(THETA[a] - THETA[b])).astype(float)
    assert leaning(THETA, a, b, outcome, rater) == []
    outcome = np.where((rater == 7) & (a == 2), 1.0, np.where((rater == 7) & (b == 2), 0.0, outcome))
    (found,) = [one for one in leaning(THETA, a, b, outcome, rater) if one.model == 2]
    assert found.group == 7
    assert found.won == found.votes > found.expected
    assert leaning(THETA, a, b, outcome, np.full(2000, -1)) == []


def test_a_burst_is_far_above_the_usual_hour():
    generator = np.random.default_rng(0)
    hours = generator.poisson(12, 200)
    assert bursts(hours) == []
    hours[50] = 120
    assert bursts(hours) == [(50, pytest.approx(12, abs=1))]
    assert bursts([500, 3]) == []


def test_the_looks_of_an_answer_are_counted_outside_code():
    text = "# Title\n\nSome **bold** and __more__.\n\n- one\n- two\n1. three\n\n```\n# no header\n- no item\n```\n##no"
    assert style_counts(text) == (len(text), 1, 3, 2)
    assert contrast([[10, 0]], [[4, 1]]) == pytest.approx(np.array([[6 / 15, -1 / 2]]))
    with pytest.raises(ValueError, match="at least 0"):
        contrast([1], [np.nan])
