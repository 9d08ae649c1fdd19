"""Peak memory and speed of GRPO, RLOO and PPO beside supervised tuning, all with LoRA on the same base and lengths.

Each is a run in a process of its own (`python -m training run`), with a reward model of that base. Prompts and answers
are pieces of a fixed text, of the same length for all; the online recipes write answers as long as the base likes, to
that length. `ratio` is the peak over that of supervised tuning: four copies of the base would add three times its size.
BASE names another base; FEEDBACKHUB_TEST_BASE the embedded one where it does not lie in var/models.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = 90  # of a prompt and of an answer; some 128 tokens
TOKENS = 128
# One rollout of 32 answers, all at once, and two steps that learn from it: the optimiser has its moments in the second.
SAME = {"batch_size": 4, "gradient_accumulation": 4, "max_steps": 2, "max_length": 512, "sample_count": 0, "seed": 1}
RECIPES = ("sft", "grpo", "rloo", "ppo")


def run() -> list[dict]:
    base = os.environ.get("BASE") or os.environ.get("FEEDBACKHUB_TEST_BASE") or str(ROOT / "var/models/smollm2-135m")
    rows = []
    with tempfile.TemporaryDirectory(prefix="feedbackhub-roles-") as folder:
        home = Path(folder)
        reward = result_of(home / "reward", "reward", base, _pairs(8), {**SAME, "max_steps": 1, "heads": 4})
        judge = {"path": base, "adapter": reward["adapter_path"]}
        for recipe in RECIPES:
            given = _demonstrations(32) if recipe == "sft" else _prompts(32)
            settings, more = ({}, {}) if recipe == "sft" else ({"max_new_tokens": TOKENS}, {"reward": judge})
            result = result_of(home / recipe, recipe, base, given, {**SAME, **settings}, **more)
            peak = result["peak_memory_bytes"]
            first = rows[0]["peak_mb"] if rows else peak / 1e6
            rows.append(
                {
                    "recipe": recipe,
                    "peak_mb": peak / 1e6,
                    "ratio": peak / 1e6 / first,
                    "seconds_a_step": result["training_seconds"] / result["steps"],
                    "answer_tokens": result["metrics"].get("train_answer_tokens", TOKENS),
                }
            )
    return rows


def result_of(folder: Path, recipe: str, base: str, rows: list[dict], settings: dict, **more) -> dict:
    """The result of a run in a process of its own."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"recipe": recipe, "base": {"path": base}, "data": {"train": "data/train.jsonl"}}
    (folder / "run.json").write_text(json.dumps({**spec, "settings": settings, **more}))
    subprocess.run([sys.executable, "-m", "training", "run", str(folder)], cwd=ROOT, capture_output=True)
    result = json.loads((folder / "result.json").read_text())
    if result["status"] != "completed":
        raise RuntimeError(f"{recipe}: {result['error']['message']}")
    return result


def _pieces(count: int) -> list[str]:
    words = (ROOT / "training" / "suites" / "general_text.txt").read_text().split()
    starts = [(17 * number) % (len(words) - WORDS) for number in range(count)]
    return [" ".join(words[start : start + WORDS]) for start in starts]


def _prompts(count: int) -> list[dict]:
    return [{"prompt": [{"role": "user", "content": text}]} for text in _pieces(count)]


def _demonstrations(count: int) -> list[dict]:
    pieces = _pieces(2 * count)
    answers = [{"role": "assistant", "content": text} for text in pieces[count:]]
    return [{"messages": [{"role": "user", "content": text}, answer]} for text, answer in zip(pieces, answers)]


def _pairs(count: int) -> list[dict]:
    pieces = _pieces(3 * count)
    return [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for prompt, chosen, rejected in zip(pieces, pieces[count:], pieces[2 * count :])
    ]
