"""Every setting of every recipe: its type, default, bounds, meaning and where the default comes from.

`schema.json` is generated from these classes (`python -m training schema > training/schema.json`); the site builds its
forms from that file. A default's source is in the comment above it; "measured" refers to docs/training.md.
"""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, get_args

from .errors import TrainingError


def setting(default: Any, help: str, *, minimum=None, maximum=None, choices=None) -> Any:
    """A field of a settings class; the bounds are inclusive."""
    rule = {"help": help, "minimum": minimum, "maximum": maximum, "choices": choices}
    return field(default=default, metadata=rule)


def epochs(default: float) -> Any:
    return setting(default, "How often each row is seen, unless max_steps says.", minimum=0.001, maximum=1000)


def learning_rate(default: float) -> Any:
    help = "Highest learning rate; reached after the warmup, then a cosine down to zero."
    return setting(default, help, minimum=1e-9, maximum=1)


@dataclass(frozen=True)
class Settings:
    """What all settings classes can do."""

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Settings with these values and defaults for the rest.

        Raises TrainingError (`bad_setting`) naming every unknown name and bad value, and what would do.
        """
        if not isinstance(values, dict):
            raise TrainingError("bad_setting", f"run.json: settings must be an object, not {values!r}.")
        rules = {rule.name: rule for rule in fields(cls)}
        problems = []
        for name, value in values.items():
            if name not in rules:
                problems.append(f'"{name}" is no setting of {cls.recipe}; these are: {", ".join(rules)}')
            elif problem := problem_with(value, rules[name]):
                problems.append(f"{name} {problem}; it is {value!r}")
        if problems:
            raise TrainingError("bad_setting", f"run.json, settings: {'. '.join(problems)}.")
        return cls(**values)

    def as_dict(self) -> dict:
        return asdict(self)


def type_of(rule) -> tuple[type, bool]:
    """(type, may be None) of a settings field."""
    kinds = get_args(rule.type) or (rule.type,)
    return kinds[0], type(None) in kinds


def problem_with(value: object, rule) -> str:
    """What is wrong with a field's value, or the empty text."""
    kind, optional = type_of(rule)
    bounds = rule.metadata
    if value is None:
        return "" if optional else "must have a value"
    if kind is str:
        if not isinstance(value, str):
            return "must be a text"
        if bounds["choices"] and value not in bounds["choices"]:
            later = LATER.get((rule.name, value))
            return later or f"must be one of {', '.join(bounds['choices'])}"
        return ""
    number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return "must be a whole number" if kind is int else "must be a number"
    low, high = bounds["minimum"], bounds["maximum"]
    if low is not None and value < low:
        return f"must be at least {low}"
    if high is not None and value > high:
        return f"must be at most {high}"
    return ""


LATER = {
    ("method", "qlora"): "qlora is not available in this version; use lora",
    ("method", "frozen"): "frozen is not available in this version; use lora or full",
}


@dataclass(frozen=True)
class Tuning(Settings):
    """What every recipe that changes weights has."""

    recipe = "tuning"

    # LoRA: Hu et al. 2021, arXiv 2106.09685.
    method: str = setting(
        "lora",
        "lora trains a small adapter beside the frozen base; full trains every weight and writes a whole model.",
        choices=["lora", "full"],
    )
    # None: what epochs come to.
    max_steps: int | None = setting(None, "Optimiser steps; empty: as many as the epochs need.", minimum=1)
    epochs: float = epochs(1.0)
    learning_rate: float = learning_rate(5e-4)
    # 8 rows a step, 4 at once: of 1 to 16 the fastest on two CPU cores, and a third of the memory of 16 (measured).
    batch_size: int = setting(4, "Rows that go through the model at once.", minimum=1, maximum=1024)
    gradient_accumulation: int = setting(2, "Batches summed into one step.", minimum=1, maximum=1024)
    # Dialogues and preference pairs of everyday length fit; longer prompts lose their beginning.
    max_length: int = setting(
        1024, "Tokens of a row at most; a longer prompt loses its beginning, a longer answer its row.", minimum=16
    )
    # r 16, alpha 2r on all linear layers: Dettmers et al. 2023 (QLoRA, arXiv 2305.14314), section 4.
    lora_r: int = setting(16, "Rank of the adapter.", minimum=1, maximum=512)
    lora_alpha: float = setting(32, "The adapter's output is scaled by alpha / r.", minimum=0.01, maximum=4096)
    # Small adapters on a few steps do not overfit by capacity; dropout also costs time on a CPU.
    lora_dropout: float = setting(0.0, "Share of the adapter's inputs dropped while training.", minimum=0, maximum=0.9)
    # As TRL's and Hugging Face's trainers take it in their LoRA recipes.
    warmup_ratio: float = setting(0.05, "Share of the steps over which the learning rate rises.", minimum=0, maximum=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay.", minimum=0, maximum=1)
    # The usual 1.0: one bad batch cannot throw the weights far.
    max_grad_norm: float = setting(1.0, "Gradients are scaled down to this norm; 0: never.", minimum=0)
    seed: int = setting(0, "Of the rows' order, the adapter's start and dropout.", minimum=0, maximum=2**31 - 1)
    # 0 in both: four times a run, see loop.py.
    eval_every: int = setting(0, "Steps between evaluations of the validation rows; 0: four times a run.", minimum=0)
    save_every: int = setting(0, "Steps between checkpoints; 0: about every three minutes.", minimum=0)
    validation_rows: int = setting(64, "Validation rows used for the curve, at most.", minimum=1)
    sample_count: int = setting(4, "Prompts answered before and after the training; 0: none.", minimum=0, maximum=64)
    precision: str = setting(
        "auto",
        "Number format of the weights at work; auto: bf16 where the processor computes in it, else fp32.",
        choices=["auto", "bf16", "fp32"],
    )


@dataclass(frozen=True)
class SftSettings(Tuning):
    """Supervised fine-tuning on answers."""

    recipe = "sft"

    epochs: float = epochs(2.0)
    learning_rate: float = learning_rate(1e-3)


@dataclass(frozen=True)
class DpoSettings(Tuning):
    """Direct preference optimisation on pairs."""

    recipe = "dpo"

    learning_rate: float = learning_rate(2e-4)
    # Rafailov et al. 2023, arXiv 2305.18290, section 6.
    beta: float = setting(
        0.1, "How strongly the policy is held to its parent; smaller moves farther.", minimum=1e-4, maximum=100
    )
    # sigmoid: Rafailov et al. 2023, equation 7; ipo: Azar et al. 2023, arXiv 2310.12036, equation 17.
    loss: str = setting(
        "sigmoid", "sigmoid is DPO's own; ipo stops at a margin and overfits less.", choices=["sigmoid", "ipo"]
    )


@dataclass(frozen=True)
class KtoSettings(Tuning):
    """Kahneman–Tversky optimisation on thumbs."""

    recipe = "kto"

    # As DPO's: both move an adapter by the same implicit reward.
    learning_rate: float = learning_rate(2e-4)
    # Ethayarajh et al. 2024, arXiv 2402.01306, section 4.3: 0.1 does best on most models.
    beta: float = setting(
        0.1, "How strongly the policy is held to its parent; smaller moves farther.", minimum=1e-4, maximum=100
    )
    # Ibid., equation 9: weight × rows of the good over weight × rows of the bad within 1 and 4/3.
    good_weight: float = setting(1.0, "How much a good answer counts.", minimum=0, maximum=1000)
    bad_weight: float = setting(1.0, "How much a bad answer counts.", minimum=0, maximum=1000)


@dataclass(frozen=True)
class RewardSettings(Tuning):
    """A reward model on pairs."""

    recipe = "reward"

    method: str = setting(
        "lora",
        "lora trains a small adapter and the heads; frozen only the heads, on the base as it is.",
        choices=["lora", "frozen"],
    )
    # A 135M model; FACTS of the field for LoRA: 1e-4 to 1e-3.
    learning_rate: float = learning_rate(3e-4)
    # Eisenstein et al. 2023, arXiv 2312.09244; TRL recommends 0.01.
    centering: float = setting(0.01, "Weight of the term that keeps rewards around zero.", minimum=0, maximum=10)
    # Touvron et al. 2023, arXiv 2307.09288, section 3.2.2: helps where raters are sure; 0 asks for none.
    margin: float = setting(
        0.0, "By how much rewards must differ at least, times the row's margin (1: unanimous).", minimum=0, maximum=100
    )
    # Coste et al. 2024, arXiv 2310.02743: four or five members show most of the spread.
    heads: int = setting(
        4, "Heads, each on a bootstrap of the pairs: their spread is the uncertainty.", minimum=1, maximum=64
    )


@dataclass(frozen=True)
class ScoreSettings(Settings):
    """A reward model's opinion of answers."""

    recipe = "score"

    batch_size: int = setting(8, "Answers that go through the model at once.", minimum=1, maximum=1024)
    max_length: int = setting(2048, "Tokens of a row at most; a longer prompt loses its beginning.", minimum=16)
    precision: str = setting("auto", "Number format of the weights at work.", choices=["auto", "bf16", "fp32"])


@dataclass(frozen=True)
class GenerateSettings(Settings):
    """Answers to prompts."""

    recipe = "generate"

    max_new_tokens: int = setting(256, "Tokens of an answer at most.", minimum=1, maximum=32768)
    # Greedy is the reproducible choice; sampling is asked for.
    temperature: float = setting(
        0.0, "0 is greedy; 1 samples from the model's own probabilities.", minimum=0, maximum=5
    )
    top_p: float = setting(
        1.0, "Sample from the likeliest tokens that hold this share of the probability.", minimum=1e-6, maximum=1
    )
    repetition_penalty: float = setting(
        1.0, "Above 1 makes tokens that have occurred less likely (Keskar et al. 2019, CTRL).", minimum=0.1, maximum=10
    )
    n: int = setting(1, "Answers to each prompt, unless its row says.", minimum=1, maximum=100)
    # Decoding reads all weights for each token, whatever the batch: 16 rows cost little more than one.
    batch_size: int = setting(16, "Prompts answered at once.", minimum=1, maximum=1024)
    system: str | None = setting(None, "System prompt for every row without its own; empty: the chat template's.")
    seed: int = setting(0, "Of the sampling.", minimum=0, maximum=2**63 - 1)
    precision: str = setting("auto", "Number format of the weights at work.", choices=["auto", "bf16", "fp32"])


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Measurements."""

    recipe = "evaluate"

    suite: str = setting(
        "text-overlap",
        "text-overlap and answer-match compare given answers with references; the others ask a model.",
        choices=[
            *("text-overlap", "answer-match", "perplexity", "preference-accuracy", "forgetting"),
            *("task", "reward", "answers"),
        ],
    )
    # What papers on summaries with several references report.
    references: str = setting(
        "best", "With several references: ROUGE of the best one, or of the first only.", choices=["best", "first"]
    )
    # Efron & Tibshirani 1993: a thousand for percentile intervals.
    resamples: int = setting(1000, "Bootstrap resamples for the 95 % intervals.", minimum=100, maximum=100_000)
    # task: few-shot examples, in lm-evaluation-harness's order "first_n".
    num_fewshot: int | None = setting(None, "task: examples before each question; empty: as the task says.", minimum=0)
    # answers: how the model writes; each of several answers has a random stream of its own.
    samples: int = setting(1, "answers: how many answers to each question, each with a seed.", minimum=1, maximum=20)
    max_new_tokens: int = setting(256, "answers, task: tokens of an answer at most.", minimum=1, maximum=32768)
    temperature: float = setting(0.0, "answers: 0 is greedy.", minimum=0, maximum=5)
    top_p: float = setting(1.0, "answers: sample from the likeliest tokens of this share.", minimum=1e-6, maximum=1)
    repetition_penalty: float = setting(1.0, "answers: above 1 makes used tokens rarer.", minimum=0.1, maximum=10)
    system: str | None = setting(None, "answers: system prompt for every row without its own.")
    batch_size: int = setting(8, "Rows that go through the model at once.", minimum=1, maximum=1024)
    max_length: int = setting(2048, "Tokens of a row at most; a longer prompt loses its beginning.", minimum=16)
    seed: int = setting(0, "Of the resampling.", minimum=0, maximum=2**31 - 1)
    precision: str = setting("auto", "Number format of the weights at work.", choices=["auto", "bf16", "fp32"])


RECIPES: dict[str, type[Settings]] = {
    kind.recipe: kind
    for kind in (
        *(SftSettings, RewardSettings, DpoSettings, KtoSettings),
        *(GenerateSettings, ScoreSettings, EvaluateSettings),
    )
}


def schema() -> dict:
    """{recipe: {"help", "settings": {name: {type, default, minimum, maximum, choices, help}}}} of all recipes."""
    return {
        recipe: {
            "help": kind.__doc__,
            "settings": {
                rule.name: {
                    "type": type_of(rule)[0].__name__ + (" | null" if type_of(rule)[1] else ""),
                    "default": rule.default,
                    **{name: rule.metadata[name] for name in ("minimum", "maximum", "choices", "help")},
                }
                for rule in fields(kind)
            },
        }
        for recipe, kind in RECIPES.items()
    }
