"""What a training would take: rehearsed on its own rows, told in words, held to a real run; nothing is left behind."""

import json
import math

import pytest
from training_cast import echo_rows, finished, preference_rows

from training.command import main
from training.directory import RunDirectory
from training.errors import TrainingError
from training.estimate import estimate_of
from training.estimates import measuring as module
from training.estimates.measuring import interpolated

SAMPLES = [{"id": 1, "messages": [{"role": "user", "content": "say a"}]}]


def estimated(folder, **changes) -> dict:
    return estimate_of(folder, {**RunDirectory(folder).spec(), **changes}, seconds=1)


@pytest.mark.parametrize(
    ("recipe", "rows"), [("sft", echo_rows()), ("dpo", preference_rows()), ("reward", preference_rows())]
)
def test_steps_tokens_and_rows_are_those_of_the_real_run(run_dir, recipe, rows):
    settings = {"epochs": 2, "batch_size": 2, "max_length": 64, "precision": "fp32"}
    folder = run_dir(recipe, {"train": rows[:11], "validation": rows[11:], "samples": SAMPLES}, settings)
    found = estimated(folder)
    assert not (folder / "events.jsonl").exists()
    result = finished(folder)
    assert found["steps"] == result["steps"]
    assert found["tokens"] == pytest.approx(result["tokens"], rel=0.02)
    assert found["rows"]["given"] == found["rows"]["used"] == result["rows"]
    assert found["rows"]["validation"] == len(rows[11:])
    assert found["seconds"] == pytest.approx(sum(found["parts"].values()))
    assert all(seconds > 0 for name, seconds in found["parts"].items() if name != "samples" or recipe != "reward")
    # A tiny model's memory is the libraries', and what they are.
    assert 0.5 < found["memory"]["peak_bytes"] / result["peak_memory_bytes"] < 2
    assert sum(found["memory"]["parts"].values()) == pytest.approx(found["memory"]["peak_bytes"], rel=0.01)
    assert found["memory"]["fits"]


@pytest.mark.parametrize("recipe", ["rloo", "ppo"])
def test_a_recipe_that_answers_for_itself_is_rehearsed_with_a_rollout(run_dir, recipe):
    prompts = [{"prompt": row["prompt"]} for row in preference_rows()]
    settings = {"max_steps": 4, "rollout_prompts": 2, "num_generations": 2, "batch_size": 2, "max_new_tokens": 6}
    settings |= {"gradient_accumulation": 1, "rule_contains": "good", "precision": "fp32"}
    folder = run_dir(recipe, {"train": prompts[:12], "validation": prompts[12:], "samples": SAMPLES}, settings)
    found = estimated(folder)
    result = finished(folder)
    assert found["steps"] == result["steps"] == 4
    assert found["rows"]["used"] == result["rows"]
    assert found["rows"]["validation"] == 4
    assert found["tokens"] == pytest.approx(result["tokens"], rel=0.5)  # how long answers are is chance
    assert all(seconds > 0 for seconds in found["parts"].values())


def test_rows_that_do_not_fit_are_counted(run_dir):
    rows = preference_rows()
    rows[0]["prompt"] = [{"role": "user", "content": "what " * 60}]
    rows[1]["chosen"] = [{"role": "assistant", "content": "good " * 60}]
    found = estimated(run_dir("dpo", {"train": rows}, {"max_length": 40}))
    assert (found["rows"]["cut"], found["rows"]["dropped"], found["rows"]["used"]) == (1, 1, 15)
    assert any("max_length is 40" in warning for warning in found["warnings"])


def test_what_would_fail_the_run_fails_the_estimate_with_the_same_words(run_dir):
    folder = run_dir("sft", {"train": [{"messages": "nothing"}]})
    with pytest.raises(TrainingError, match="line 1"):
        estimated(folder)
    with pytest.raises(TrainingError, match="tunes nothing"):
        estimated(folder, recipe="generate", settings={})


def test_it_is_a_recipe_for_the_site_and_a_command_for_people(run_dir, capsys):
    rows = preference_rows()
    folder = run_dir("estimate", {"train": rows}, {"seconds": 0}, of={"recipe": "dpo", "settings": {"max_steps": 3}})
    found = finished(folder)["estimate"]
    assert (found["recipe"], found["steps"]) == ("dpo", 3)
    assert found["measured"]["micro_batches"] >= 1
    other = run_dir("dpo", {"train": rows}, {"max_steps": 3}, name="other")
    assert main(["estimate", str(other), "--seconds", "0"]) == 0
    said = capsys.readouterr().out
    assert "3 steps" in said
    assert "fits" in said
    assert sorted(path.name for path in other.iterdir()) == ["data", "run.json"]
    assert main(["estimate", str(other), "--seconds", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3


def test_too_large_a_micro_batch_is_not_tried_but_reckoned(run_dir, monkeypatch):
    """A device with next to nothing left: the longest rows are extrapolated from those in the middle."""
    monkeypatch.setattr(module, "memory_free", lambda: -1)
    found = estimated(run_dir("dpo", {"train": preference_rows()}, {"max_steps": 3}))
    assert found["memory"]["extrapolated"]
    assert found["parts"]["training"] > 0


def test_time_is_read_off_the_line_between_what_was_measured():
    points = {100: 1.0, 300: 5.0}
    assert [interpolated(points, x) for x in (50, 100, 200, 300, 600)] == [0.5, 1.0, 3.0, 5.0, 10.0]
    assert math.isclose(interpolated({10: 2.0}, 5), 1.0)
