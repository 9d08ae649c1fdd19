"""Best of n: what taking the best of n answers gains, and how far it moves from the model that wrote them."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln
from scipy.stats import t


def expected_maximum(rewards: ArrayLike) -> np.ndarray:
    """The expected reward of the best of k answers, for k = 1 … n, from each prompt's n; (P, n) → (P, n).

    Of the n answers in ascending order, the j-th is the best of a random k with probability C(j−1, k−1) / C(n, k):
    unbiased, and uses all answers for each k. Nakano et al. 2021 (WebGPT, arXiv 2112.09332, appendix I), Gao, Schulman
    and Hilton 2023 (arXiv 2210.10760, section 2). For k = 1 it is the mean, for k = n the maximum.
    """
    ordered = np.sort(np.asarray(rewards, dtype=float), axis=1)
    n = ordered.shape[1]
    j, k = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)[None, :]
    ways = np.where(j >= k, np.exp(_choose(j - 1, k - 1) - _choose(n, k)), 0.0)
    return ordered @ ways


def _choose(n: ArrayLike, k: ArrayLike) -> np.ndarray:
    """log C(n, k); what is not a number of ways (k > n) comes out as some number that is not used."""
    n, k = np.broadcast_arrays(n, k)
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0)


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float | None, float | None]:
    """(mean, lower, upper) by Student's t over independent values (P,), here prompts; no bounds of fewer than two."""
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, None, None
    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def divergence_bound(n: int) -> float:
    """The most that best of n can diverge from its model, KL in nats: log n − (n − 1)/n.

    Stiennon et al. 2020 (arXiv 2009.01325, appendix G.3); an upper bound, not always the value: Beirami et al. 2024
    (arXiv 2401.01879, theorem 3.1).
    """
    return float(np.log(n) - (n - 1) / n)
