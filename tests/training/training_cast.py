"""A tiny Llama with a tiny tokenizer, rows with known optima, and what a run directory holds afterwards."""

import json
import os
import sys
import time
from multiprocessing import get_context
from pathlib import Path

from training.run import run

ROOT = Path(__file__).resolve().parents[2]
WORDS = """
a b c d e f g h red green blue one two three four five six say after not yes no what is the good bad . ?
""".split()  # noqa: SIM905 – readable
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} <end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # a tiny model gains nothing from more, and loses much on a busy machine


def tiny_model(folder: Path, *, seed: int = 0, width: int = 32, template: str | None = TEMPLATE) -> Path:
    """A randomly initialised Llama of two layers with a word-level tokenizer, saved as a base."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<end>", "<unk>", "<system>", "<user>", "<assistant>"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<end>", unk_token="<unk>", model_max_length=256
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[3:]})
    tokenizer.chat_template = template
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
        initializer_range=0.3,  # far from flat, so that differences show
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def smol_model(folder: Path, *, template: str = TEMPLATE) -> Path:
    """A tiny Llama, keys and values shared by two heads each, with a tokenizer of SmolLM2's kind."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tiny_model(folder)
    backend = Tokenizer(models.BPE())
    cut = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Sequence(cut), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<end>"], initial_alphabet=alphabet)
    backend.train_from_iterator([" ".join(WORDS), "what is the good answer? 1234"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")
    tokenizer.add_tokens([AddedToken("<mine>", special=False)])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    torch.manual_seed(0)
    model.resize_token_embeddings(310, mean_resizing=False)  # more rows than tokens
    model.save_pretrained(folder)
    return folder


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def echo_rows() -> list[dict]:
    """SFT rows with a known optimum: `say X` is answered by X."""
    return [{"messages": [user(f"say {word}"), assistant(word)]} for word in WORDS[:16]]


def preference_rows() -> list[dict]:
    """Pairs with a known preference: `good` before `bad`, whatever was asked; prompts and answers of many lengths."""
    rows = []
    for number, word in enumerate(WORDS[:16]):
        tail = " ".join(WORDS[: number % 4])
        prompt = [user(f"what is {word} {tail}".strip() + " ?")]
        rows.append(
            {"prompt": prompt, "chosen": [assistant(f"good {tail}".strip())], "rejected": [assistant("bad . .")]}
        )
    return rows


def finished(folder: Path, code: int = 0) -> dict:
    """Run a directory in this process; its result, after a look at the exit code."""
    found = run(folder)
    result = json.loads((folder / "result.json").read_text())
    assert found == code, result
    return result


def failure(folder: Path) -> tuple[str, str]:
    """(kind, message) of a run that must fail."""
    error = finished(folder, 1)["error"]
    return error["kind"], error["message"]


def events(folder: Path, type: str | None = None) -> list[dict]:
    lines = (folder / "events.jsonl").read_text().splitlines() if (folder / "events.jsonl").exists() else []
    found = [json.loads(line) for line in lines]
    return [event for event in found if type in (None, event["type"])]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Processes are forked from one that has read the libraries, which takes each of its own seconds.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["transformers", "peft", "training.recipes.sft", "training.recipes.reward"])


def _ended(folder: Path) -> None:
    sys.exit(run(folder))


class Process:
    """What `python -m training run DIR` does, in a process of its own; `cold`: one that has the libraries to read."""

    def __init__(self, folder: Path, *, cold: bool = False):
        self.folder = folder
        self.process = (get_context("spawn") if cold else FORKS).Process(target=_ended, args=(folder,))
        self.process.start()

    def wait_for(self, condition, seconds: float = 120) -> None:
        """Until the condition holds; an error when the process ends first, or time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.is_alive(), "the process ended before what was waited for"
            assert time.monotonic() < deadline, "what was waited for did not come"
            time.sleep(0.005)

    def wait_for_step(self, step: int) -> None:
        path = self.folder / "events.jsonl"
        self.wait_for(lambda: path.exists() and f'"step": {step},' in path.read_text())

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        self.process.join(60)
        return self.process.exitcode

    def terminate(self) -> int:
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        self.process.kill()
        self.process.join(60)


def opinionated(folder: Path, heads: int = 2):
    """A reward model on this base whose heads have something to say: one that is new says 0 of every answer."""
    import torch

    from training.models import load_base
    from training.rewards.reward_model import RewardModel

    model = RewardModel(load_base(str(folder), "fp32"), heads)
    torch.nn.init.normal_(model.heads, std=0.2, generator=torch.Generator().manual_seed(3))
    return model
