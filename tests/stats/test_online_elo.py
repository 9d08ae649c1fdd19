"""Online Elo by hand."""

import numpy as np
import pytest

from feedbackhub.stats.elo import online_elo


def test_two_votes_by_hand():
    ratings = online_elo(3, [0, 1], [1, 0], [1, 1])
    # 1000 : 1000 → ±2; then model 1 at 998 beats model 0 at 1002: expected 1 / (1 + 10^(4/400))
    gain = 4 * (1 - 1 / (1 + 10 ** (4 / 400)))
    assert ratings == pytest.approx([1002 - gain, 998 + gain, 1000])


def test_a_tie_moves_the_stronger_one_down():
    ratings = online_elo(2, [0, 0], [1, 1], [1, 0.5], k=32)
    expected = 1 / (1 + 10 ** (-32 / 400))
    assert ratings == pytest.approx([1016 - 32 * (expected - 0.5), 984 + 32 * (expected - 0.5)])


def test_the_order_of_votes_matters_and_the_sum_does_not_change():
    forth = online_elo(2, [0] * 4, [1] * 4, [1, 1, 0, 0])
    back = online_elo(2, [0] * 4, [1] * 4, [0, 0, 1, 1])
    assert forth[0] < 1000 < back[0]
    assert forth.sum() == pytest.approx(2000)


def test_no_votes():
    assert np.array_equal(online_elo(2, [], [], [], start=1500), [1500, 1500])


def test_a_model_against_itself_is_named():
    with pytest.raises(ValueError, match="row 1 sets model 1 against itself"):
        online_elo(2, [0, 1], [1, 1], [1, 1])
