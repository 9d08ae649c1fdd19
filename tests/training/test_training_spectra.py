"""Power laws of weight spectra: held to WeightWatcher's figures, and what a tuning did to a model's matrices."""

import numpy as np
import pytest
import torch
from training_cast import echo_rows, finished, tiny_model

from training.suites.spectra import eigenvalues, exponent


@pytest.mark.parametrize(
    ("degrees", "shape", "alpha"),
    # α of weightwatcher 0.7.7's WWFit on the eigenvalues of np.random.default_rng(0).standard_t(degrees, shape)
    [(3, (60, 80), 4.013155879100987), (2, (80, 60), 2.130521210443095), (30, (64, 64), 5.772417119423013)],
)
def test_the_exponent_is_weightwatchers(degrees, shape, alpha):
    weight = torch.tensor(np.random.default_rng(0).standard_t(degrees, shape))
    assert exponent(eigenvalues(weight)) == pytest.approx(alpha, rel=1e-6)


def test_a_power_law_is_recovered_and_its_scale_is_nothing():
    values = np.sort((1 - np.random.default_rng(1).random(4000)) ** (-1 / 1.5))  # density x^−2.5
    assert exponent(values) == pytest.approx(2.5, abs=0.1)
    assert exponent(7 * values) == pytest.approx(exponent(values), rel=1e-9)


def test_a_tuned_model_is_compared_with_itself_before(run_dir, tmp_path):
    base = {"path": str(tiny_model(tmp_path / "wide", width=64))}
    tuned = run_dir("sft", {"train": echo_rows()}, {"max_steps": 8, "learning_rate": 0.05}, base=base, name="tuned")
    finished(tuned)
    looked = run_dir("weights", {}, base={**base, "adapter": str(tuned / "adapter")}, name="looked")
    found = finished(looked)["spectra"]
    assert found["matrices"] == 10  # q, o, gate, up, down of two layers; k and v are narrower than 50
    assert found["after"]["alpha"] != found["before"]["alpha"]
    assert found["changed"][0]["before"] != found["changed"][0]["after"]
    half = run_dir("weights", {}, {"matrices": 4}, base=base, name="half")
    result = finished(half)["spectra"]
    assert (result["matrices"], result["left_out"]) == (4, 6)
    assert "before" not in result


def test_matrices_too_small_for_a_fit_are_said_to_be(run_dir):
    assert finished(run_dir("weights", {}))["spectra"] is None
