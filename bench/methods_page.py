"""docs/methods.md from the rows of bench/methods.py: what was measured, and how, for a reader."""

import json
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
HEAD = """# What each recipe brings, on real rows

`python -m bench methods` makes this page from `bench/results/methods.json`. It trains the embedded model
(SmolLM2-135M-Instruct) by every recipe on the public preference rows and dialogues, on a CPU, in run directories that
can be stopped and gone on with (`STEPS="dpo kto"` does some of them). {machine}

**How it is judged.** The 3,000 training rows are divided by their prompts. A judge, a reward model, learns from one
part (55 % of the prompts). The recipes learn from the other part only, and so does the reward model that teaches
GRPO, RLOO and PPO: no recipe has seen its judge's rows. The base and each tuned model then answer the evaluation's
prompts (temperature 1, {tokens} tokens at most), and the judge says which answer is better. Settings
are chosen on training rows alone; the evaluation's rows are read once for each line below. Intervals are 95 %.
"""


def with_earlier(found: dict, earlier: dict) -> dict:
    """What STEPS has not measured anew stays, each row with the day on which it was measured, and what was noted."""
    order = [row["step"] for row in earlier["rows"]]
    anew = {row["step"] for row in found["rows"]}
    rows = [row for row in earlier["rows"] if row["step"] not in anew]
    rows += [{**row, "measured": found["date"]} for row in found["rows"]]  # of a step with several tries, each
    rows.sort(key=lambda row: order.index(row["step"]) if row["step"] in order else len(order))
    note = earlier.get("note", "") if any(row["measured"] != found["date"] for row in rows) else ""
    return {**found, "note": note, "rows": rows}


def page(found: dict) -> str:
    """found: {date, cores, rows} as bench/results keeps them."""
    rows = found["rows"]
    parts = [HEAD.format(machine=_machine(found), tokens=128)]
    if reward := _of(rows, "reward"):
        parts.append(_reward(reward, _of(rows, "reward, tried on a split")))
    if policies := [row for row in rows if "win_rate" in row]:
        parts.append(_policies(policies))
    if sft := _of(rows, "sft"):
        parts.append(_sft(sft))
    parts.append(_tries(rows))
    return "\n".join(parts)


def page_write(found: dict) -> None:
    PAGE.write_text(page(found), encoding="utf-8")


def _of(rows: list[dict], step: str) -> list[dict]:
    return [row for row in rows if row["step"] == step]


def _machine(found: dict) -> str:
    measured = f"Last measured on {found['date']}, {found['cores']} cores ({found['machine']})."
    return f"{measured} {found.get('note', '')}".strip()


def _table(head: list[str], lines: list[list[str]]) -> str:
    bar = "|" + "---|" * len(head)
    return "\n".join(["| " + " | ".join(head) + " |", bar, *("| " + " | ".join(line) + " |" for line in lines), ""])


def _share(row: dict, name: str = "", low: str = "lower", high: str = "upper") -> str:
    return f"{row[name]:.3f} ({row[low]:.3f} to {row[high]:.3f})"


def _curve(row: dict, name: str) -> str:
    return " → ".join(f"{value:g}" for value in json.loads(row[f"curve_{name}"]))


def _reward(rows: list[dict], tried: list[dict]) -> str:
    lines = [
        ["longer wins", "0.648", "", "", "", ""],
        ["TF-IDF and length", "0.666", "", "", "", ""],
        ["plain TRL: LoRA r 16 on attention and MLP, lr 3e-4, both cores", "0.693", "3,000", "51", "270", ""],
    ]
    for row in rows:
        cost = [f"{row['rows']:,}", f"{row['minutes']:.0f}", f"{row['tokens_per_second']:.0f}", row["measured"]]
        lines.append([f"**{row['step']}**", _share(row, "accuracy"), *cost])
    told = [
        "\n## A reward model\n",
        _table(["", "accuracy on the 500 evaluation pairs", "rows", "minutes", "tokens/s", "on"], lines),
    ]
    for row in rows:
        sources = ", ".join(f"{name} {value}" for name, value in json.loads(row["by_source"]).items())
        told.append(f"By source: {sources}.")
        told.append(
            "Learning curve, the share of training pairs told rightly before they were learnt from, in eighths of the "
            f"epoch: {_curve(row, 'accuracy')}.\n"
        )
    for row in tried:
        told.append(
            f"On a split of the training rows ({row['rows']:,} rows, other prompts to validate): loss "
            f"{row['validation_loss']:.3f}, accuracy {row['accuracy']:.3f}. That model is the judge below.\n"
        )
    return "\n".join(told)


def _policies(rows: list[dict]) -> str:
    lines = [
        [
            row["step"],
            _share(row, "win_rate"),
            f"{row['reward_gain']:+.2f}",
            f"{row['kl']:.1f} ({row['kl_lower']:.1f} to {row['kl_upper']:.1f})",
            f"{row['tokens_before']:.0f} → {row['tokens_after']:.0f}",
            f"{row['cut_before']:.0%} → {row['cut_after']:.0%}",
            f"{row['rows']:,}",
            str(row["steps"]),
            f"{row['minutes']:.0f}",
            row["measured"],
        ]
        for row in rows
    ]
    head = ["", "win rate over the base", "reward", "KL, nats an answer", "tokens", "cut"]
    head += ["rows", "steps", "minutes", "on"]
    told = ["\n## Policies\n", _table(head, lines)]
    told.append(
        f"{rows[0]['prompts']} prompts. Reward: the judge's, in its own logits. KL: the mean of log π − log π_base of "
        "the tuned model's answers. Cut: answers that the limit ended. Curves, in eighths:\n"
    )
    for row in rows:
        name = "reward" if "curve_reward" in row else "loss"
        told.append(f"- {row['step']}, {name}: {_curve(row, name)}")
    return "\n".join(told)


def _sft(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        for metric in ("rouge1", "rouge2", "rougeL"):
            low, high = row[f"{metric}_gain_lower"], row[f"{metric}_gain_upper"]
            gain = row[f"{metric}_after"] - row[f"{metric}_before"]
            lines.append(
                [
                    metric,
                    f"{row[f'{metric}_before']:.1f}",
                    f"{row[f'{metric}_after']:.1f}",
                    f"{gain:+.1f} ({low:+.1f} to {high:+.1f})",
                    f"{row['rows']} rows, {row['minutes']:.0f} minutes",
                ]
            )
    told = ["\n\n## SFT on dialogues, to summarise them\n", _table(["", "before", "after", "gain", ""], lines)]
    told.append(f"{rows[0]['prompts']} test dialogues, three references each; greedy answers; {rows[0]['measured']}.")
    return "\n".join(told)


def _tries(rows: list[dict]) -> str:
    lines = [[row["step"], f"`{row['settings']}`", f"{row['peak_mb']:.0f}"] for row in rows]
    return "\n\n## Settings, of all that was tried\n\n" + _table(
        ["", "settings besides the defaults", "peak MB"], lines
    )
