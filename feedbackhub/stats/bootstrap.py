"""Bootstrap intervals of Bradley–Terry ratings, by votes or by whole clusters of votes.

Votes are drawn with replacement (Efron, 1979); raters or prompts are, with all that belongs to them, where votes are
not independent (Davison and Hinkley, 1997, section 3.8); and both ways at once, a vote counts the product of how often
its rater and its prompt were drawn (the pigeonhole bootstrap: Owen, 2007, Annals of Applied Statistics 1).
Intervals are percentiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.clusters import cluster_numbers
from feedbackhub.stats.connectivity import rated_component
from feedbackhub.stats.newton import NoMaximumError, maximise
from feedbackhub.stats.ratings import MEAN, SCALE, Ratings
from feedbackhub.stats.tallies import Tallies, vote_arrays


@dataclass(frozen=True, eq=False)
class BootstrapRatings:
    """`ratings` of all votes, `se` and intervals from the `resamples` that could be rated; in `separated` others some
    model won or lost everything, so that they had no finite ratings: intervals are then too narrow."""

    ratings: Ratings
    resamples: int
    separated: int


def bootstrap_bradley_terry(
    models: int,
    a: ArrayLike,
    b: ArrayLike,
    outcome: ArrayLike,
    *,
    clusters: Sequence[ArrayLike] = (),
    resamples: int = 500,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapRatings:
    """N votes (a, b: model indices; outcome 1, ½, 0), clustered in up to two ways (N,); the same for the same seed.

    ValueError for arrays that do not fit together, or for more than two ways.
    """
    a, b, outcome = vote_arrays(models, a, b, outcome)
    if len(clusters) > 2:
        raise ValueError(f"votes are clustered in one or two ways, not {len(clusters)}")
    tallies = Tallies.of_votes(models, a, b, outcome)
    ratings = bradley_terry(tallies)
    rated = rated_component(tallies)
    m = len(rated)
    if not m:
        return BootstrapRatings(ratings, 0, 0)
    place = np.full(models, -1)
    place[rated] = np.arange(m)
    kept = (place[a] >= 0) & (place[b] >= 0)
    a, b, outcome = place[a[kept]], place[b[kept]], outcome[kept]
    groups = [cluster_numbers(np.asarray(one)[kept], len(a)) for one in clusters]
    cells = ((2 * outcome).astype(np.int64) * m + a) * m + b
    key = np.column_stack([*groups, cells]) if groups else cells[:, None]
    rows, count = np.unique(key, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    start = (ratings.rating[rated] - MEAN) / SCALE
    found, separated = [], 0
    for _ in range(resamples):
        drawn = _drawn(generator, rows, count)
        lost, tied, won = np.bincount(rows[:, -1], drawn, 3 * m * m).reshape(3, m, m)
        win_matrix = won + lost.T + (tied + tied.T) / 2
        theta = _refit(win_matrix, start)
        if theta is None:
            separated += 1
        else:
            found.append(theta)
    if len(found) < 2:
        nothing = np.full(models, np.nan)
        return BootstrapRatings(ratings.with_intervals(nothing, nothing), len(found), separated)
    points = MEAN + SCALE * np.array(found)
    bounds = np.full((2, models), np.nan)
    bounds[:, rated] = np.quantile(points, [(1 - level) / 2, (1 + level) / 2], axis=0)
    covariance = np.full((models, models), np.nan)
    covariance[np.ix_(rated, rated)] = np.cov(points.T)
    answer = replace(ratings.with_intervals(*bounds), covariance=covariance, se=np.sqrt(np.diagonal(covariance)))
    return BootstrapRatings(answer, len(found), separated)


def _drawn(generator: np.random.Generator, rows: np.ndarray, count: np.ndarray) -> np.ndarray:
    """How often each row's votes are in a resample, (rows,)."""
    if rows.shape[1] == 1:
        return generator.multinomial(count.sum(), count / count.sum()).astype(np.float64)
    drawn = count.astype(np.float64)
    for way in range(rows.shape[1] - 1):
        clusters = int(rows[:, way].max()) + 1
        times = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
        drawn *= times[rows[:, way]]
    return drawn


def _refit(win_matrix: np.ndarray, start: np.ndarray) -> np.ndarray | None:
    """Centred log-odds (m,), or None where they are not finite."""
    m = len(start)
    if len(rated_component(Tallies(win_matrix, np.zeros((m, m))))) < m:
        return None
    games = win_matrix + win_matrix.T

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        difference = theta[:, None] - theta[None, :]
        probability = expit(difference)
        weight = games * probability * (1 - probability)
        information = np.diag(weight.sum(axis=1)) - weight
        information += np.trace(information) / m**2
        log_likelihood = -(win_matrix * np.logaddexp(0, -difference)).sum()
        return log_likelihood, (win_matrix - games * probability).sum(axis=1), information

    try:
        theta, _ = maximise(evaluate, start)
    except NoMaximumError:
        return None
    return theta - theta.mean()
