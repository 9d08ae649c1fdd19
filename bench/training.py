"""DPO by `training` and by plain TRL: tokens a second and peak memory, on the same rows, base, LoRA, seed and threads.

Each in a process of its own, one after the other. TRL with its defaults (fp32 weights under bf16 autocast, gradient
checkpointing, 8 rows at once), and with the settings that make it fastest on a CPU (bf16 weights where the processor
computes in it, no checkpointing, 4 rows twice). Without bf16 the defaults are left out: a processor that only emulates
it takes a hundred times as long, which says nothing of TRL. 8 pairs a step in all. Tokens: both prompts and both
answers of a pair, for all alike, though ours computes a prompt once. Seconds: those of the optimiser's steps, loading
and tokenising left out. The losses (each trainer has its own order of the rows) are drawn into
bench/results/training.svg. SHAPES names some of the shapes, BENCH_STEPS how many steps (8).
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .plot import curves_write

SHAPES = {"prompt-heavy": (256, 32), "even": (64, 64), "answer-heavy": (64, 128)}  # tokens of prompt and of an answer
PAIRS_A_STEP, RATE, RANK = 8, 2e-4, 16
WORDS = "the a cat dog house runs sees small big red old new and or but with over under near far day night".split()  # noqa: SIM905
ROOT = Path(__file__).resolve().parents[1]


def run() -> list[dict]:
    quick, base, found = "BENCH_QUICK" in os.environ, base_folder(), []
    wanted = os.environ.get("SHAPES", "").split() or list(SHAPES)
    for shape, (prompt, answer) in ({"quick": (48, 8)} if quick else {name: SHAPES[name] for name in wanted}).items():
        steps = 2 if quick else int(os.environ.get("BENCH_STEPS", "8"))
        with tempfile.TemporaryDirectory(prefix="feedbackhub-bench-dpo-") as folder:
            rows = pairs_written(Path(folder) / "rows.jsonl", base, prompt, answer, PAIRS_A_STEP * steps)
            compared = ("ours", "trl_best", *(("trl_defaults",) if computes_in_bf16() else ()))
            measured = {who: measured_alone("bench.training", Path(folder), who, base, steps) for who in compared}
        for who, one in measured.items():
            found.append(
                {
                    "shape": shape,
                    "prompt_tokens": prompt,
                    "answer_tokens": answer,
                    "who": who,
                    "tokens_per_second": rows["tokens"] / one["seconds"],
                    "ours_is_faster": one["seconds"] / measured["ours"]["seconds"],
                    "peak_memory_mb": one["peak_memory_bytes"] / 1e6,
                    "losses": json.dumps([round(loss, 4) for loss in one["losses"]]),
                }
            )
    return found


def plot(rows: list[dict], path: Path) -> None:
    """The loss curves, a panel for each shape."""
    panels: dict[str, dict] = {}
    for row in rows:
        title = f"{row['shape']}, {row['prompt_tokens']}/{row['answer_tokens']} tokens"
        panels.setdefault(title, {})[row["who"].replace("_", ", ")] = json.loads(row["losses"])
    curves_write(path, panels, across="step", up="loss")


def missed(rows: list[dict]) -> list[str]:
    """The goals that the rows are under: 4 and 1.5 times as fast on prompt-heavy rows, slower on none."""
    goals = {("prompt-heavy", "trl_defaults"): 4.0, ("prompt-heavy", "trl_best"): 1.5}
    found = []
    for row in rows:
        goal = goals.get((row["shape"], row["who"]), 1.0)
        if row["ours_is_faster"] < goal:
            words = f"{row['shape']} rows, {row['who']}: {row['ours_is_faster']:.2f} times as fast; {goal} is the goal"
            found.append(words)
    return found


def base_folder() -> Path:
    folder = Path(os.environ["BENCH_BASE"])
    subprocess.run([sys.executable, "-m", "training", "fetch-base", str(folder)], cwd=ROOT, check=True)
    return folder


def computes_in_bf16() -> bool:
    import torch

    from training.device import device_and_dtype

    return device_and_dtype("auto")[1] == torch.bfloat16


def pairs_written(path: Path, base: Path, prompt: int, answer: int, count: int) -> dict:
    """Write so many pairs of so many tokens (the template's own on top); {"tokens": of all prompts and answers}."""
    from transformers import AutoTokenizer

    tokenizer, chance = AutoTokenizer.from_pretrained(base), random.Random(0)

    def text(tokens: int) -> str:
        return tokenizer.decode(
            tokenizer(" ".join(chance.choices(WORDS, k=tokens)), add_special_tokens=False)["input_ids"][:tokens]
        )

    with path.open("w") as file:
        for _ in range(count):
            row = {"prompt": [{"role": "user", "content": text(prompt)}]}
            row |= {key: [{"role": "assistant", "content": text(answer)}] for key in ("chosen", "rejected")}
            file.write(json.dumps(row) + "\n")
    return {"tokens": count * 2 * (prompt + answer)}


def measured_alone(module: str, folder: Path, who: str, base: Path, steps: int) -> dict:
    """{seconds, losses, peak_memory_bytes} of one of a module's trainers, from a process of its own."""
    out = folder / f"{who}.json"
    command = [sys.executable, "-m", module, who, str(folder), str(base), str(steps), str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{who} ended with exit code {process.returncode}.")
    return {**json.loads(out.read_text()), "peak_memory_bytes": used.ru_maxrss * 1024}


def ours(folder: Path, base: Path, steps: int) -> dict:
    return trained_by_us(folder, base, "dpo", {"max_steps": steps, "learning_rate": RATE, "lora_r": RANK})


def trained_by_us(folder: Path, base: Path, recipe: str, settings: dict) -> dict:
    """{seconds, losses} of a run on the folder's rows.jsonl, 4 rows at once and two such batches a step."""
    from training.run import run as training_run

    directory = folder / "run"
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "train.jsonl").write_bytes((folder / "rows.jsonl").read_bytes())
    settings = {"batch_size": 4, "gradient_accumulation": 2, **settings}
    spec = {"recipe": recipe, "base": {"path": str(base)}, "data": {"train": "data/train.jsonl"}, "settings": settings}
    (directory / "run.json").write_text(json.dumps(spec))
    if training_run(directory):
        raise SystemExit(1)
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    losses = [event["values"]["loss"] for event in events if event["type"] == "metric"]
    seconds = json.loads((directory / "result.json").read_text())["training_seconds"]
    return {"seconds": seconds, "losses": losses}


def trl(folder: Path, base: Path, steps: int, **asked) -> dict:
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(max_steps=steps, learning_rate=RATE, **trl_common(folder), **asked)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0)
    return trained_by_trl(DPOTrainer, folder, str(base), config, lora)


def trl_common(folder: Path) -> dict:
    """What all of TRL's runs here are asked for."""
    return {
        "output_dir": str(folder / "trl"),
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 0,
    }


def trained_by_trl(trainer, folder: Path, model, config, lora, **more) -> dict:
    """{seconds, losses} of a TRL trainer on the folder's rows.jsonl."""
    from datasets import load_dataset
    from transformers import TrainerCallback

    seconds, began = [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *given, **named):
            began.append(time.monotonic())

        def on_step_end(self, *given, **named):
            seconds.append(time.monotonic() - began[-1])

    rows = load_dataset("json", data_files=str(folder / "rows.jsonl"), split="train")
    given = {"model": model, "args": config, "train_dataset": rows, "peft_config": lora, "callbacks": [Clock()]}
    training = trainer(**given, **more)
    training.train()
    losses = [float(entry["loss"]) for entry in training.state.log_history if "loss" in entry]
    return {"seconds": sum(seconds), "losses": losses}


def trl_defaults(folder: Path, base: Path, steps: int) -> dict:
    return trl(folder, base, steps)


def trl_best(folder: Path, base: Path, steps: int) -> dict:
    return trl(folder, base, steps, **trl_fast())


def trl_fast() -> dict:
    """What makes TRL's trainers fastest on a CPU."""
    bf16 = computes_in_bf16()
    return {
        "model_init_kwargs": {"dtype": "bfloat16" if bf16 else "float32"},
        "bf16": bf16,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
    }


if __name__ == "__main__":
    who, folder, base, steps, out = sys.argv[1:]
    trainers = {"ours": ours, "trl_best": trl_best, "trl_defaults": trl_defaults}
    Path(out).write_text(json.dumps(trainers[who](Path(folder), Path(base), int(steps))))
