"""Stopped, killed, run twice: one writer, nothing lost, the same weights in the end."""

import json

import pytest
from training_cast import WORDS, Process, assistant, echo_rows, events, finished, preference_rows, rows_of, user

FILES = {"sft": echo_rows, "dpo": preference_rows}
# Dropout and accumulation too: their randomness and their halves must survive a stop.
SETTINGS = {"max_steps": 120, "batch_size": 2, "gradient_accumulation": 2, "lora_dropout": 0.1, "learning_rate": 0.01}


def adapter(folder) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", ["sft", "dpo"])
def test_stopped_or_killed_and_run_again_it_comes_to_the_same_weights(run_dir, start, recipe):
    files = {"train": FILES[recipe](), "validation": FILES[recipe]()[:4]}
    undisturbed = run_dir(recipe, files, SETTINGS, name="undisturbed")
    finished(undisturbed)

    disturbed = run_dir(recipe, files, {**SETTINGS, "save_every": 7}, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(10)
    assert process.terminate() == 0
    stopped = json.loads((disturbed / "result.json").read_text())
    assert stopped["status"] == "stopped"
    assert not (disturbed / "adapter").exists()
    first_events = (disturbed / "events.jsonl").read_text()

    reached = max(event["step"] for event in events(disturbed, "metric"))
    process = start(disturbed)
    process.wait_for_step(reached + 20)
    process.kill()
    assert not (disturbed / "result.json").exists()

    assert finished(disturbed)["attempt"] == 3
    assert adapter(disturbed) == adapter(undisturbed)
    assert (disturbed / "events.jsonl").read_text().startswith(first_events)
    assert {event["attempt"] for event in events(disturbed, "status")} == {1, 2, 3}
    assert "resuming after step" in (disturbed / "log.txt").read_text()
    assert not (disturbed / "checkpoints").exists()


def test_a_stop_while_loading_ends_as_stopped(run_dir, start):
    folder = run_dir("sft", {"train": echo_rows()}, SETTINGS)
    process = start(folder, cold=True)
    process.wait_for(lambda: bool(events(folder, "status")))
    assert events(folder)[-1]["phase"] == "loading"
    assert process.terminate() == 0
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    assert finished(folder)["status"] == "completed"


def test_a_stop_while_generating_keeps_what_was_written(run_dir, start):
    prompts = [{"id": n, "messages": [user(f"say {WORDS[n % 16]}")]} for n in range(400)]
    settings = {"max_new_tokens": 60, "batch_size": 4, "temperature": 1.0}
    folder = run_dir("generate", {"prompts": prompts}, settings)
    process = start(folder)
    process.wait_for(lambda: (folder / "outputs.jsonl").exists())
    assert process.terminate() == 0
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    before = (folder / "outputs.jsonl").read_text()
    assert 0 < len(before.splitlines()) < 400
    with (folder / "outputs.jsonl").open("a") as file:
        file.write('{"id": 399, "ind')  # as a power loss leaves it
    finished(folder)
    assert (folder / "outputs.jsonl").read_text().startswith(before)
    assert sorted(row["id"] for row in rows_of(folder / "outputs.jsonl")) == list(range(400))


def test_a_directory_has_one_writer(run_dir, start):
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 100_000})
    first = start(folder)
    first.wait_for_step(1)
    holder = json.loads((folder / "lock").read_text())
    assert holder["pid"] == first.process.pid
    assert holder["started"] > 0
    second = Process(folder)
    assert second.ended() == 3
    assert first.process.is_alive()
    assert first.terminate() == 0


def test_a_completed_directory_is_left_alone(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 1})
    finished(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    finished(folder)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_torn_event_is_passed_over_and_a_damaged_checkpoint_too(run_dir, start):
    folder = run_dir("sft", {"train": echo_rows()}, {**SETTINGS, "save_every": 5})
    process = start(folder)
    process.wait_for(lambda: len(list((folder / "checkpoints").glob("step-*"))) == 2)
    process.kill()
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"t": 1, "type": "met')
    last = sorted((folder / "checkpoints").glob("step-*"))[-1]
    (last / "state.safetensors").write_bytes(b"torn")
    assert finished(folder)["status"] == "completed"
    lines = (folder / "events.jsonl").read_text().splitlines()
    assert '{"t": 1, "type": "met' in lines
    assert any("cannot be read" in line for line in lines)


def test_settings_cannot_change_under_a_checkpoint(run_dir, start):
    folder = run_dir("sft", {"train": echo_rows()}, {**SETTINGS, "max_steps": 100_000})
    process = start(folder)
    process.wait_for_step(3)
    process.terminate()
    spec = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**spec, "settings": {**spec["settings"], "learning_rate": 0.5}}))
    (folder / "data" / "train.jsonl").write_text(json.dumps({"messages": [user("say a"), assistant("b")]}) + "\n")
    error = finished(folder, 1)["error"]
    assert error["kind"] == "checkpoint_mismatch"
    assert "settings.learning_rate, data.train changed since the last checkpoint" in error["message"]
