"""What may be asked of a round: the recipes and settings that `training` offers, read from the file it publishes."""

import json
import math
import re
from functools import cache

from django.conf import settings as site

from feedbackhub.core.errors import DomainError

# The recipes of the contract, and the kind of dataset that each learns from.
DATASET_KIND = {
    "sft": "sft",
    "reward": "preference",
    "dpo": "preference",
    "kto": "unpaired",
    "orpo": "preference",
    "simpo": "preference",
    "grpo": "prompts",
    "rloo": "prompts",
    "ppo": "prompts",
}

# They learn from answers of their own, by a reward model, rules, or both.
ONLINE = tuple(recipe for recipe, kind in DATASET_KIND.items() if kind == "prompts")
RULES = ("rule_min_words", "rule_max_words", "rule_contains", "rule_excludes", "rule_regex")

# They need only the likelihood of answers, and so tune encoder–decoders too (training/networks/encoder_decoder.py).
ENCODER_DECODER = ("sft", "dpo", "kto", "orpo", "simpo")


@cache
def schema() -> dict:
    """Recipe → {"settings": {name: {type, default, minimum, maximum, choices, help}}}, as training publishes it."""
    return json.loads((site.BASE_DIR / "training" / "schema.json").read_text())


def recipes() -> list[str]:
    """The recipes of the contract that are there."""
    return [recipe for recipe in DATASET_KIND if recipe in schema()]


def recipe_check(recipe: str) -> None:
    if recipe not in DATASET_KIND:
        message = f'recipe "{recipe}" is none of {", ".join(DATASET_KIND)}.'
    elif recipe not in recipes():
        message = f'recipe "{recipe}" is not available in this version; these are: {", ".join(recipes())}.'
    else:
        return
    raise DomainError(message, fields={"recipe": message})


def settings_check(recipe: str, settings: object) -> dict:
    """The settings, if each is one of the recipe's and well formed; DomainError naming all that are not."""
    if not isinstance(settings, dict):
        raise DomainError("settings must be an object.", fields={"settings": "must be an object"})
    known = schema()[recipe]["settings"]
    problems = {}
    for name, value in settings.items():
        if name not in known:
            problems[f"settings.{name}"] = f'"{name}" is no setting of {recipe}; these are: {", ".join(known)}.'
        elif problem := _problem(value, known[name]):
            problems[f"settings.{name}"] = f"{name} {problem}."
    if problems:
        raise DomainError(" ".join(problems.values()), code="invalid_settings", fields=problems)
    return settings


def _problem(value: object, rule: dict) -> str:
    """What is wrong with a setting's value, or the empty text."""
    if value is None:
        return "" if rule.get("default") is None else "must have a value"
    if rule.get("choices"):
        return "" if value in rule["choices"] else f"must be one of {', '.join(map(str, rule['choices']))}"
    kind = rule["type"].split("|")[0].strip()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("bool", "boolean"):
        return "" if isinstance(value, bool) else "must be true or false"
    if kind in ("str", "string"):
        if not isinstance(value, str):
            return "must be a text"
        as_asked = "pattern" not in rule or re.fullmatch(rule["pattern"], value)
        return "" if as_asked else f"is not written as its help says ({rule['help']})"
    if not number or not math.isfinite(value):
        return "must be a number"
    if kind in ("int", "integer") and not isinstance(value, int):
        return "must be a whole number"
    if rule.get("minimum") is not None and value < rule["minimum"]:
        return f"must be at least {rule['minimum']}"
    if rule.get("maximum") is not None and value > rule["maximum"]:
        return f"must be at most {rule['maximum']}"
    return ""
