"""A tuned model in one piece: merged it says what base and adapter say, as GGUF too; whole or not at all."""

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_cast import echo_rows, events, failure, finished, opinionated, smol_model

from training.export import merged_card
from training.models import Base, load_base, load_policy
from training.rewards.reward_model import reward_save


@pytest.fixture(scope="module")
def smol(tmp_path_factory) -> Path:
    return smol_model(tmp_path_factory.mktemp("models") / "smol")


@pytest.fixture
def tuned(run_dir, smol) -> dict:
    """A real LoRA on it that says something else by far, as run.json's base."""
    settings = {"max_steps": 4, "learning_rate": 0.05, "sample_count": 0}
    folder = run_dir("sft", {"train": echo_rows()}, settings, base={"path": str(smol)}, name="tuning")
    finished(folder)
    return {"path": str(smol), "adapter": str(folder / "adapter")}


@pytest.fixture(autouse=True)
def no_llama_cpp(monkeypatch):
    monkeypatch.delenv("LLAMA_CPP", raising=False)


TOKENS = torch.tensor([[20, 41, 60, 33, 100, 9]])


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits.float()


def test_merged_it_is_one_folder_that_says_what_base_and_adapter_say(run_dir, tuned, start):
    folder = run_dir("export", {}, {"format": "merged"}, base=tuned)
    assert start(folder).ended() == 0
    result = finished(folder)  # once more is a no-op
    made = folder / "merged"
    assert result["path"] == str(made)
    said = logits(load_base(str(made), "fp32"))
    beside = logits(load_policy(Base(tuned["path"], Path(tuned["adapter"])), "fp32"))
    moved = (logits(load_base(tuned["path"], "fp32")) - beside).abs().max()
    assert (said - beside).abs().max() < 0.02 * moved  # weights rounded to bf16
    files = {file["name"]: file for file in result["files"]}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert not [name for name in files if "adapter" in name]
    assert files["model.safetensors"]["bytes"] == (made / "model.safetensors").stat().st_size
    assert result["bytes"] == sum(path.stat().st_size for path in made.iterdir())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made.iterdir())]
    assert result["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    card = (made / "README.md").read_text()
    assert "library_name: transformers\n---\n# sft of smol\n\nBase and adapter, merged into one model" in card
    assert "peft" not in card
    assert "none" not in card.split("## Settings")[0]
    assert "| learning_rate | 0.05 |" in card
    assert (Path(tuned["adapter"]) / "README.md").read_text().count("library_name: peft") == 1


def test_as_gguf_it_is_one_file_that_says_so_too(run_dir, tuned):
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM

    folder = run_dir("export", {}, {"format": "gguf"}, base=tuned, title="demo+sft-r1")
    result = finished(folder)
    file = folder / "model.gguf"
    assert (result["path"], result["bytes"]) == (str(file), file.stat().st_size)
    assert result["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert GGUFReader(file).fields["general.name"].contents() == "demo+sft-r1"
    said = logits(AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32))
    beside = logits(load_policy(Base(tuned["path"], Path(tuned["adapter"])), "fp32"))
    moved = (logits(load_base(tuned["path"], "fp32")) - beside).abs().max()
    assert (said - beside).abs().max() < 0.02 * moved
    assert sorted(path.name for path in folder.iterdir() if path.name != "data") == sorted(
        ["events.jsonl", "lock", "log.txt", "model.gguf", "result.json", "run.json"]
    )
    assert [event["phase"] for event in events(folder, "status")] == [
        *("loading", "merging", "converting", "saving", "saving")
    ]


def test_whole_weights_need_no_merging_and_become_gguf(run_dir, smol):
    kind, message = failure(run_dir("export", {}, {"format": "merged"}, base={"path": str(smol)}, name="a"))
    assert kind == "bad_run"
    assert "is whole already" in message
    finished(run_dir("export", {}, {"format": "gguf"}, base={"path": str(smol)}, name="b"))


def test_what_a_killed_attempt_left_is_no_hindrance_and_does_not_stay(run_dir, tuned):
    folder = run_dir("export", {}, {"format": "merged"}, base=tuned)
    (folder / ".export" / ".merged-x1").mkdir(parents=True)
    (folder / "merged").mkdir()  # renamed, and killed before the result
    (folder / "merged" / "old.safetensors").write_text("old")
    finished(folder)
    assert not (folder / ".export").exists()
    assert not (folder / "merged" / "old.safetensors").exists()
    assert (folder / "merged" / "model.safetensors").is_file()


def test_what_cannot_be_written_is_said_and_leaves_nothing(run_dir, tiny, tuned, monkeypatch):
    kind, message = failure(run_dir("export", {}, {"format": "gguf"}, base={"path": str(tiny)}, name="a"))
    assert kind == "no_converter"
    assert "set LLAMA_CPP" in message
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    folder = run_dir("export", {}, {"format": "gguf"}, base=tuned, name="b")
    kind, message = failure(folder)
    assert kind == "disk_full"
    assert "0.00 GB left. Make room on it, then resume." in message
    assert not (folder / "model.gguf").exists()
    assert not (folder / ".export").exists()


def test_a_reward_model_is_none_that_others_load(run_dir, tmp_path, tiny):
    adapter = tmp_path / "reward"
    adapter.mkdir()
    reward_save(opinionated(tiny), adapter, {})
    base = {"path": str(tiny), "adapter": str(adapter)}
    kind, message = failure(run_dir("export", {}, {"format": "merged"}, base=base))
    assert kind == "bad_run"
    assert "is a reward model" in message


def test_a_card_is_made_where_the_adapter_has_none(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    card = merged_card(Base(str(tmp_path / "base"), tmp_path))
    assert "license: apache-2.0\nlibrary_name: transformers\n---\n# base, tuned\n\nBase and adapter, merged" in card
