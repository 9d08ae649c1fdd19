"""Newton's method where plain Newton would fail."""

import numpy as np
import pytest
from scipy.special import expit

from feedbackhub.stats.newton import NoMaximumError, maximise


def one_logit(wins, losses):
    def evaluate(x):
        p = expit(x[0])
        value = -(wins * np.logaddexp(0, -x[0]) + losses * np.logaddexp(0, x[0]))
        return value, np.array([wins - (wins + losses) * p]), np.array([[(wins + losses) * p * (1 - p)]])

    return evaluate


def test_a_step_that_overshoots_is_halved():
    # from 5 the full step is −147, where the likelihood is flat and the next step would leave for good
    estimate, steps = maximise(one_logit(1, 1), np.array([5.0]))
    assert estimate == pytest.approx([0], abs=1e-9)
    assert steps < 20


def test_an_estimate_that_runs_away_is_refused():
    with pytest.raises(NoMaximumError):
        maximise(one_logit(3, 0), np.array([0.0]))
