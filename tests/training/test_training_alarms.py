"""A training that gets nowhere ends by itself: early stopping with the best weights, an alarm that acts."""

import json

import pytest
from safetensors.torch import load_file
from training_cast import WORDS, assistant, events, failure, finished, user

# Answers that fit no pattern, and others to the same kind of prompt to validate on: it can only be learnt by heart.
LEARN = {"learning_rate": 0.02, "precision": "fp32", "batch_size": 4, "gradient_accumulation": 1, "sample_count": 0}
STOP = {**LEARN, "max_steps": 60, "eval_every": 5, "early_stopping_patience": 2}


def noise_rows(shift: int) -> list[dict]:
    return [
        {"messages": [user(f"what is {word} ?"), assistant(WORDS[(7 * number + shift) % 16])]}
        for number, word in enumerate(WORDS[:16])
    ]


def files() -> dict:
    return {"train": noise_rows(0), "validation": noise_rows(5)[:8]}


def validation_losses(folder) -> dict[int, float]:
    shown = [event for event in events(folder, "metric") if event["split"] == "validation"]
    return {event["step"]: event["values"]["loss"] for event in shown}


def test_it_stops_once_validation_no_longer_falls_and_goes_back_to_the_best(run_dir):
    folder = run_dir("sft", files(), STOP)
    result = finished(folder)
    losses = validation_losses(folder)
    best = min(losses, key=losses.get)
    assert (result["best_step"], result["stopped_early"]) == (best, True)
    assert result["steps"] == best + 2 * 5 < 60, "two evaluations without a lower loss, then the end"
    assert result["metrics"]["validation_loss"] == pytest.approx(losses[best])
    # The saved weights are those of that step: the same training cut there.
    short = run_dir("sft", files(), {**STOP, "early_stopping_patience": 1000, "eval_every": 5}, name="long")
    assert finished(short)["best_step"] == best
    kept, same = (load_file(each / "adapter" / "adapter_model.safetensors") for each in (folder, short))
    assert all(weight.equal(same[name]) for name, weight in kept.items())


def test_a_least_gain_can_be_asked_for(run_dir):
    result = finished(run_dir("sft", files(), {**STOP, "early_stopping_min_delta": 100}))
    assert (result["best_step"], result["steps"]) == (0, 10)


def test_stopped_in_between_and_resumed_it_stops_at_the_same_step_with_the_same_weights(run_dir, start):
    whole = run_dir("sft", files(), {**STOP, "save_every": 1}, name="whole")
    expected = finished(whole)
    cut = run_dir("sft", files(), {**STOP, "save_every": 1}, name="cut")
    process = start(cut)
    process.wait_for_step(1)
    process.terminate()
    result = finished(cut)
    assert (result["steps"], result["best_step"]) == (expected["steps"], expected["best_step"])
    adapters = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (whole, cut)]
    assert adapters[0] == adapters[1]


def test_a_loss_that_goes_up_and_stays_up_ends_the_run(run_dir):
    """A learning rate a hundred times too high: no NaN, and still no use."""
    asked = {**LEARN, "method": "full", "learning_rate": 1.0, "max_steps": 200, "max_grad_norm": 0, "warmup_ratio": 0.3}
    folder = run_dir("sft", files(), asked)
    kind, message = failure(folder)
    assert kind == "diverged"
    assert "The loss has risen from" in message
    assert "Lower learning_rate (it is 1)" in message
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"
    assert max(event["step"] for event in events(folder, "metric")) < 150
