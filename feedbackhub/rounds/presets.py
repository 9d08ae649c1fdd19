"""Starting settings for the form: quick, balanced, thorough, each with its reason. The balanced ones are the defaults.

A preset names only what differs from the defaults (training/config.py, with their sources), and of that only what the
recipe knows: new recipes have presets at once.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .recipes import schema

NAMES = ("quick", "balanced", "thorough")


@dataclass(frozen=True)
class Preset:
    name: str
    label: str | Promise
    reason: str | Promise
    settings: dict


LABELS = {"quick": _("Quick"), "balanced": _("Balanced"), "thorough": _("Thorough")}
QUICK = {"max_steps": 60, "lora_r": 8, "lora_alpha": 16, "validation_rows": 32, "sample_count": 2}
# What more of the same rows needs: a rate that is not too high for the second time, and room to learn.
THOROUGH = {
    "sft": {"epochs": 3.0, "learning_rate": 5e-4, "lora_r": 32, "lora_alpha": 64, "validation_rows": 256},
    "reward": {"epochs": 2.0, "learning_rate": 2e-4, "heads": 5, "validation_rows": 512},
    "dpo": {"epochs": 2.0, "learning_rate": 1e-4, "lora_r": 32, "lora_alpha": 64, "validation_rows": 256},
    "kto": {"epochs": 2.0, "learning_rate": 1e-4, "lora_r": 32, "lora_alpha": 64, "validation_rows": 256},
}
THOROUGH_ONLINE = {"epochs": 2.0, "num_generations": 8, "validation_rows": 128}
REASONS = {
    "quick": _("60 steps of a small adapter: minutes, and it shows whether rows and settings work. Not a result."),
    "balanced": _("The defaults: each chosen from a paper or measured, as the help beside it says."),
}
THOROUGH_REASONS = {
    "sft": _("Three epochs at half the rate with twice the rank: demonstrations bear repetition."),
    "reward": _("Two epochs at two thirds of the rate, five heads: a steadier uncertainty, a longer validation."),
    "dpo": _("Two epochs at half the rate: preferences are over-learnt quickly, so each step moves less."),
    "kto": _("Two epochs at half the rate: thumbs are over-learnt quickly, so each step moves less."),
}
THOROUGH_ONLINE_REASON = _("Twice the prompts and more answers to each: less noise in what a step learns from.")


def presets(recipe: str) -> list[Preset]:
    """The recipe's presets, in order."""
    known = schema()[recipe]["settings"]
    online = "num_generations" in known
    thorough = THOROUGH.get(recipe) or (THOROUGH_ONLINE if online else THOROUGH["dpo"])
    reason = THOROUGH_REASONS.get(recipe) or (THOROUGH_ONLINE_REASON if online else THOROUGH_REASONS["dpo"])
    settings = {"quick": QUICK, "balanced": {}, "thorough": thorough}
    reasons = {**REASONS, "thorough": reason}
    return [Preset(name, LABELS[name], reasons[name], _fitting(known, settings[name])) for name in NAMES]


def preset_get(recipe: str, name: str | None) -> Preset:
    """The preset of this name, else the balanced one."""
    return next((one for one in presets(recipe) if one.name == name), presets(recipe)[1])


def _fitting(known: dict, settings: dict) -> dict:
    """Those settings that the recipe has, within its bounds and unlike its defaults."""
    fitting = {}
    for name, value in settings.items():
        rule = known.get(name)
        if rule is None or value == rule["default"]:
            continue
        low, high = rule.get("minimum"), rule.get("maximum")
        if (low is None or value >= low) and (high is None or value <= high):
            fitting[name] = value
    return fitting
