"""Supervised tuning with and without packing: real tokens a second and peak memory on the same rows.

LoRA on the embedded base (BASE names another), each run in a process of its own, one epoch of the first ROWS rows (64)
of preferences_train.jsonl, the answers that were preferred, and of dialogues.jsonl, the summaries (FEEDBACKHUB_DATA).
As rows: batches of 4 of like length. Packed: pieces of at most LENGTH tokens (1,024), one at a time. `padding`: the
share of what goes through the model that is no row's token. Speed counts the rows' own tokens alone.
"""

import os
import tempfile
from pathlib import Path

from .methods import demonstration, pair, read, summary_asked
from .roles import result_of
from .training import base_folder

LENGTH = 1024
ALIKE = {"max_length": LENGTH, "lora_r": 16, "sample_count": 0, "seed": 1, "epochs": 1, "checkpointing": "off"}
WAYS = {
    "rows": {"batch_size": 4, "gradient_accumulation": 1},
    "packed": {"packing": True, "batch_size": 1, "gradient_accumulation": 1},
}


def run() -> list[dict]:
    base, count = str(os.environ.get("BASE") or base_folder()), int(os.environ.get("ROWS", "64"))
    found = []
    with tempfile.TemporaryDirectory(prefix="feedbackhub-packing-") as folder:
        for name, rows in (("preferences", preferences(count)), ("dialogues", summaries(count))):
            lengths = lengths_of(rows, base)
            for way, settings in WAYS.items():
                result = result_of(Path(folder) / name / way, "sft", base, rows, {**ALIKE, **settings})
                found.append(
                    {
                        "rows": name,
                        "way": way,
                        "count": len(rows),
                        "tokens": sum(lengths),
                        "padding": padding_of(lengths, packed=way == "packed"),
                        "steps": result["steps"],
                        "tokens_per_second": sum(lengths) / result["training_seconds"],
                        "peak_mb": result["peak_memory_bytes"] / 1e6,
                    }
                )
    return found


def preferences(count: int) -> list[dict]:
    rows = [pair(row) for row in read("preferences_train.jsonl")[:count]]
    return [{"messages": [*row["prompt"], *row["chosen"]]} for row in rows]


def summaries(count: int) -> list[dict]:
    return [demonstration(summary_asked(row)) for row in read("dialogues.jsonl")[:count]]


def lengths_of(rows: list[dict], base: str) -> list[int]:
    """Tokens of each row, as far as max_length lets them."""
    from training.data import ChatTokens, Fitting, Place, examples
    from training.models import load_tokenizer

    chat = ChatTokens(load_tokenizer(base), base)
    numbered = ((Place("rows.jsonl", number), row) for number, row in enumerate(rows, 1))
    return [one.length for one in examples(chat, numbered, Fitting(LENGTH))]


def padding_of(lengths: list[int], *, packed: bool) -> float:
    """The share of padding: of batches of rows of like length; of pieces, which go through alone, none."""
    if packed:
        return 0.0
    size, ordered = WAYS["rows"]["batch_size"], sorted(lengths)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)
