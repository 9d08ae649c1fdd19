"""Many comparisons looked at together: which of them still hold."""

import numpy as np
from numpy.typing import ArrayLike


def e_benjamini_hochberg(e_values: ArrayLike, *, level: float = 0.05) -> np.ndarray:
    """Which claims hold (N, bool) so that on average at most `level` of those that do are false.

    e-BH: with the e-values in descending order, the first k̂ hold, k̂ the largest k with e_(k) ≥ N / (k · level).
    It needs no independence, and the e-values may have been looked at and stopped at any time. Wang and Ramdas, "False
    discovery rate control with e-values", JRSS B 2022. ValueError for a negative e-value or one that is no number.
    """
    e_values = np.asarray(e_values, dtype=np.float64)
    if np.isnan(e_values).any() or (e_values < 0).any():
        raise ValueError("an e-value is a number that is at least 0")
    count = e_values.size
    if not count:
        return np.zeros(0, dtype=bool)
    order = np.argsort(-e_values, kind="stable")
    enough = e_values[order] * np.arange(1, count + 1) * level >= count
    holds = np.zeros(count, dtype=bool)
    if enough.any():
        holds[order[: int(np.flatnonzero(enough)[-1]) + 1]] = True
    return holds


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjusted p-values (N,): below α, the claim holds with at most α for one false claim among all (Holm, 1979).

    ValueError for a p-value outside 0 … 1.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("a p-value lies between 0 and 1")
    count = p_values.size
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * (count - np.arange(count))))
    return adjusted
