"""When will the work be done: hours until `left` judgments are in, from what came each hour before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

BLOCK = 24  # hours: a day, whose hours are not alike
HOURS_AT_LEAST = 3
JUDGMENTS_AT_LEAST = 20
RESAMPLES = 1000


@dataclass(frozen=True)
class Forecast:
    """Hours from now with a 95 % interval; None, with the reason, where the past says too little."""

    hours: float | None = None
    lower: float | None = None
    upper: float | None = None
    undefined_because: str = ""


def hours_left(counts: ArrayLike, left: int, *, rng: np.random.Generator | None = None) -> Forecast:
    """Forecast from `counts` (H,), the judgments of each of the last H whole hours, the oldest first.

    The future is drawn from the past in blocks of a day (of an hour, where there are less than three days), which keeps
    nights and mornings together: a circular moving-block bootstrap (Politis and Romano, 1992), twice: the past is drawn
    first, since its rate is not known exactly, and the future from it. `left` judgments are done when the drawn hours
    have brought as many. The estimate is the median, the interval the 2.5 % and 97.5 % quantiles,
    the ends moved apart for few blocks. ValueError for a negative count or `left`.
    """
    counts = np.asarray(counts, dtype=float)
    if left < 0 or (counts < 0).any():
        raise ValueError("counts and what is left must be at least 0")
    if left == 0:
        return Forecast(0.0, 0.0, 0.0)
    if counts.size < HOURS_AT_LEAST:
        return Forecast(undefined_because=f"work began less than {HOURS_AT_LEAST} hours ago")
    if counts.sum() < JUDGMENTS_AT_LEAST:
        return Forecast(undefined_because=f"fewer than {JUDGMENTS_AT_LEAST} judgments came lately")
    rng = rng or np.random.default_rng(0)
    block = BLOCK if counts.size >= 3 * BLOCK else 1
    needed = (
        int(np.ceil(left / counts.mean() / block * 4)) + 8
    )  # blocks; a draw that is slower is carried on at its pace
    drawn = np.array([_hours(counts, left, block, min(needed, 5000), rng) for _ in range(RESAMPLES)])
    lower, median, upper = np.quantile(drawn, [0.025, 0.5, 0.975])
    wider = _wider(counts.size / block)
    return Forecast(*(float(median * (end / median) ** wider) for end in (median, lower, upper)))


def _wider(blocks: float) -> float:
    """A bootstrap of few blocks is too narrow: by √((n − 1)/n), and by the normal's tails in the place of Student's."""
    return float(stdtrit(blocks - 1, 0.975) / ndtri(0.975) * np.sqrt(blocks / (blocks - 1)))


def _hours(counts: np.ndarray, left: int, block: int, blocks: int, rng: np.random.Generator) -> float:
    past = _resampled(counts, block, int(np.ceil(counts.size / block)), rng)
    hours = _resampled(past, block, blocks, rng)
    done = np.cumsum(hours)
    if done[-1] < left:
        return float(hours.size * left / max(done[-1], 1))
    whole = int(np.searchsorted(done, left))
    before = done[whole - 1] if whole else 0
    return whole + (left - before) / hours[whole]


def _resampled(counts: np.ndarray, block: int, blocks: int, rng: np.random.Generator) -> np.ndarray:
    starts = rng.integers(counts.size, size=blocks)
    return counts[(starts[:, None] + np.arange(block)) % counts.size].ravel()
