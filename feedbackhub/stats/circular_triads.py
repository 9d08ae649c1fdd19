"""Circular triads: a over b, b over c, and c over a. How consistent preferences are, against pure chance.

Kendall and Babington Smith (1940), "On the method of paired comparisons", Biometrika 31. With all pairs of n decided
there are d circular ones among C(n, 3) triads, ¼ of them by chance, at most (n³ − n) / 24 for odd and (n³ − 4n) / 24
for even n; the coefficient of consistency is ζ = 1 − d / that most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

NO_TRIAD = "no three models have all been decided against each other"
INCOMPLETE = "not every pair of models is decided"


@dataclass(frozen=True)
class Triads:
    """Of `triads` (three models with all three pairs decided) `circular` are circular, where chance makes `expected`.

    `consistency` is ζ, None with `undefined_because` where a pair is not decided. `cycles`: triads of model places
    (a, b, c), a over b over c over a, those with the widest margins first.
    """

    models: int
    triads: int
    circular: int
    expected: float
    consistency: float | None
    cycles: list[tuple[int, int, int]]
    undefined_because: str | None = None


def circular_triads(wins: ArrayLike, *, cycles: int = 10) -> Triads:
    """Triads of the majority preferences in `wins` (n, n), how often row beat column; equal counts decide nothing.

    Models without any decided pair are left out. `cycles`: how many to name. Raises ValueError unless it is square.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1]:
        raise ValueError(f"wins must be a square matrix, not of shape {wins.shape}")
    margin = wins - wins.T
    there = np.flatnonzero((margin != 0).any(axis=1))
    margin = margin[np.ix_(there, there)]
    above = (margin > 0).astype(np.float64)
    decided = above + above.T
    n = len(there)
    triads = round(np.trace(decided @ decided @ decided) / 6)
    circular = round(np.trace(above @ above @ above) / 3)
    if not triads:
        return Triads(n, 0, 0, 0.0, None, [], NO_TRIAD)
    complete = decided.sum() == n * (n - 1)
    most = (n**3 - (n if n % 2 else 4 * n)) / 24
    return Triads(
        models=n,
        triads=triads,
        circular=circular,
        expected=triads / 4,
        consistency=1 - circular / most if complete else None,
        cycles=[tuple(int(there[place]) for place in cycle) for cycle in _cycles(margin, cycles)] if circular else [],
        undefined_because=None if complete else INCOMPLETE,
    )


def _cycles(margin: np.ndarray, wanted: int) -> list[tuple[int, int, int]]:
    """The circular triads with the widest least margin, each from its lowest place on."""
    found = []
    for a in range(len(margin)):
        below = np.flatnonzero(margin[a] > 0)
        below = below[below > a]
        back = np.flatnonzero(margin[:, a] > 0)
        back = back[back > a]
        widths = np.minimum(np.minimum(margin[a, below][:, None], margin[below][:, back]), margin[back, a][None, :])
        for b, c in zip(*np.nonzero(widths > 0)):
            found.append((-float(widths[b, c]), (a, int(below[b]), int(back[c]))))
    return [cycle for _, cycle in sorted(found)[:wanted]]
