"""When the memory does not suffice: half the rows at once, then checkpointing, the same steps all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_cast import ROOT, WORDS, assistant, echo_rows, events, finished, preference_rows, tiny_model, user

from training.config import SftSettings
from training.loop.remembered import Memory

# Runs the first directory freely, then each with so many megabytes of addresses more than are taken by then.
LIMITED = """
import gc, resource, sys
from pathlib import Path
import psutil
from training.run import run
assert run(Path(sys.argv[1])) == 0
for more, folder in zip(sys.argv[2::2], sys.argv[3::2]):
    gc.collect()  # what the run before left in cycles
    most = psutil.Process().memory_info().vms + (int(more) << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, -1))
    run(Path(folder))
"""
# Addresses taken are addresses needed: no arena of 64 MB for each thread, and what is freed is given back at once.
EXACT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 18), "MALLOC_TRIM_THRESHOLD_": "0"}
ENOUGH_FOR_HALF, HOPELESS = 200, 30  # half of a batch needs between 120 and 140, a whole one between 255 and 270


def long_rows() -> list[dict]:
    """Answers of 50 tokens: with the vocabulary below a row's logits are 8 MB."""
    return [{"messages": [user(f"say {word}"), assistant(" ".join([word, *WORDS[:9]] * 5))]} for word in WORDS[:16]]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose logits are most of what it needs: 40,000 words, of which the tokenizer uses few."""
    from transformers import AutoModelForCausalLM

    folder = tiny_model(tmp_path_factory.mktemp("models") / "wide")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    model.resize_token_embeddings(40_000, mean_resizing=False)
    model.save_pretrained(folder)
    return folder


def test_out_of_memory_is_answered_with_half_the_rows_at_once(run_dir, wide):
    """A real limit on the process's memory: 16 rows of answers do not fit in it, 8 do; where none do, it is told."""

    def prepared(name: str, **settings) -> Path:
        settings = {"max_steps": 2, "batch_size": 16, "precision": "fp32", "seed": 4, **settings}
        return run_dir("sft", {"train": long_rows()}, settings, base={"path": str(wide)}, name=name)

    warm, free = prepared("warm", max_steps=1, batch_size=1), prepared("free")
    tight, hopeless = prepared("tight"), prepared("hopeless", checkpointing="off")
    limits = [str(HOPELESS), str(hopeless), str(ENOUGH_FOR_HALF), str(tight)]
    environment = {**os.environ, **EXACT}
    subprocess.run([sys.executable, "-c", LIMITED, str(warm), *limits], cwd=ROOT, env=environment, check=True)

    error = json.loads((hopeless / "result.json").read_text())["error"]
    assert error["kind"] == "out_of_memory"
    assert "even with half of batch_size 16 at once. Lower batch_size" in error["message"]

    assert json.loads((tight / "result.json").read_text())["status"] == "completed"
    (warning,) = (event["message"] for event in events(tight, "warning"))
    assert warning.startswith("Step 1 ran out of memory. From here on 8 rows go through the model at once")
    finished(free)
    losses = [[event["values"]["loss"] for event in events(folder, "metric")] for folder in (tight, free)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    found, expected = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (tight, free))
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4)


def test_halves_first_then_checkpointing_then_nothing():
    memory, settings = Memory(), SftSettings(batch_size=5)
    assert "3 rows go through the model at once" in memory.shrink(settings)
    assert list(memory.parts([[1, 2, 3, 4, 5], [6]])) == [[1, 2, 3], [4, 5], [6]]
    assert "checkpointing" in memory.shrink(settings)
    assert memory.shrink(settings) is None
    assert "checkpointing" in Memory().shrink(SftSettings(batch_size=1))
    assert Memory().shrink(SftSettings(batch_size=1, checkpointing="off")) is None


@pytest.mark.parametrize(("recipe", "rows"), [("sft", echo_rows), ("reward", preference_rows)])
def test_checkpointing_changes_nothing_but_memory(run_dir, recipe, rows):
    """Dropout too: what is computed twice is drawn the same."""
    settings = {"max_steps": 4, "precision": "fp32", "learning_rate": 0.01, "lora_dropout": 0.2}
    found = []
    for checkpointing in ("on", "off"):
        folder = run_dir(recipe, {"train": rows()}, {**settings, "checkpointing": checkpointing}, name=checkpointing)
        finished(folder)
        found.append(load_file(folder / "adapter" / "adapter_model.safetensors"))
    for name, weight in found[0].items():
        torch.testing.assert_close(found[1][name], weight, rtol=1e-4, atol=1e-5)


def test_checkpointing_keeps_fewer_activations(tiny):
    """What autograd saves for the backward pass, counted."""
    from training.models import checkpointing_on, load_base

    kept = []
    for on in (False, True):
        model = load_base(str(tiny), "fp32").train()
        if on:
            checkpointing_on(model)
        sizes = []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(torch.arange(120).view(2, 60) % 30).logits.sum()
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]
