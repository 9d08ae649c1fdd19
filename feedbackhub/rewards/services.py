"""The room's writes, gathered for those above. Each subject has its own file."""

from . import best_of, scoring
from .best_of import best_of_advance, best_of_create
from .scoring import outputs_judged_since, outputs_of, outputs_score, scores_keep

__all__ = [
    "best_of_advance",
    "best_of_create",
    "outputs_judged_since",
    "outputs_of",
    "outputs_score",
    "scores_keep",
    "sweep",
]


def sweep() -> None:
    scoring.sweep()
    best_of.sweep()
