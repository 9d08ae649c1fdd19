"""Intervals and ranks that hold for all models at once, not for each by itself.

Ranks after Mogstad, Romano, Shaikh and Wilhelm (2024), "Inference for ranks with applications to mobility across
neighbourhoods and academic achievement across countries", Review of Economic Studies 91: all differences of two
ratings are tested together, and a model's rank is at least 1 + the models surely above it and at most M − the models
surely below it. The critical value is the quantile of the largest studentised difference (max-t), drawn from the
normal distribution with the estimated covariance, and stepped down (Romano and Wolf, 2005, Econometrica 73).
"""

import numpy as np

from feedbackhub.stats.ratings import Ratings

CHUNK = 4_000_000  # doubles at a time


def simultaneous(ratings: Ratings, *, draws: int = 2000, seed: int = 0, level: float = 0.95) -> Ratings:
    """The same ratings with simultaneous intervals, and with ranks that hold together with probability `level`.

    The covariance must be that of the ratings. The same for the same seed.
    """
    rated = np.flatnonzero(~np.isnan(ratings.se))
    if len(rated) < 2:
        return ratings
    rating, covariance = ratings.rating[rated], ratings.covariance[np.ix_(rated, rated)]
    sample = _sample(covariance, draws, seed)
    se = np.sqrt(np.maximum(np.diagonal(covariance), 0))
    largest = np.abs(np.divide(sample, se, out=np.zeros_like(sample), where=se > 0)).max(axis=1)
    reach = np.quantile(largest, level)
    lower, upper = np.full((2, len(ratings.status)), np.nan)
    lower[rated], upper[rated] = rating - reach * se, rating + reach * se
    above = surely_above(rating, covariance, sample, level)
    ranks = np.zeros((2, len(ratings.status)), dtype=np.int64)
    ranks[0, rated] = 1 + above.sum(axis=0)
    ranks[1, rated] = len(rated) - above.sum(axis=1)
    return ratings.with_intervals(lower, upper, (ranks[0], ranks[1]))


def _sample(covariance: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, m) from the normal distribution with mean 0 and this covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.random.default_rng(seed).standard_normal((draws, len(covariance))) @ root.T


def surely_above(rating: np.ndarray, covariance: np.ndarray, sample: np.ndarray, level: float) -> np.ndarray:
    """(m, m) bool: whether i is above j, all claims together wrong with probability 1 − `level` at most.

    `sample`: (draws, m) from the distribution of the errors.
    """
    own = np.diagonal(covariance)
    error = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0))
    scale = np.divide(1.0, error, out=np.zeros_like(error), where=error > 1e-12)
    observed = (rating[:, None] - rating[None, :]) * scale
    open_ = scale > 0
    above = np.zeros_like(open_)
    rows = max(1, CHUNK // rating.size**2)
    while open_.any():
        i, j = np.nonzero(open_)
        largest = np.concatenate(
            [
                ((part[:, i] - part[:, j]) * scale[i, j]).max(axis=1)
                for part in np.array_split(sample, max(1, -(-len(sample) // rows)))
            ]
        )
        rejected = open_ & (observed > np.quantile(largest, level))
        if not rejected.any():
            break
        above |= rejected
        open_ &= ~rejected
    return above
