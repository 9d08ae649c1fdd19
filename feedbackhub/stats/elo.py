"""Online Elo: each vote moves two ratings, so the order of votes matters and there is no error to state."""

import math

import numpy as np
from numpy.typing import ArrayLike

from feedbackhub.stats.tallies import vote_arrays


def online_elo(
    models: int,
    a: ArrayLike,
    b: ArrayLike,
    outcome: ArrayLike,
    *,
    k: float = 4.0,
    start: float = 1000.0,
    base: float = 10.0,
    scale: float = 400.0,
    ratings: ArrayLike | None = None,
) -> np.ndarray:
    """Ratings (M,), in points, after N votes in the order given; `start` for a model without votes.

    `a`, `b`: (N,) model indices; `outcome`: (N,), 1 when a won, 0 when b won, ½ for a tie. A vote moves a by
    k (y − p) and b by as much the other way, p = 1 / (1 + base^((R_b − R_a) / scale)); Elo (1978), "The Rating of
    Chessplayers". `ratings`: (M,) to go on from, instead of `start`. Raises ValueError for an unknown model, a model
    against itself or another outcome.
    """
    a, b, outcome = vote_arrays(models, a, b, outcome)
    ratings = [float(start)] * models if ratings is None else np.asarray(ratings, dtype=np.float64).tolist()
    rate, exp = math.log(base) / scale, math.exp
    # Python lists: each vote needs the one before, and a NumPy scalar costs ten times a list's.
    for i, j, y in zip(a.tolist(), b.tolist(), outcome.tolist(), strict=True):
        move = k * (y - 1 / (1 + exp((ratings[j] - ratings[i]) * rate)))
        ratings[i] += move
        ratings[j] -= move
    return np.array(ratings)
