"""Every setting of every recipe: its type, default, bounds, meaning and where the default comes from.

`schema.json` is generated from these classes (`python -m training schema > training/schema.json`); the site builds its
forms from that file. A default's source is in the comment above it; "measured" refers to docs/training.md.
"""

from dataclasses import dataclass, fields
from typing import Any

from .setting import Settings, setting, type_of


def epochs(default: float) -> Any:
    return setting(default, "How often each row is seen, unless max_steps says.", minimum=0.001, maximum=1000)


def learning_rate(default: float) -> Any:
    help = "Highest learning rate; reached after the warmup, then a cosine down to zero."
    return setting(default, help, minimum=1e-9, maximum=1)


def adam_epsilon(default: float) -> Any:
    return setting(default, "Added to the root in AdamW's step.", minimum=0, maximum=1)


@dataclass(frozen=True)
class Tuning(Settings):
    """What every recipe that changes weights has."""

    recipe = "tuning"

    # LoRA: Hu et al. 2021, arXiv 2106.09685.
    method: str = setting(
        "lora",
        "lora trains a small adapter beside the frozen base, qlora beside a base of 4 or 8 bits; frozen trains the "
        "last layers, full every weight: both write a whole model.",
        choices=["lora", "qlora", "full", "frozen"],
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
    # The backward pass stops below them, and no activations are kept there: half the layers, a quarter less time.
    lora_layers: int | None = setting(
        None, "Only the last so many layers get an adapter, which is faster; empty: all.", minimum=1, maximum=10_000
    )
    # rslora: Kalajdzievski 2023, arXiv 2312.03732; dora: Liu et al. 2024, arXiv 2402.09353 (slower, a little better).
    lora_variant: str = setting(
        "lora",
        "rslora scales by alpha / √r, for high ranks; dora learns size and direction of weights apart, for low ones.",
        choices=["lora", "rslora", "dora"],
    )
    # All of them: Dettmers et al. 2023, as above; queries and values: Hu et al. 2021, section 4.2.
    lora_targets: str = setting(
        "auto",
        "Layers that get an adapter: all linear ones but the head, or those of queries and values; auto: of an "
        "encoder–decoder the latter, else all.",
        choices=["auto", "all-linear", "query-value"],
    )
    # Dettmers et al. 2023, arXiv 2305.14314: NF4 with double quantisation loses nothing that could be measured.
    quantisation: str = setting(
        "nf4",
        "Number format of the base with qlora: nf4 (4 bits) or int8.",
        choices=["nf4", "int8"],
    )
    # Lee et al. 2019, arXiv 1911.03090: a fourth of the layers reaches 90 % of what training all of them does.
    trained_layers: int = setting(
        2, "With frozen: how many of the last layers are trained; 0: only the head.", minimum=0, maximum=1000
    )
    # Costs 1.4 times the time (measured), so only where memory asks for it.
    checkpointing: str = setting(
        "auto",
        "Activations computed twice instead of kept; auto: once the memory has not sufficed.",
        choices=["auto", "on", "off"],
    )
    # As TRL's and Hugging Face's trainers take it in their LoRA recipes.
    warmup_ratio: float = setting(0.05, "Share of the steps over which the learning rate rises.", minimum=0, maximum=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay.", minimum=0, maximum=1)
    # AdamW's own, which TRL keeps too, as it does the betas 0.9 and 0.999.
    adam_epsilon: float = adam_epsilon(1e-8)
    # The usual 1.0: one bad batch cannot throw the weights far.
    max_grad_norm: float = setting(1.0, "Gradients are scaled down to this norm; 0: never.", minimum=0)
    seed: int = setting(0, "Of the rows' order, the adapter's start and dropout.", minimum=0, maximum=2**31 - 1)
    # 0 in both: four times a run, see loop.py.
    eval_every: int = setting(0, "Steps between evaluations of the validation rows; 0: four times a run.", minimum=0)
    # Prechelt 1998: stopping on a held-out loss, here with the best weights kept.
    early_stopping_patience: int = setting(
        0,
        "Evaluations without a lower validation loss after which the training stops and goes back to its best weights; "
        "0: never.",
        minimum=0,
        maximum=1000,
    )
    early_stopping_min_delta: float = setting(
        0.0, "By how much the validation loss must fall to count as lower.", minimum=0, maximum=1000
    )
    save_every: int = setting(0, "Steps between checkpoints; 0: about every three minutes.", minimum=0)
    validation_rows: int = setting(64, "Validation rows used for the curve, at most.", minimum=1)
    sample_count: int = setting(
        4, "Prompts answered before, while and after the model is trained; 0: none.", minimum=0, maximum=64
    )
    sample_every: int = setting(
        0, "Steps between answers to these prompts while the model is trained; 0: once, halfway.", minimum=0
    )
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
    # Off: batches of rows of like length have hardly any padding left (docs/training.md), and a packed step learns from
    # several times as many rows.
    packing: bool = setting(
        False,
        "Several short rows go through the model as one piece of max_length tokens, none seeing another; batch_size "
        "counts pieces.",
    )


DPO_LOSSES = [
    *("sigmoid", "sigmoid_norm", "ipo", "robust", "hinge"),
    *("apo_zero", "apo_down", "sppo_hard", "bco_pair", "sft"),
]


@dataclass(frozen=True)
class DpoSettings(Tuning):
    """Direct preference optimisation on pairs."""

    recipe = "dpo"

    learning_rate: float = learning_rate(2e-4)
    # Rafailov et al. 2023, arXiv 2305.18290, section 6.
    beta: float = setting(
        0.1, "How strongly the policy is held to its parent; smaller moves farther.", minimum=1e-4, maximum=100
    )
    # Names as in TRL; the equations stand in recipes/dpo.py.
    loss: str = setting(
        "sigmoid",
        "sigmoid is DPO's own; ipo stops at a margin and overfits less; robust allows for wrong votes; sigmoid_norm "
        "for length; apo_zero lifts the chosen answers, apo_down is for answers worse than the model's own; sppo_hard "
        "aims at fixed rewards.",
        choices=DPO_LOSSES,
    )
    loss_mixture: str | None = setting(
        None,
        "Several losses instead of one, each with its weight, such as sigmoid 0.8 + bco_pair 0.2 + sft 1.",
        pattern=r"\s*{0}(\s*\+\s*{0})*\s*".format(rf"({'|'.join(DPO_LOSSES)})\s+\d+(\.\d+)?"),
    )
    # Chowdhury et al. 2024, arXiv 2403.00409: the share of flipped labels; TRL names 0.1 as typical.
    label_smoothing: float = setting(
        0.1, "With robust: the share of votes that are taken to be wrong.", minimum=0, maximum=0.49
    )
    # Amini et al. 2024 (ODPO), arXiv 2402.10571; 0 is plain DPO.
    margin: float = setting(
        0.0,
        "With sigmoid: by how much the rewards must differ at least, times the row's margin (1: unanimous).",
        minimum=0,
        maximum=100,
    )


@dataclass(frozen=True)
class OrpoSettings(Tuning):
    """Odds ratio preference optimisation on pairs, without a reference."""

    recipe = "orpo"

    learning_rate: float = learning_rate(2e-4)
    # Hong et al. 2024, arXiv 2403.07691, section 6 and appendix: λ 0.1 for most models, 0.2 to 1 pulls harder.
    beta: float = setting(
        0.1, "Weight of the odds ratio (the paper's λ) beside learning the chosen answers.", minimum=0, maximum=100
    )


@dataclass(frozen=True)
class SimpoSettings(Tuning):
    """Simple preference optimisation on pairs: a reward by length, without a reference."""

    recipe = "simpo"

    learning_rate: float = learning_rate(2e-4)
    # Meng et al. 2024, arXiv 2405.14734, section 3: β 2.0 to 2.5, γ / β about a half.
    beta: float = setting(2.0, "Scale of an answer's mean log-probability as its reward.", minimum=1e-4, maximum=1000)
    gamma: float = setting(
        1.0, "Target margin: by how much the rewards of chosen and rejected are to differ.", minimum=0, maximum=100
    )
    # CPO's behaviour cloning term (Xu et al. 2024, arXiv 2401.08417), `cpo_alpha` in TRL; 0 is SimPO as published.
    sft_weight: float = setting(
        0.0,
        "Weight of learning the chosen answers beside; keeps their likelihood from falling.",
        minimum=0,
        maximum=100,
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
        "lora trains a small adapter and the heads, qlora beside a base of 4 or 8 bits; frozen only the heads, "
        "on the base as it is; full every weight, and writes a whole model.",
        choices=["lora", "qlora", "full", "frozen"],
    )
    trained_layers: int = setting(
        0, "With frozen: how many of the last layers are trained; 0: only the heads.", minimum=0, maximum=1000
    )
    # A 135M model; FACTS of the field for LoRA: 1e-4 to 1e-3.
    learning_rate: float = learning_rate(3e-4)
    # Eisenstein et al. 2023, arXiv 2312.09244; TRL recommends 0.01.
    centering: float = setting(0.01, "Weight of the term that keeps rewards around zero.", minimum=0, maximum=10)
    # Touvron et al. 2023, arXiv 2307.09288, section 3.2.2: helps where raters are sure; 0 asks for none.
    margin: float = setting(
        0.0, "By how much rewards must differ at least, times the row's margin (1: unanimous).", minimum=0, maximum=100
    )
    balance: str = setting(
        "answers",
        "answers: no answer counts twice for being compared twice, as in rankings; pairs: each pair counts once.",
        choices=["answers", "pairs"],
    )
    # Ouyang et al. 2022, arXiv 2203.02155, section 3.5, take pairs. Zhu et al. 2023, arXiv 2301.11270: both come to the
    # truth, the likelihood of whole rankings with fewer of them.
    ranking_loss: str = setting(
        "pairs",
        "What a ranking of more than two answers is: all its pairs, or (plackett_luce) a choice of the best among "
        "what is left, again and again.",
        choices=["pairs", "plackett_luce"],
    )
    prompt_sharing: str = setting(
        "rows",
        "What goes through the model in one piece, the prompt computed once: rows, the answers of a pair or a ranking; "
        "prompts, those of all pairs and rankings of one prompt. batch_size counts such pieces.",
        choices=["rows", "prompts"],
    )
    # Coste et al. 2024, arXiv 2310.02743: four or five members show most of the spread.
    heads: int = setting(
        4, "Heads, each on a bootstrap of the pairs: their spread is the uncertainty.", minimum=1, maximum=64
    )


@dataclass(frozen=True)
class Online(Tuning):
    """What the recipes have that learn from answers of their own."""

    recipe = "online"

    # A 135M model; larger ones want a tenth of it (TRL's examples for LoRA: 1e-5).
    learning_rate: float = learning_rate(1e-4)
    gradient_accumulation: int = setting(8, "Batches summed into one step.", minimum=1, maximum=1024)
    max_new_tokens: int = setting(128, "Tokens of an answer at most.", minimum=1, maximum=32768)
    # The log-probabilities are taken at the same temperature, else the ratios are of another policy.
    temperature: float = setting(1.0, "Of the sampling; 1 is the model's own.", minimum=0.01, maximum=5)
    rollout_prompts: int = setting(4, "Prompts answered between two looks at the rewards.", minimum=1, maximum=65536)
    num_generations: int = setting(8, "Answers to each prompt.", minimum=1, maximum=1024)
    rollout_batch_size: int = setting(32, "Answers written or scored at once.", minimum=1, maximum=1024)
    rollout_engine: str = setting(
        "own",
        "What writes the answers: our own decoder, or vllm, where that package is installed; vllm wants method lora.",
        choices=["own", "vllm"],
    )
    # TRL's vllm_gpu_memory_utilization beside a training on the same device.
    vllm_memory: float = setting(
        0.3,
        "Share of the device's memory, a GPU's or else the machine's, that vllm takes.",
        minimum=0.001,
        maximum=0.95,
    )
    update_epochs: int = setting(1, "How often a rollout's answers are learnt from.", minimum=1, maximum=100)
    # Schulman et al. 2017, arXiv 1707.06347, table 3.
    epsilon: float = setting(
        0.2, "How far the ratio of new to old probability may leave 1 before it stops paying.", minimum=0.001, maximum=1
    )
    beta: float = setting(0.05, "Price of a nat of divergence from the parent; 0: none.", minimum=0, maximum=100)
    # Huang et al. 2024, arXiv 2403.17031: the EOS trick.
    missing_eos_penalty: float = setting(
        1.0, "Taken from the reward of an answer that did not end by itself.", minimum=0, maximum=1000
    )
    max_kl: float = setting(
        2.0, "Stop when the divergence from the parent exceeds this, in nats a token; 0: never.", minimum=0
    )
    # Length and doubt are signs that may mislead (a rule may want longer answers); a second opinion is evidence.
    on_hacking: str = setting(
        "audit",
        "What is done when the reward rises by what it is not meant for. warn: it is told; audit: the training stops "
        "and goes back to its best weights when a second reward model likes the answers less; any: it also stops when "
        "answers grow by half, or the reward model's heads come to differ.",
        choices=["warn", "audit", "any"],
    )
    reward_weight: float = setting(1.0, "What the reward model counts.", minimum=-1000, maximum=1000)
    rule_weight: float = setting(1.0, "What the rules count: their mean, from 0 to 1.", minimum=-1000, maximum=1000)
    rule_min_words: int | None = setting(None, "Rule: at least so many words; fewer count in part.", minimum=1)
    rule_max_words: int | None = setting(None, "Rule: at most so many words; more count in part.", minimum=1)
    rule_contains: str | None = setting(None, "Rule: these phrases must occur, separated by semicolons.")
    rule_excludes: str | None = setting(None, "Rule: these phrases must not occur, separated by semicolons.")
    rule_regex: str | None = setting(None, "Rule: this regular expression (Python's) must be found.")


@dataclass(frozen=True)
class GrpoSettings(Online):
    """Group relative policy optimisation: answers against others to the same prompt."""

    recipe = "grpo"

    num_generations: int = setting(8, "Answers to each prompt; they are each other's measure.", minimum=2, maximum=1024)
    # Shao et al. 2024, arXiv 2402.03300, section 4.2.
    beta: float = setting(0.04, "Price of a nat of divergence from the parent; 0: none.", minimum=0, maximum=100)
    # grpo: Shao et al., equation 3; dapo: Yu et al. 2025, arXiv 2503.14476, equation 8; dr_grpo: Liu et al. 2025,
    # arXiv 2503.20783, section 3.2. dapo as in TRL: a token of a long answer counts as much as one of a short one.
    loss: str = setting(
        "dapo",
        "What counts alike: dapo each token, grpo each answer, dr_grpo each token out of max_new_tokens.",
        choices=["dapo", "grpo", "dr_grpo"],
    )
    # none: Liu et al. 2025: the division favours prompts that are too easy or too hard.
    scale_rewards: str = setting(
        "group",
        "Rewards are divided by the standard deviation of the prompt's answers, of all answers, or not.",
        choices=["group", "batch", "none"],
    )


@dataclass(frozen=True)
class RlooSettings(Online):
    """REINFORCE with a leave-one-out baseline: each answer against the mean of the others to its prompt."""

    recipe = "rloo"

    rollout_prompts: int = setting(8, "Prompts answered between two looks at the rewards.", minimum=1, maximum=65536)
    # Ahmadian et al. 2024, arXiv 2402.14740, try 2 and 4: 4 does better.
    num_generations: int = setting(4, "Answers to each prompt; they are each other's measure.", minimum=2, maximum=1024)


@dataclass(frozen=True)
class PpoSettings(Online):
    """Proximal policy optimisation with a critic, on one copy of the base."""

    recipe = "ppo"

    rollout_prompts: int = setting(32, "Prompts answered between two looks at the rewards.", minimum=1, maximum=65536)
    num_generations: int = setting(1, "Answers to each prompt.", minimum=1, maximum=1024)
    # Ouyang et al. 2022, arXiv 2203.02155, appendix C.4, and TRL's PPO: 4 epochs, λ 0.95, γ 1, value loss 0.1.
    update_epochs: int = setting(4, "How often a rollout's answers are learnt from.", minimum=1, maximum=100)
    gamma: float = setting(1.0, "What a later reward is worth, a token.", minimum=0, maximum=1)
    gae_lambda: float = setting(
        0.95, "Advantages: 0 trusts the critic alone, 1 the rewards alone.", minimum=0, maximum=1
    )
    value_coefficient: float = setting(0.1, "Weight of the critic's loss.", minimum=0, maximum=100)
    value_clip: float = setting(
        0.2, "How far the critic's value may leave its old one before it stops paying.", minimum=0.001, maximum=1000
    )
    # Huang et al. 2024, arXiv 2403.17031, and Ouyang et al. 2022: a reward is 0 for the parent, so that the critic,
    # which begins at 0, begins in the middle.
    normalise_rewards: bool = setting(
        True, "Scores count in standard deviations from the mean of those that the parent's own answers got."
    )
    # Huang et al. 2022, "The 37 implementation details of PPO", 3.
    adam_epsilon: float = adam_epsilon(1e-5)
    whiten_rewards: bool = setting(False, "Rewards are divided by their standard deviation over a rollout's tokens.")
    # Ziegler et al. 2019, arXiv 1909.08593, section 2.2: a target of 6 nats an answer and more.
    kl_target: float | None = setting(
        None, "Divergence in nats an answer that beta is steered to; empty: beta stays as it is.", minimum=0.001
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
    samples: int = setting(1, "answers, task: answers to each question, each with a seed.", minimum=1, maximum=200)
    max_new_tokens: int = setting(256, "answers, task: tokens of an answer at most.", minimum=1, maximum=32768)
    temperature: float = setting(0.0, "answers, task: 0 is greedy (task: as the task says).", minimum=0, maximum=5)
    top_p: float = setting(1.0, "answers: sample from the likeliest tokens of this share.", minimum=1e-6, maximum=1)
    repetition_penalty: float = setting(1.0, "answers: above 1 makes used tokens rarer.", minimum=0.1, maximum=10)
    system: str | None = setting(None, "answers: system prompt for every row without its own.")
    # Chen et al. 2021, human-eval: 3 s on a machine that does nothing else.
    code_seconds: float = setting(
        10.0, "task: seconds that a program that a model wrote may take.", minimum=0.5, maximum=600
    )
    batch_size: int = setting(8, "Rows that go through the model at once.", minimum=1, maximum=1024)
    max_length: int = setting(2048, "Tokens of a row at most; a longer prompt loses its beginning.", minimum=16)
    seed: int = setting(0, "Of the resampling.", minimum=0, maximum=2**31 - 1)
    precision: str = setting("auto", "Number format of the weights at work.", choices=["auto", "bf16", "fp32"])


@dataclass(frozen=True)
class EstimateSettings(Settings):
    """What another run would take, measured on a few of its micro-batches."""

    recipe = "estimate"

    # Half a minute gives five micro-batches or more of the embedded model on two CPU cores (measured: docs/rounds.md).
    seconds: float = setting(30.0, "Seconds spent on measuring, at least two micro-batches.", minimum=0, maximum=3600)


@dataclass(frozen=True)
class WeightsSettings(Settings):
    """The shape of a model's weight matrices, by the power laws of their spectra."""

    recipe = "weights"

    # Twelve of each of a Llama layer's seven kinds: half a minute for the embedded model on a CPU core (measured); a
    # decomposition grows with the width cubed.
    matrices: int = setting(84, "Weight matrices to look at, at most, spread evenly.", minimum=1, maximum=100_000)


@dataclass(frozen=True)
class ChatSettings(Settings):
    """Models that stay loaded and answer as they are asked."""

    recipe = "chat"

    idle_seconds: float = setting(300.0, "It ends when nobody has asked for so long.", minimum=0, maximum=86400)
    precision: str = setting("auto", "Number format of the weights at work.", choices=["auto", "bf16", "fp32"])


@dataclass(frozen=True)
class ExportSettings(Settings):
    """A tuned model in one piece, for other programs."""

    recipe = "export"

    format: str = setting(
        "merged",
        "merged: base and adapter as one folder of safetensors; gguf: one file for llama.cpp and what is built on it.",
        choices=["merged", "gguf"],
    )


RECIPES: dict[str, type[Settings]] = {
    kind.recipe: kind
    for kind in (
        *(SftSettings, RewardSettings, DpoSettings, KtoSettings, OrpoSettings, SimpoSettings),
        *(GrpoSettings, RlooSettings, PpoSettings),
        *(GenerateSettings, ScoreSettings, EvaluateSettings),
        *(EstimateSettings, WeightsSettings, ChatSettings, ExportSettings),
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
                    **({"pattern": rule.metadata["pattern"]} if rule.metadata["pattern"] else {}),
                }
                for rule in fields(kind)
            },
        }
        for recipe, kind in RECIPES.items()
    }
