"""Intervals and tests for one look at the data (for looking again and again: `feedbackhub.stats.anytime`)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, gammaln, xlog1py, xlogy

from feedbackhub.stats.ratings import Z95


def wilson_interval(successes: float, n: float, *, z: float = Z95) -> tuple[float, float]:
    """(lower, upper) for a proportion; (0, 1) when n is 0. Wilson (1927), "Probable inference".

    ValueError unless 0 ≤ successes ≤ n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials: they must be at least 0 and at most the trials")
    return win_rate_interval(successes, n - successes, 0, z=z)


def win_rate_interval(wins: float, losses: float, ties: float, *, z: float = Z95) -> tuple[float, float]:
    """(lower, upper) for the win rate (wins + ½ ties) / n; (0, 1) without votes. Without ties it is Wilson's.

    A vote y ∈ {0, ½, 1} with mean m has variance m(1 − m) − τ/4, τ the share of ties, which is put in the place of the
    binomial's in Wilson's (ŷ − m)² ≤ z² var(m) / n. For τ stands ties / (n + z²): z² votes are added that are no ties,
    lest a few ties pass for certainty. ValueError for a negative count.
    """
    if min(wins, losses, ties) < 0:
        raise ValueError(f"{wins} wins, {losses} losses, {ties} ties: a count must be at least 0")
    n = wins + losses + ties
    if n == 0:
        return 0.0, 1.0
    rate, c, tied = (wins + ties / 2) / n, z**2 / n, ties / (n + z**2)
    centre = (2 * rate + c) / (2 * (1 + c))
    width = np.sqrt(c**2 * (1 - tied) + 4 * c * rate * (1 - rate) - c * tied) / (2 * (1 + c))
    # at the ends the exact bound is 0 or 1, which rounding misses
    return (
        0.0 if wins == ties == 0 else float(centre - width),
        1.0 if losses == ties == 0 else float(centre + width),
    )


def binomial_test(successes: int, n: int, probability: float = 0.5) -> float:
    """Exact two-sided p-value: the probability of all counts that are no likelier than the one seen. 1 when n is 0.

    ValueError unless 0 ≤ successes ≤ n and 0 ≤ probability ≤ 1.
    """
    if not 0 <= successes <= n or not 0 <= probability <= 1:
        raise ValueError(f"{successes} successes of {n} trials at probability {probability}: out of range")
    if probability == 0.5:
        return sign_test(successes, n - successes)
    k = np.arange(n + 1)
    log_pmf = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, probability)
    log_pmf += xlog1py(n - k, -probability)
    # 1e-7: the two tails' equal terms differ by rounding (as in R's binom.test)
    return float(min(1.0, np.exp(log_pmf[log_pmf <= log_pmf[successes] + 1e-7]).sum()))


def sign_test(better: int, worse: int) -> float:
    """Exact two-sided p-value of the sign test; ties are left out (Dixon and Mood, 1946). 1 without a decisive pair.

    ValueError for a negative count.
    """
    if min(better, worse) < 0:
        raise ValueError(f"{better} better, {worse} worse: a count must be at least 0")
    return float(min(1.0, 2 * bdtr(min(better, worse), better + worse, 0.5))) if better + worse else 1.0


def bootstrap_mean(
    values: ArrayLike, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """(mean, lower, upper) of values (N,) by the percentile bootstrap (Efron, 1979); the same for the same seed.

    ValueError when there is no value or one is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"a bootstrap needs a list of one or more finite values, not shape {values.shape}")
    generator = np.random.default_rng(seed)
    rows = max(1, 4_000_000 // len(values))  # resamples at a time: bounds the memory
    means = [
        values[generator.integers(len(values), size=(min(rows, resamples - done), len(values)))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    lower, upper = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(lower), float(upper)


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same n items: `difference` is the mean of first − second with its standard `error`
    (sample standard deviation / √n; NaN for one item) and bootstrap interval; `p_value` is the exact sign test."""

    n: int
    better: int
    worse: int
    equal: int
    difference: float
    error: float
    lower: float
    upper: float
    p_value: float


def paired_comparison(
    first: ArrayLike, second: ArrayLike, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> PairedComparison:
    """Compare scores (N,) of two systems item by item; items are resampled in pairs (Koehn, 2004).

    ValueError when the lengths differ, there is no item, or a score is not finite.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} scores against {second.shape}: the two must be of the same items")
    difference = first - second
    mean, lower, upper = bootstrap_mean(difference, resamples=resamples, seed=seed, level=level)
    n, better, worse = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    error = float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return PairedComparison(n, better, worse, n - better - worse, mean, error, lower, upper, sign_test(better, worse))
