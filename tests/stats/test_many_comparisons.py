"""Many comparisons looked at together: e-BH and Holm against values by hand and their promise by simulation."""

import numpy as np
import pytest

from feedbackhub.stats.multiple import e_benjamini_hochberg, holm


def test_e_bh_by_hand():
    # of four: 80 alone reaches 4 / 0.05; 40 twice reaches 4 / (2 · 0.05)
    assert e_benjamini_hochberg([1, 79, 3, 2]).tolist() == [False] * 4
    assert e_benjamini_hochberg([1, 80, 3, 2]).tolist() == [False, True, False, False]
    assert e_benjamini_hochberg([41, 1, 40, 0]).tolist() == [True, False, True, False]
    assert e_benjamini_hochberg([20]).tolist() == [True]
    assert e_benjamini_hochberg([]).tolist() == []
    with pytest.raises(ValueError, match="at least 0"):
        e_benjamini_hochberg([1, np.nan])


def test_of_those_that_hold_few_are_false():
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        means = np.r_[np.zeros(20), np.full(5, 4.0)]
        x = generator.standard_normal(25) + means
        holds = e_benjamini_hochberg(np.exp(3 * x - 4.5))  # an e-value under N(0, 1)
        shares.append(holds[:20].sum() / max(1, holds.sum()))
    assert np.mean(shares) <= 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])
