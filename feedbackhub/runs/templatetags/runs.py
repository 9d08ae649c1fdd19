"""What the fragments in templates/runs/ need: durations in words, curves as charts."""

from django import template
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import selectors
from ..models import ACTIVE, Run

register = template.Library()

# Metric → its title, and what it is in a recipe ("" for every other).
TITLES = {
    "loss": (
        _("Loss"),
        {"": _("What the training lowers; the validation curve is on rows that it does not learn from.")},
    ),
    "accuracy": (
        _("Accuracy"),
        {
            "sft": _("Share of the answers' tokens that the model finds likeliest."),
            "kto": _("Share of answers that became likelier if good, less likely if bad."),
            "": _("Share of pairs in which the chosen answer has the higher reward."),
        },
    ),
    "margin": (
        _("Reward margin"),
        {
            "kto": _("Mean reward of good answers and of bad ones with its sign turned."),
            "": _("Reward of the chosen answer minus that of the rejected one."),
        },
    ),
    "reward": (_("Reward"), {"": _("Mean score of the answers that the model writes as it learns.")}),
    "audit": (
        _("Audit"),
        {"": _("What a second reward model thinks, by which the model is not paid; the reward should not rise alone.")},
    ),
    "answer_tokens": (
        _("Length of answers"),
        {"": _("In tokens. Where reward rises with length alone, read samples.")},
    ),
    "kl": (
        _("KL to the parent"),
        {
            "kto": _("Estimated on answers to other prompts; at least 0."),
            "": _("Nats an answer, on the answers that the model writes: how far it has gone from its parent."),
        },
    ),
    "entropy": (_("Entropy"), {"": _("Nats a token; near 0 it writes always the same.")}),
    "doubt": (_("Doubt"), {"": _("How far the reward model’s heads differ; rising with the reward, it is a warning.")}),
    "cut_share": (_("Cut answers"), {"": _("Share that did not end by itself.")}),
    "clip_share": (
        _("Clipped"),
        {"": _("Share of tokens or answers whose probability has moved as far as one step may.")},
    ),
    "value_loss": (_("Critic’s loss"), {"": ""}),
    "explained_variance": (_("Explained variance"), {"": _("1: the critic knows the returns; 0: nothing of them.")}),
    "chosen_reward": (
        _("Reward of chosen answers"),
        {"": _("How much likelier than before the training, times beta.")},
    ),
    "rejected_reward": (
        _("Reward of rejected answers"),
        {"": _("How much likelier than before the training, times beta.")},
    ),
    "learning_rate": (_("Learning rate"), {"": ""}),
    "grad_norm": (_("Gradient norm"), {"": _("Before it is scaled down to its limit.")}),
    "tokens_per_second": (_("Tokens per second"), {"": ""}),
    "memory_bytes": (_("Memory in bytes"), {"": _("Held by the training process.")}),
}
FIRST = ("loss", "accuracy", "margin", "reward", "audit", "answer_tokens")
SPLITS = ("train", "validation")


@register.filter
def duration(seconds: float | None) -> str:
    """`48 s`, `12 min`, `2 h 5 min`: as precise as an estimate is."""
    if seconds is None:
        return ""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


@register.filter
def is_active(run: Run) -> bool:
    """Whether it waits, runs or is about to stop: whether a page should watch it."""
    return run.state in ACTIVE


@register.filter
def warnings(run: Run) -> list[str]:
    """What the run warned of last, at most five."""
    return [warning["data"].get("message", "") for warning in selectors.warnings(run)[-5:]]


@register.filter
def curves(series: dict, recipe: str) -> list[dict]:
    """selectors.series as charts, `[{metric, id, title, lead, first, data}]`, the important ones first.

    data: `{x, series: [{name, points: [[step, value], …]}]}`, a line a split.
    """
    names = {name for metrics in series.values() for name in metrics}
    known = list(TITLES)
    ordered = sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
    return [_curve(name, series, recipe) for name in ordered]


def _curve(name: str, series: dict, recipe: str) -> dict:
    title, leads = TITLES.get(name, (name.replace("_", " ").capitalize(), {"": ""}))
    splits = sorted(series, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))
    lines = [{"name": split, "points": series[split][name]} for split in splits if name in series[split]]
    return {
        "metric": name,
        "id": f"curve-{name}",
        "title": title,
        "lead": leads.get(recipe, leads[""]),
        "first": name in FIRST,
        "data": {"x": gettext("step"), "series": lines},
    }
