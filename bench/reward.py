"""A reward model by `training` and by plain TRL: tokens a second and peak memory on the same real rows.

The first rows of preferences_train.jsonl (FEEDBACKHUB_DATA), the embedded base, 8 pairs a step, each in a process of
its own. TRL: RewardTrainer with the settings of docs/methods.md's line for it, LoRA r 16 on attention and MLP, lr 3e-4,
bf16 where the processor computes in it. Ours: what `bench methods` trains its reward models by. Tokens: both prompts
and both answers of a pair, for both alike. ROWS says how many pairs.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from .methods import REWARD_TRIES, pair, read
from .training import RANK, base_folder, measured_alone, trained_by_trl, trained_by_us, trl_common, trl_fast

PAIRS_A_STEP, RATE, MAX_LENGTH = 8, 3e-4, 1024


def run() -> list[dict]:
    base, pairs = base_folder(), int(os.environ.get("ROWS", "16" if "BENCH_QUICK" in os.environ else "160"))
    rows = [pair(row) for row in read("preferences_train.jsonl")[:pairs]]
    with tempfile.TemporaryDirectory(prefix="feedbackhub-bench-reward-") as folder:
        (Path(folder) / "rows.jsonl").write_text(
            "".join(json.dumps({key: row[key] for key in ("prompt", "chosen", "rejected")}) + "\n" for row in rows)
        )
        steps, tokens = len(rows) // PAIRS_A_STEP, tokens_in(rows, base)
        measured = {who: measured_alone("bench.reward", Path(folder), who, base, steps) for who in ("ours", "trl")}
    return [
        {
            "who": who,
            "pairs": len(rows),
            "tokens": tokens,
            "tokens_per_second": tokens / one["seconds"],
            "ours_is_faster": one["seconds"] / measured["ours"]["seconds"],
            "peak_memory_mb": one["peak_memory_bytes"] / 1e6,
            "losses": json.dumps([round(loss, 4) for loss in one["losses"]]),
        }
        for who, one in measured.items()
    ]


def missed(rows: list[dict]) -> list[str]:
    """The goal that the rows are under: half of TRL's time."""
    return [
        f"reward: {row['ours_is_faster']:.2f} times as fast as {row['who']}; 2 is the goal"
        for row in rows
        if row["who"] != "ours" and row["ours_is_faster"] < 2
    ]


def tokens_in(rows: list[dict], base: Path) -> int:
    """Tokens of both answers of all pairs, each with its prompt, as far as max_length lets them."""
    from training.data import ChatTokens, Fitting, Place, pairs
    from training.models import load_tokenizer

    chat = ChatTokens(load_tokenizer(str(base)), str(base))
    numbered = ((Place("rows.jsonl", number), row) for number, row in enumerate(rows, 1))
    found = pairs(chat, numbered, Fitting(MAX_LENGTH))
    return sum(2 * len(one.prompt) + len(one.chosen) + len(one.rejected) for one in found)


def ours(folder: Path, base: Path, steps: int) -> dict:
    settings = {"max_steps": steps, "max_length": MAX_LENGTH, "sample_count": 0, **REWARD_TRIES[-1]}
    return trained_by_us(folder, base, "reward", settings)


def trl(folder: Path, base: Path, steps: int) -> dict:
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=modules, task_type="SEQ_CLS", lora_dropout=0.0)
    config = RewardConfig(
        max_steps=steps, learning_rate=RATE, max_length=MAX_LENGTH, **trl_common(folder), **trl_fast()
    )
    return trained_by_trl(RewardTrainer, folder, str(base), config, lora)


if __name__ == "__main__":
    who, folder, base, steps, out = sys.argv[1:]
    trainers = {"ours": ours, "trl": trl}
    Path(out).write_text(json.dumps(trainers[who](Path(folder), Path(base), int(steps))))
