"""What a run can be: each recipe's settings, and the function that does it."""

from collections.abc import Callable
from importlib import import_module

from .config import RECIPES
from .errors import TrainingError
from .networks.reading import encoder_check
from .setting import Settings

BY_AN_ENDPOINT = "generate by an endpoint"  # no recipe of its own: generate, where the model is another's
WHERE = {
    "sft": "recipes.sft:sft",
    "reward": "recipes.reward:reward",
    "dpo": "recipes.dpo:dpo",
    "kto": "recipes.kto:kto",
    "orpo": "recipes.orpo:orpo",
    "simpo": "recipes.simpo:simpo",
    "grpo": "recipes.grpo:grpo",
    "rloo": "recipes.rloo:rloo",
    "ppo": "recipes.ppo:ppo",
    "generate": "generate:generate",
    BY_AN_ENDPOINT: "endpoint_answers:generate",
    "score": "score:score",
    "evaluate": "evaluate:evaluate",
    "weights": "suites.spectra:weights",
    "estimate": "estimate:estimate",
    "export": "export:export",
    "chat": "chat:chat",
}


def settings_of(spec: dict) -> tuple[Settings, dict]:
    """The recipe's checked settings and the run's description. Raises TrainingError."""
    recipe = spec.get("recipe")
    if recipe not in RECIPES:
        message = f'run.json: recipe "{recipe}" is not available; these are: {", ".join(RECIPES)}.'
        raise TrainingError("unknown_recipe", message)
    given = spec.get("settings", {})
    if "seed" in spec and isinstance(given, dict):
        given = {"seed": spec["seed"], **given}
    settings = RECIPES[recipe].from_dict(given)
    encoder_check(recipe, spec)
    if not isinstance(spec.get("data", {}), dict):
        raise TrainingError("bad_run", "run.json: data must be an object of file names, such as data/train.jsonl.")
    return settings, spec


def function_of(recipe: str) -> Callable:
    """(run, spec, settings) → what result.json is to say. Imported only when asked for: its libraries take seconds."""
    module, name = WHERE[recipe].split(":")
    return getattr(import_module(f"{__package__}.{module}"), name)
