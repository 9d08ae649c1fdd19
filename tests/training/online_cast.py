"""Prompts with a known optimum, roles on a tiny base, and a rollout made by hand."""

import torch
from training_cast import WORDS, user

from training.data import ChatTokens, Example, Question
from training.loop.tuning import Prepared
from training.models import Base, attach_lora, load_base, load_tokenizer
from training.online.judge import Judge
from training.online.roles import Roles
from training.online.rollout import Rollout

# Any answer with the word `good` in it that ends by itself is worth 1, any other less.
LEARN = {
    "precision": "fp32",
    "learning_rate": 0.01,
    "batch_size": 32,
    "gradient_accumulation": 1,
    "max_new_tokens": 6,
    "rule_contains": "good",
    "beta": 0.0,
    "max_kl": 0,
}


def prompt_rows(count: int = 16) -> list[dict]:
    return [{"prompt": [user(f"what is {word} ?")]} for word in WORDS[:count]]


def prepared(folder, settings) -> Prepared:
    """A base with a fresh LoRA, held in 4 bits with qlora; or to be trained whole."""
    whole, place = settings.method == "full", str(folder)
    model = load_base(place, settings.precision, settings.quantisation if settings.method == "qlora" else None)
    model = model if whole else attach_lora(model, settings)
    return Prepared(Base(place), place, model, load_tokenizer(place), [], [], {}, whole)


def moved(roles: Roles, seed: int = 5) -> Roles:
    """Everything that is trained, somewhere else: policy and reference differ, and the critic says something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in roles.trained:
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator).to(weight.dtype))
    return roles


def objective_of(kind, folder, settings, run=None):
    """(objective, roles) of a recipe with one rule."""
    ready = prepared(folder, settings)
    roles = Roles(ready, settings, critic=kind.has_critic)
    tokens = ChatTokens(ready.tokenizer, "tiny")
    prompts = [Question(row["prompt"], tokens.prompt(row["prompt"]), n) for n, row in enumerate(prompt_rows(4))]
    return kind(run, ready, prompts, Judge(roles, settings, [lambda text: float("good" in text)]), settings), roles


def by_hand(objective, roles, answers: list[list[int]]) -> Rollout:
    """A rollout of these answers (tokens) to the prompts in turn, with old and reference log-probabilities made up."""
    rows = [number * len(objective.prompts) // len(answers) for number in range(len(answers))]
    examples = [Example(objective.prompts[row].prompt, answer, None) for row, answer in zip(rows, answers)]
    rollout = Rollout(0, rows, examples, [answer[-1] == 1 for answer in answers])
    objective.compare(roles, rollout, lambda: None)
    noise = torch.Generator().manual_seed(3)
    for name in ("old", "reference"):
        rollout.of_tokens[name] += 0.3 * torch.randn(rollout.of_tokens[name].shape, generator=noise)
    objective.rollout = rollout
    return rollout
