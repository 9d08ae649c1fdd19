"""Whatever a person or a machine does wrong ends as failed, saying what, where and what to do."""

import errno
import json
import re

import pytest
from training_cast import assistant, echo_rows, events, failure, finished, preference_rows, tiny_model, user

from training.config import RECIPES
from training.run import explained, run

SHORT = {"max_steps": 2}


def rewritten(folder, **changes):
    spec = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**spec, **changes}))
    return folder


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bata": 1}, '"bata" is no setting of sft; these are: method, max_steps'),
        ({"learning_rate": "fast"}, "learning_rate must be a number; it is 'fast'"),
        ({"learning_rate": 0}, "learning_rate must be at least"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"epochs": float("nan")}, "epochs must be a number"),
        ({"lora_r": None}, "lora_r must have a value"),
        ({"method": "magic"}, "method must be one of lora, qlora, full, frozen"),
        ({"beta": 0.1}, '"beta" is no setting of sft'),
        ([], "settings must be an object"),
    ],
)
def test_a_bad_setting_is_named(run_dir, settings, said):
    folder = run_dir("sft", {"train": echo_rows()})
    kind, message = failure(rewritten(folder, settings=settings))
    assert kind == "bad_setting"
    assert said in message


def test_all_bad_settings_are_named_at_once(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, {"colour": 1, "epochs": -1})
    _, message = failure(folder)
    assert '"colour"' in message
    assert "epochs must be at least" in message


def test_an_unknown_recipe_is_named(run_dir):
    kind, message = failure(run_dir("tune", {"train": []}))
    assert kind == "unknown_recipe"
    assert message == f'run.json: recipe "tune" is not available; these are: {", ".join(RECIPES)}.'


def test_a_missing_or_broken_run_file_is_told(tmp_path, capsys):
    kind, message = failure(tmp_path)
    assert (kind, "has no run.json" in message) == ("bad_run", True)
    (tmp_path / "run.json").write_text("{")
    assert "is not JSON" in failure(tmp_path)[1]
    (tmp_path / "run.json").write_text("[]")
    assert "must hold one JSON object" in failure(tmp_path)[1]
    assert run(tmp_path / "absent") == 1
    assert "is no directory" in capsys.readouterr().err


def test_a_missing_base_is_told(run_dir, tmp_path):
    rows = {"train": echo_rows()}
    nowhere = str(tmp_path / "nowhere")
    kind, message = failure(run_dir("sft", rows, SHORT, base={"path": nowhere}, name="a"))
    assert kind == "base_missing"
    assert f"The base {nowhere} is no folder on this machine and no hub id" in message
    (tmp_path / "empty").mkdir()
    _, message = failure(run_dir("sft", rows, SHORT, base={"path": str(tmp_path / "empty")}, name="b"))
    assert "has no config.json" in message
    (tmp_path / "empty" / "config.json").write_text("{}")
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"pickle")
    _, message = failure(run_dir("sft", rows, SHORT, base={"path": str(tmp_path / "empty")}, name="c"))
    assert "holds no .safetensors file" in message
    assert "base must be an object" in failure(run_dir("sft", rows, SHORT, base={}, name="d"))[1]
    quantised = {"path": nowhere, "quantisation": "nf2"}
    assert (
        'base.quantisation "nf2" is none of nf4, int8'
        in failure(run_dir("sft", rows, SHORT, base=quantised, name="e"))[1]
    )


@pytest.fixture
def adapter(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, SHORT, name="adapter-run")
    finished(folder)
    return folder / "adapter"


def test_an_adapter_for_another_base_is_refused(run_dir, tmp_path, adapter):
    """Other shapes, other weights of the same shape, no adapter at all: each in its own words."""
    wide = tiny_model(tmp_path / "wide", width=48)
    files = {"train": preference_rows()}
    kind, message = failure(run_dir("dpo", files, SHORT, base={"path": str(wide), "adapter": str(adapter)}, name="a"))
    assert kind == "adapter_mismatch"
    assert "was made for another base" in message
    assert re.search(r"it changes model\.layers\.0\.\S+ of \d+×\d+, and \S+wide has (48|96|24)×", message)
    twin = tiny_model(tmp_path / "twin", seed=5)
    kind, message = failure(run_dir("dpo", files, SHORT, base={"path": str(twin), "adapter": str(adapter)}, name="b"))
    assert kind == "adapter_mismatch"
    assert "other weights of the same shape" in message
    kind, message = failure(run_dir("dpo", files, SHORT, base={"path": str(twin), "adapter": str(wide)}, name="c"))
    assert kind == "adapter_missing"
    assert "has no adapter_config.json" in message


def test_a_copied_base_still_fits_its_adapter(run_dir, tmp_path, tiny, adapter):
    import shutil

    moved = shutil.copytree(tiny, tmp_path / "moved")
    base = {"path": str(moved), "adapter": str(adapter)}
    finished(run_dir("dpo", {"train": preference_rows()}, SHORT, base=base, name="child"))


@pytest.mark.parametrize(
    ("recipe", "row", "said"),
    [
        ("sft", {"messages": [user("say a")]}, "must end with an answer of the assistant"),
        ("sft", {"messages": "say a"}, "must end with an answer of the assistant"),
        ("sft", {"messages": [{"role": "user"}]}, "must have a role and a content"),
        ("sft", {"text": "a"}, '"messages" must be a list of messages'),
        ("sft", {"messages": [user("say a"), assistant(" ")]}, "the answer is empty"),
        ("sft", [1], "a row must be a JSON object"),
        ("dpo", {"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same text"),
        ("dpo", {"prompt": "a", "chosen": "b"}, '"rejected" must be a list of messages'),
        ("dpo", {"prompt": "a", "chosen": [user("b")], "rejected": "c"}, "must be one message of the assistant"),
        (
            "dpo",
            {"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "b", "rejected": "c"},
            "a part of type 'image' cannot be used",
        ),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(run_dir, recipe, row, said):
    good = {"sft": echo_rows, "dpo": preference_rows}[recipe]()
    kind, message = failure(run_dir(recipe, {"train": [*good[:2], row]}, SHORT))
    assert kind == "bad_data"
    assert message.startswith("data/train.jsonl line 3: ")
    assert said in message


def test_no_rows_no_file_no_name(run_dir):
    assert failure(run_dir("sft", {"train": []}, name="a"))[0] == "empty_data"
    kind, message = failure(rewritten(run_dir("sft", {}, name="b"), data={"train": "data/gone.jsonl"}))
    assert (kind, "gone.jsonl cannot be read: No such file" in message) == ("bad_data", True)
    kind, message = failure(run_dir("sft", {}, name="c"))
    assert (kind, "data.train must name a file" in message) == ("bad_run", True)
    assert "data must be an object" in failure(rewritten(run_dir("sft", {}, name="d"), data="train.jsonl"))[1]
    broken = run_dir("sft", {"train": echo_rows()}, name="e")
    (broken / "data" / "train.jsonl").write_text('{"messages": ')
    assert "line 1: this is not JSON" in failure(broken)[1]


def test_a_base_without_a_chat_template_is_told(run_dir, tmp_path):
    plain = tiny_model(tmp_path / "plain", template=None)
    kind, message = failure(run_dir("sft", {"train": echo_rows()}, SHORT, base={"path": str(plain)}))
    assert kind == "no_chat_template"
    assert "Use an instruction-tuned base" in message


def test_a_divergence_fails_and_does_not_hide(run_dir):
    import torch
    from safetensors.torch import load_file, save_file

    folder = run_dir("sft", {"train": echo_rows()}, SHORT)
    broken = tiny_model(folder / "base")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], 3e38)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    kind, message = failure(rewritten(folder, base={"path": str(broken)}))
    assert kind == "diverged"
    assert "Lower learning_rate" in message


def test_the_unforeseen_keeps_its_traceback(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, SHORT)
    (folder / "adapter").write_text("a file where a folder belongs")
    (folder / ".adapter").write_text("and here")
    kind, message = failure(folder)
    assert kind == "internal"
    assert "log.txt has the traceback" in message
    assert "Traceback (most recent call last)" in (folder / "log.txt").read_text()
    assert events(folder, "status")[-1]["status"] == "failed"


def test_a_full_disk_and_a_full_memory_have_words_of_their_own():
    assert explained(OSError(errno.ENOSPC, "No space left on device"))[0] == "disk_full"
    assert explained(MemoryError())[0] == "out_of_memory"
    kind, message = explained(
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    )
    assert kind == "out_of_memory"
    assert "Lower batch_size" in message
    assert explained(PermissionError(13, "Permission denied", "/x"))[0] == "no_permission"


def test_a_failed_run_can_be_mended_and_run_again(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, {**SHORT, "wrong": 1})
    failure(folder)
    rewritten(folder, settings=SHORT)
    result = finished(folder)
    assert (result["status"], result["attempt"]) == ("completed", 2)
