"""The room's writes, gathered for those above. Each subject has its own file."""

from . import best_of, scoring
from .best_of import best_of_advance, best_of_create
from .scoring import (
    can_be_scored,
    outputs_judged_since,
    outputs_of,
    outputs_score,
    reward_check,
    scores_keep,
    scores_read,
    scoring_run,
)

__all__ = [
    "best_of_advance",
    "best_of_create",
    "can_be_scored",
    "outputs_judged_since",
    "outputs_of",
    "outputs_score",
    "reward_check",
    "scores_keep",
    "scores_read",
    "scoring_run",
    "sweep",
]


def sweep() -> None:
    scoring.sweep()
    best_of.sweep()
