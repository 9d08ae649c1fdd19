"""Metrics that compare texts, and bootstrap intervals for means, ratios and corpus scores.

Every metric is a function from predictions and references to its per-row statistics and the function that turns their
sum into a value; so that one bootstrap serves them all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Z_SHARES = (2.5, 97.5)  # of a 95 % percentile interval


@dataclass(frozen=True)
class Measured:
    """What a metric says of some rows.

    statistics: [rows, k] that add up over rows. value: from the sum of statistics ([k]) to the metric.
    scores: [rows] each row's own value.
    """

    statistics: np.ndarray
    value: Callable[[np.ndarray], float]
    scores: np.ndarray


def mean_of(scores: Sequence[float]) -> Measured:
    """The mean of per-row values, as sums of (value, 1)."""
    values = np.asarray(scores, dtype=float)
    return Measured(np.stack([values, np.ones_like(values)], axis=1), lambda sums: sums[0] / sums[1], values)


def perplexity_of(losses: Sequence[float], tokens: Sequence[int]) -> Measured:
    """exp(total negative log-likelihood / total tokens), from each row's sums."""
    statistics = np.stack([np.asarray(losses, dtype=float), np.asarray(tokens, dtype=float)], axis=1)
    scores = np.exp(statistics[:, 0] / np.maximum(statistics[:, 1], 1))
    return Measured(statistics, lambda sums: float(np.exp(sums[0] / sums[1])), scores)


# --- Intervals -------------------------------------------------------------------------------------------------------


def resamples(rows: int, times: int, seed: int) -> np.ndarray:
    """How often each resample holds each row; [times, rows]. The same for all metrics of a seed and number of rows."""
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=times)


def interval(measured: Measured, counts: np.ndarray) -> dict:
    """{value, lower, upper, n}: the metric with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993)."""
    drawn = resampled(measured, counts)
    lower, upper = np.percentile(drawn, Z_SHARES)
    value = measured.value(measured.statistics.sum(axis=0))
    return {"value": float(value), "lower": float(lower), "upper": float(upper), "n": len(measured.statistics)}


def resampled(measured: Measured, counts: np.ndarray) -> np.ndarray:
    """The metric of each resample; [times]."""
    return np.array([measured.value(sums) for sums in counts @ measured.statistics])


def paired_difference(ours: Measured, theirs: Measured, counts: np.ndarray) -> dict:
    """{value, lower, upper, n, p_value} of ours − theirs on the same rows, resampled together (Koehn 2004).

    p_value: two-sided, twice the smaller share of resamples on either side of zero, at least 1 / resamples.
    """
    drawn = resampled(ours, counts) - resampled(theirs, counts)
    lower, upper = np.percentile(drawn, Z_SHARES)
    value = ours.value(ours.statistics.sum(axis=0)) - theirs.value(theirs.statistics.sum(axis=0))
    tail = min(np.mean(drawn <= 0), np.mean(drawn >= 0))
    known = {"value": float(value), "lower": float(lower), "upper": float(upper), "n": len(ours.statistics)}
    return {**known, "p_value": float(min(1.0, max(2 * tail, 1 / len(drawn))))}


def sign_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of as many positive and negative differences, were both as likely; zeros tell nothing.

    The exact binomial test (for right and wrong answers McNemar's, 1947).
    """
    turned = [difference > 0 for difference in differences if difference]
    fewer = min(sum(turned), len(turned) - sum(turned))
    return min(1.0, 2 * sum(math.comb(len(turned), n) for n in range(fewer + 1)) / 2 ** len(turned))
