"""Every recipe on real rows: what it brings on the embedded model, each judged by a reward model that saw other rows.

The training rows are divided by their prompts. A judge (a reward model) is trained on one part; its settings are chosen
by the validation loss on rows of the other. Everything that is judged learns from the other part only: a reward model
for the recipes that write answers, and the recipes themselves. Then the base and each tuned model answer the prompts of
the evaluation rows (temperature 1, the same seeds), the judge scores all answers, and the win rate over the base is
told with its interval, with the divergence from the base and the change in length. The reward recipe also learns from
all rows and is held to the evaluation's pairs; sft learns to summarise dialogues.

Each step is a run directory below METHODS (var/methods), done once and resumed where it stopped; STEPS="judge dpo" does
some. A changed setting is another step: all that were tried are in the results.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICK = "BENCH_QUICK" in os.environ
JUDGE_SHARE = 55  # per cent of the prompts that only the judge learns from
ANSWER_TOKENS = 8 if QUICK else 128
TRAINED = {"sample_count": 0, "validation_rows": 300}
# One epoch of so many rows, or so many steps: what a recipe can do in an hour on two cores, and often less.
POLICY_ROWS = 700
STEPS_ONLINE = 1 if QUICK else 24


@dataclass
class Step:
    """A run to be made: its recipe, its rows by the name of their file, its settings, and what run.json has besides."""

    recipe: str
    data: dict[str, list[dict]]
    settings: dict
    more: dict = field(default_factory=dict)


# --- Rows ------------------------------------------------------------------------------------------------------------


def read(name: str) -> list[dict]:
    folder = Path(os.environ.get("FEEDBACKHUB_DATA", ROOT / "../shared/data"))
    rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return rows[:: len(rows) // 20] if QUICK else rows


def share_of(prompt: str) -> int:
    """0 to 99, by the prompt alone: rows of one prompt stay together."""
    return int(hashlib.sha256(" ".join(prompt.split()).lower().encode()).hexdigest(), 16) % 100


def pair(row: dict) -> dict:
    return {
        "id": row["id"],
        "prompt": row["messages"],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }


def summary_asked(row: dict) -> dict:
    """A dialogue as a prompt with its references."""
    text = "Summarise the dialogue in one or two sentences.\n\n" + row["dialogue"]
    return {"id": row["id"], "messages": [{"role": "user", "content": text}], "references": row["references"]}


def demonstration(asked: dict) -> dict:
    """A prompt with its first reference as the answer."""
    return {"messages": [*asked["messages"], {"role": "assistant", "content": asked["references"][0]}]}


class Rows:
    """The files, divided."""

    def __init__(self):
        train = read("preferences_train.jsonl")
        self.all = [pair(row) for row in train]
        self.judge = [pair(row) for row in train if share_of(row["prompt"]) >= 100 - JUDGE_SHARE]
        self.policy = [pair(row) for row in train if share_of(row["prompt"]) < 100 - JUDGE_SHARE]
        self.evaluation = read("preferences_eval.jsonl")
        self.dialogues = read("dialogues.jsonl")

    def thumbs(self, count: int) -> list[dict]:
        """Pairs as thumbs, one answer of each: up and down in turn."""
        return [
            {
                "prompt": row["prompt"],
                "completion": row["rejected" if number % 2 else "chosen"],
                "label": not number % 2,
            }
            for number, row in enumerate(self.policy[:count])
        ]

    def prompts(self) -> list[dict]:
        """The policy's prompts, each once."""
        return [{"prompt": row["prompt"]} for row in {json.dumps(row["prompt"]): row for row in self.policy}.values()]

    def questions(self) -> list[dict]:
        """The evaluation's prompts, each once."""
        found = {json.dumps(row["messages"]): row["messages"] for row in self.evaluation}
        return [{"id": number, "messages": messages} for number, messages in enumerate(found.values())]

    def summaries(self, split: str, count: int) -> list[dict]:
        return [summary_asked(row) for row in self.dialogues if row["split"] == split][:count]


# --- Runs ------------------------------------------------------------------------------------------------------------


class Runs:
    """The run directories."""

    def __init__(self, home: Path, base: str):
        self.home, self.base = home, base

    def run(self, name: str, step: Step) -> Path:
        """Bring a step to its end, wherever it stands, and return its directory; its name tells its settings apart."""
        spec = {"recipe": step.recipe, "base": {"path": self.base}, "settings": step.settings, **step.more}
        texts = {key: "".join(json.dumps(row) + "\n" for row in rows) for key, rows in step.data.items()}
        spec["data"] = {key: f"data/{key}.jsonl" for key in texts}
        said = json.dumps([spec, texts], sort_keys=True).replace(str(self.home), "")
        folder = self.home / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
        if not (folder / "run.json").is_file():
            (folder / "data").mkdir(parents=True, exist_ok=True)
            for key, text in texts.items():
                (folder / "data" / f"{key}.jsonl").write_text(text, encoding="utf-8")
            (folder / "run.json").write_text(json.dumps(spec, indent=1) + "\n")
        if done(folder):
            return folder
        print(f"{name}: {folder}", file=sys.stderr, flush=True)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "training", "run", str(folder)]
        if subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr).returncode or not done(folder):
            raise SystemExit(f"{name} did not end well: {folder}/log.txt says why. The same command goes on from here.")
        return folder


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def done(folder: Path) -> bool:
    return (folder / "result.json").is_file() and result(folder)["status"] == "completed"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _cost(folder: Path) -> dict:
    found = result(folder)
    return {
        "rows": found["rows"],
        "steps": found["steps"],
        "minutes": found["training_seconds"] / 60,
        "tokens_per_second": found["tokens_per_second"],
        "peak_mb": found["peak_memory_bytes"] / 1e6,
        "settings": json.dumps(json.loads((folder / "run.json").read_text())["settings"]),
    }


def curve(folder: Path, name: str, parts: int = 8) -> list[float]:
    """Means of a training metric over equal parts of the steps: of one epoch, each row before it was learnt from."""
    values = [
        event["values"][name]
        for event in lines(folder / "events.jsonl")
        if event["type"] == "metric" and event["split"] == "train" and name in event["values"]
    ]
    size = max(1, len(values) // parts)
    return [round(sum(part) / len(part), 4) for n in range(parts) if (part := values[n * size : (n + 1) * size])]


# --- Reward models ---------------------------------------------------------------------------------------------------

# The first is what plain TRL had (its figure stands in docs/training.md); the backward pass of the others is shorter.
REWARD_TRIES = [
    {"lora_layers": 12, "learning_rate": 5e-4},
]


def _reward(rows: Rows, train: list[dict], settings: dict, validation: list[dict]) -> Step:
    once = {**TRAINED, "eval_every": 100_000}
    return Step("reward", {"train": train, "validation": validation}, {**once, **settings})


def judge(runs: Runs, rows: Rows) -> tuple[Path, dict, list[dict]]:
    """(the judge, its settings, what was tried): the settings with the lowest validation loss."""
    tried, found = [], []
    for settings in REWARD_TRIES:
        folder = runs.run("judge", _reward(rows, rows.judge, settings, rows.policy[:300]))
        metrics = result(folder)["metrics"]
        found.append((metrics["validation_loss"], str(folder), settings))
        tried.append(
            {
                "step": "reward, tried on a split",
                "validation_loss": metrics["validation_loss"],
                "accuracy": metrics["validation_accuracy"],
                **_cost(folder),
            }
        )
    _, best, settings = min(found, key=lambda one: one[0])
    return Path(best), settings, tried


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def reward_row(runs: Runs, rows: Rows, settings: dict) -> dict:
    """The reward recipe on all rows, held to the evaluation's pairs, each of which is read once."""
    folder = runs.run("reward", _reward(rows, rows.all, settings, rows.all[:8]))
    adapter = {"path": runs.base, "adapter": result(folder)["adapter_path"]}
    answers = [
        {"id": f"{number}-{side}", "prompt": row["messages"], "completion": row[side]}
        for number, row in enumerate(rows.evaluation)
        for side in ("chosen", "rejected")
    ]
    scores = _scores(runs, "reward-on-evaluation", adapter, answers)
    wins = [_win(scores[f"{n}-chosen"] - scores[f"{n}-rejected"]) for n in range(len(rows.evaluation))]
    accuracy = sum(wins) / len(wins)
    low, high = wilson(accuracy, len(wins))
    longer = [_win(len(row["chosen"]) - len(row["rejected"])) for row in rows.evaluation]
    sources = {row["source"] for row in rows.evaluation}
    parts = {
        source: round(sum(part) / len(part), 3)
        for source in sorted(sources)
        if (part := [win for win, row in zip(wins, rows.evaluation) if row["source"] == source])
    }
    return {
        "step": "reward",
        "accuracy": accuracy,
        "lower": low,
        "upper": high,
        "longer_accuracy": sum(longer) / len(longer),
        "by_source": json.dumps(parts),
        "curve_accuracy": json.dumps(curve(folder, "accuracy")),
        **_cost(folder),
    }


def _scores(runs: Runs, name: str, reward: dict, answers: list[dict]) -> dict:
    folder = runs.run(name, Step("score", {"answers": answers}, {}, {"reward": reward}))
    return {row["id"]: row["reward"] for row in lines(folder / "scores.jsonl")}


def _win(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)


# --- Policies --------------------------------------------------------------------------------------------------------


def policy_steps(rows: Rows, reward: dict) -> dict[str, list[Step]]:
    """Each recipe's tries, of which the last is the one that counts."""
    pairs = {"train": rows.policy[:POLICY_ROWS]}
    prompts = {"train": rows.prompts()}
    # Few steps want a higher rate than the default; that answers are cut is the bench's doing, not theirs.
    online = {"max_new_tokens": ANSWER_TOKENS, "max_steps": STEPS_ONLINE, "max_length": 768, "sample_count": 0}
    online |= {"learning_rate": 3e-4, "missing_eos_penalty": 0.0}
    return {
        "dpo": [Step("dpo", pairs, TRAINED)],
        "kto": [Step("kto", {"train": rows.thumbs(POLICY_ROWS)}, TRAINED)],
        "grpo": [Step("grpo", prompts, online, {"reward": reward})],
        "rloo": [Step("rloo", prompts, online, {"reward": reward})],
        "ppo": [
            Step("ppo", prompts, {**online, "max_steps": 4 * STEPS_ONLINE // 3}, {"reward": reward}),
            # As many answers as GRPO's and RLOO's, each learnt from once, and all its tokens hear of its score.
            Step("ppo", prompts, {**online, "gae_lambda": 1.0, "update_epochs": 1}, {"reward": reward}),
        ],
    }


def _written(runs: Runs, rows: Rows, name: str, adapter: str | None) -> list[dict]:
    settings = {"max_new_tokens": ANSWER_TOKENS, "temperature": 1.0}
    more = {"base": {"path": runs.base, "adapter": adapter}} if adapter else {}
    folder = runs.run(f"{name}-answers", Step("generate", {"prompts": rows.questions()}, settings, more))
    return sorted(lines(folder / "outputs.jsonl"), key=lambda row: row["id"])


def _judged(runs: Runs, rows: Rows, name: str, reward: dict, outputs: list[dict]) -> list[float]:
    prompts = [row["messages"] for row in rows.questions()]
    answers = [{"id": row["id"], "prompt": prompts[row["id"]], "completion": row["text"]} for row in outputs]
    found = _scores(runs, f"{name}-judged", reward, answers)
    return [found[row["id"]] for row in outputs]


def policy_row(runs: Runs, rows: Rows, name: str, step: Step, reward: dict) -> dict:
    """A recipe's model against the base, by the judge."""
    folder = runs.run(name, step)
    base, tuned = _written(runs, rows, "base", None), _written(runs, rows, name, result(folder)["adapter_path"])
    before, after = _judged(runs, rows, "base", reward, base), _judged(runs, rows, name, reward, tuned)
    wins = [_win(b - a) for a, b in zip(before, after)]
    rate = sum(wins) / len(wins)
    half = 1.959964 * sqrt(sum((win - rate) ** 2 for win in wins) / (len(wins) - 1) / len(wins))
    prompts = [row["messages"] for row in rows.questions()]
    told = [
        {"id": row["id"], "messages": [*prompts[row["id"]], {"role": "assistant", "content": row["text"]}]}
        for row in tuned
        if row["text"].strip()
    ]
    adapter = {"base": {"path": runs.base, "adapter": result(folder)["adapter_path"]}}
    measured = runs.run(f"{name}-divergence", Step("evaluate", {"texts": told}, {"suite": "perplexity"}, adapter))
    divergence = result(measured)["metrics"]["divergence"]
    row = {
        "step": name,
        "win_rate": rate,
        "lower": rate - half,
        "upper": rate + half,
        "reward_gain": sum(after) / len(after) - sum(before) / len(before),
        "kl": divergence["value"],
        "kl_lower": divergence["lower"],
        "kl_upper": divergence["upper"],
        "tokens_before": sum(one["tokens"] for one in base) / len(base),
        "tokens_after": sum(one["tokens"] for one in tuned) / len(tuned),
        "cut_before": sum(one["finish_reason"] == "length" for one in base) / len(base),
        "cut_after": sum(one["finish_reason"] == "length" for one in tuned) / len(tuned),
        "prompts": len(base),
    }
    shown = "reward" if step.recipe in ("grpo", "rloo", "ppo") else "loss"
    return {**row, f"curve_{shown}": json.dumps(curve(folder, shown)), **_cost(folder)}


# --- Summaries -------------------------------------------------------------------------------------------------------


def sft_row(runs: Runs, rows: Rows) -> dict:
    """ROUGE of summaries of the test dialogues, before and after sft on the others; greedy answers."""
    told = [demonstration(row) for row in rows.summaries("dev", 400)]
    folder = runs.run("sft", Step("sft", {"train": told}, {**TRAINED, "epochs": 1.0}))
    test = rows.summaries("test", 100)
    asked = {"prompts": [{"id": row["id"], "messages": row["messages"]} for row in test]}
    texts = {}
    for name, adapter in (("before", None), ("after", result(folder)["adapter_path"])):
        more = {"base": {"path": runs.base, "adapter": adapter}} if adapter else {}
        written = runs.run(f"sft-{name}", Step("generate", asked, {"max_new_tokens": 96}, more))
        texts[name] = {row["id"]: row["text"] for row in lines(written / "outputs.jsonl")}
    predictions = [{"id": r["id"], "text": texts["after"][r["id"]], "references": r["references"]} for r in test]
    baseline = [{"id": row["id"], "text": texts["before"][row["id"]]} for row in test]
    given = {"predictions": predictions, "baseline": baseline}
    compared = result(runs.run("sft-compared", Step("evaluate", given, {"suite": "text-overlap"})))
    row: dict = {"step": "sft", "prompts": len(test)}
    for metric in ("rouge1", "rouge2", "rougeL"):
        after, gain = compared["metrics"][metric]["value"], compared["differences"][metric]
        row |= {f"{metric}_before": after - gain["value"], f"{metric}_after": after}
        row |= {f"{metric}_gain_lower": gain["lower"], f"{metric}_gain_upper": gain["upper"]}
    return {**row, "curve_loss": json.dumps(curve(folder, "loss")), **_cost(folder)}


# --- All of it -------------------------------------------------------------------------------------------------------


def rows_of(runs: Runs, rows: Rows, wanted: Callable[[str], bool]) -> Iterator[dict]:
    """The table, a row as soon as it is there."""
    judging, settings, tried = judge(runs, rows)
    yield from tried
    reward = {"path": runs.base, "adapter": result(judging)["adapter_path"]}
    if any(map(wanted, ("dpo", "kto", "grpo", "rloo", "ppo"))):
        teacher = {"path": runs.base, "adapter": ""}
        if any(map(wanted, ("grpo", "rloo", "ppo"))):
            learnt = runs.run("teacher", _reward(rows, rows.policy, settings, rows.judge[:100]))
            teacher["adapter"] = result(learnt)["adapter_path"]
        for name, steps in policy_steps(rows, teacher).items():
            if wanted(name):
                for step in steps:
                    yield policy_row(runs, rows, name, step, reward)
    if wanted("sft"):
        yield sft_row(runs, rows)
    if wanted("reward"):
        yield reward_row(runs, rows, settings)


def run() -> list[dict]:
    home = Path(os.environ["BENCH_METHODS"])
    asked = os.environ.get("STEPS", "").split()
    return list(rows_of(Runs(home, os.environ["BENCH_BASE"]), Rows(), lambda name: not asked or name in asked))
