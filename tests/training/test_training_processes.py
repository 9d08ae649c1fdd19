"""Two processes are one with the doubled batch: the same curve, the same weights, one writer, one end."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from online_cast import LEARN, prompt_rows
from processes_cast import Launched
from safetensors.torch import load_file
from training_cast import ROOT, events, failure, finished, preference_rows

from training.processes import threads_give_way

# Fifteen rows in batches of four, two a step: a micro-batch of one row leaves the second process with none.
STEPS = {"batch_size": 2, "gradient_accumulation": 2, "epochs": 2, "learning_rate": 0.01, "precision": "fp32"}
PAIRS = preference_rows()[:15]
SAID = [{"messages": [*row["prompt"], *row["chosen"]]} for row in PAIRS]
THUMBS = [
    {"prompt": row["prompt"], "completion": row["chosen" if number % 2 else "rejected"], "label": bool(number % 2)}
    for number, row in enumerate(PAIRS)
]
ROWS = {"sft": SAID, "dpo": PAIRS, "reward": PAIRS, "orpo": PAIRS, "simpo": PAIRS, "kto": THUMBS}
ONLINE = {
    **LEARN,
    "learning_rate": 5e-4,
    "beta": 0.05,
    "batch_size": 4,
    "rollout_prompts": 2,
    "num_generations": 4,
    "max_steps": 4,
}


def doubled(settings: dict) -> dict:
    return {**settings, **{name: 2 * settings[name] for name in ("batch_size", "rollout_prompts") if name in settings}}


def curve(folder) -> list[tuple]:
    """(split, step, loss, accuracy or reward, gradient's norm) of each metric."""
    shown = [(event["split"], event["step"], event["values"]) for event in events(folder, "metric")]
    return [
        (split, step, *(values.get(name, 0.0) for name in ("loss", "accuracy", "reward", "grad_norm")))
        for split, step, values in shown
    ]


def same(one, two) -> None:
    """The same curve and the same weights, to rounding."""
    ours, theirs = curve(one), curve(two)
    assert len(ours) == len(theirs) > 3
    for here, there in zip(ours, theirs):
        assert here[:2] == there[:2]
        assert here[2:] == pytest.approx(there[2:], rel=1e-4, abs=1e-5)
    files = sorted(path.name for path in (one / "adapter").glob("*.safetensors"))
    for name in files:
        ours, theirs = load_file(one / "adapter" / name), load_file(two / "adapter" / name)
        for weight, tensor in ours.items():
            # AdamW's first steps go by a gradient's sign, which rounding decides where there is next to none.
            assert (tensor - theirs[weight]).norm() < 1e-2 * tensor.norm() + 1e-5, weight
    assert files


@pytest.mark.parametrize("recipe", [*ROWS, "grpo", "rloo", "ppo"])
def test_two_processes_learn_what_one_does_with_the_doubled_batch(run_dir, recipe):
    rows = ROWS.get(recipe) or prompt_rows(7)
    settings = STEPS if recipe in ROWS else ONLINE
    files = {"train": rows, "validation": rows[:5]}
    alone = run_dir(recipe, files, doubled(settings), name="alone")
    finished(alone)
    together = run_dir(recipe, files, settings, name="together")
    with Launched(together) as launched:
        assert launched.ended() == [0, 0]
    same(alone, together)
    result = json.loads((together / "result.json").read_text())
    assert result["status"] == "completed"
    assert result["processes"] == 2


def test_accelerate_launches_them(run_dir):
    alone = run_dir("dpo", {"train": PAIRS}, doubled(STEPS), name="alone")
    finished(alone)
    together = run_dir("dpo", {"train": PAIRS}, STEPS, name="together")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    subprocess.run([*command, "-m", "training", "run", str(together)], cwd=ROOT, check=True)
    same(alone, together)
    assert json.loads((together / "result.json").read_text())["processes"] == 2


def test_stopped_together_and_run_again_they_come_to_the_same_weights(run_dir):
    settings = {**STEPS, "max_steps": 20, "lora_dropout": 0.1, "gradient_accumulation": 1}
    files = {"train": PAIRS, "samples": [{"id": 1, "messages": PAIRS[0]["prompt"]}]}
    undisturbed, disturbed = (run_dir("dpo", files, settings, name=name) for name in ("undisturbed", "disturbed"))
    with Launched(undisturbed) as launched:
        assert launched.ended() == [0, 0]
    with Launched(disturbed) as launched:
        launched.wait_for_step(5)
        launched.processes[1].terminate()  # one is told, all stop
        assert launched.ended() == [0, 0]
    assert json.loads((disturbed / "result.json").read_text())["status"] == "stopped"
    assert not (disturbed / "adapter").exists()
    kind, message = failure(disturbed)  # one process would take other steps
    assert kind == "checkpoint_mismatch"
    assert message.startswith("processes changed since the last checkpoint")

    with Launched(disturbed) as launched:
        assert launched.ended() == [0, 0]
    assert "resuming after step" in (disturbed / "log.txt").read_text()
    ours, theirs = ((folder / "adapter" / "adapter_model.safetensors") for folder in (undisturbed, disturbed))
    assert ours.read_bytes() == theirs.read_bytes()
    # Only one of them wrote.
    for folder in (undisturbed, disturbed):
        steps = [event["step"] for event in events(folder, "metric")]
        assert sorted(set(steps)) == steps == list(range(1, 21))
        assert [event["stage"] for event in events(folder, "sample")] == ["before", "during", "after"]


def test_what_ends_one_ends_all_with_words(run_dir, tiny, monkeypatch):
    endless = {**STEPS, "max_steps": 100_000, "save_every": 3}
    killed = run_dir("kto", {"train": THUMBS}, endless, name="killed")
    with Launched(killed) as launched:
        launched.wait_for_step(5)
        launched.processes[1].kill()
        assert launched.ended()[0] == 1
    error = json.loads((killed / "result.json").read_text())["error"]
    assert error["kind"] == "process_lost"
    assert "Run it again: it goes on from the last checkpoint." in error["message"]
    assert (killed / "checkpoints" / "step-0000003").is_dir()

    # The second process cannot read what the first can.
    blind = run_dir("sft", {"train": SAID}, endless, base={"path": tiny.name}, name="blind")
    monkeypatch.chdir(tiny.parent)
    with Launched(blind, last=partial(os.chdir, "/")) as launched:
        assert launched.ended() == [1, 1]
    error = json.loads((blind / "result.json").read_text())["error"]
    assert error["kind"] == "base_missing"
    assert error["message"].startswith("Process 2 of 2: ")

    generate = run_dir("generate", {"prompts": [{"id": 1, "messages": PAIRS[0]["prompt"]}]}, {}, name="generate")
    with Launched(generate) as launched:
        assert launched.ended() == [1, 1]
    error = json.loads((generate / "result.json").read_text())["error"]
    assert error["message"] == "generate runs in one process; 2 were launched. Run it without a launcher."


def test_a_directory_that_is_held_is_left_alone_by_all_of_them(run_dir):
    folder = run_dir("sft", {"train": SAID}, {**STEPS, "max_steps": 100_000})
    with Launched(folder) as first:
        first.wait_for_step(1)
        with Launched(folder) as second:
            assert second.ended() == [3, 3]
        first.processes[0].terminate()
        assert first.ended() == [0, 0]


def scarce(rows: int) -> None:
    """From here on the machine has no memory for the losses of more rows at once."""
    free = torch.sigmoid

    def sigmoid(tensor):
        if tensor.numel() > rows:
            raise MemoryError
        return free(tensor)

    torch.sigmoid = sigmoid


def test_a_step_that_does_not_fit_one_memory_is_halved_in_all(run_dir, monkeypatch):
    settings = {**STEPS, "gradient_accumulation": 1, "batch_size": 4}
    alone = run_dir("kto", {"train": THUMBS}, doubled(settings), name="alone")
    together = run_dir("kto", {"train": THUMBS}, settings, name="together")
    with Launched(together, last=partial(scarce, rows=2)) as launched:
        assert launched.ended() == [0, 0]
    monkeypatch.setattr(torch, "sigmoid", torch.sigmoid)  # put back afterwards
    scarce(rows=4)
    finished(alone)
    same(alone, together)
    for folder in (alone, together):
        (told,) = (event["message"] for event in events(folder, "warning") if "memory" in event["message"])
        assert told.startswith("Step 1 ran out of memory. From here on")


def test_threads_that_wait_give_way_unless_told_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "to be undone")
        monkeypatch.delenv(name)
    threads_give_way()
    assert (os.environ["OMP_WAIT_POLICY"], int(os.environ["GOMP_SPINCOUNT"])) == ("PASSIVE", 2000)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    threads_give_way()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in os.environ
