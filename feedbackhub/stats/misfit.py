"""What Bradley–Terry ratings do not explain: pairs that go another way, raters who lean to a model, bursts of votes.

Residuals are standardised sums of y − p, compared with the normal distribution; p-values are corrected for how many are
looked at (Holm, 1979, "A simple sequentially rejective multiple test procedure").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, pdtrc

LEAST_EXPECTED = 5.0  # wins and losses that the ratings expect, below which the normal distribution is no guide


def holm(p: ArrayLike) -> np.ndarray:
    """(n,) p-values corrected for all of them: at most α of any true hypotheses are below α with that probability."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, steps)
    return corrected


def two_sided(z: np.ndarray) -> np.ndarray:
    return 2 * ndtr(-np.abs(z))


@dataclass(frozen=True)
class Misfit:
    """Of `votes`, a tie as ½, `won` were won where the ratings expect `expected`; `p` is corrected.

    `group`: which rater (a number), or the other model of a pair; `model`: whose wins they are."""

    group: int
    model: int
    votes: int
    won: float
    expected: float
    z: float
    p: float


def pair_misfits(theta: ArrayLike, win_matrix: ArrayLike, *, alpha: float = 0.01) -> list[Misfit]:
    """Pairs of models whose votes contradict the ratings; (model, group) with `model` winning more than expected.

    `theta`: (m,) log-odds, NaN for a model without; `win_matrix`: (m, m), a tie as ½. The most surprising first.
    """
    theta, wins = np.asarray(theta, dtype=np.float64), np.asarray(win_matrix, dtype=np.float64)
    i, j = np.triu_indices(len(theta), 1)
    games = (wins + wins.T)[i, j]
    p = expit(theta[i] - theta[j])
    usable = ~np.isnan(p) & (games * np.minimum(p, 1 - p) >= LEAST_EXPECTED)
    i, j, games, p = i[usable], j[usable], games[usable], p[usable]
    z = (wins[i, j] - games * p) / np.sqrt(games * p * (1 - p))
    corrected = holm(two_sided(z))
    found = []
    for k in np.flatnonzero(corrected < alpha):
        one, other, expected = (i[k], j[k], games[k] * p[k]) if z[k] > 0 else (j[k], i[k], games[k] * (1 - p[k]))
        row = (int(other), int(one), round(games[k]), float(wins[one, other]), float(expected))
        found.append(Misfit(*row, float(abs(z[k])), float(corrected[k])))
    return sorted(found, key=lambda one: -one.z)


def leaning(
    theta: ArrayLike, a: ArrayLike, b: ArrayLike, outcome: ArrayLike, group: ArrayLike, *, alpha: float = 0.01
) -> list[Misfit]:
    """Groups of votes (raters) in which a model wins more, or less, often than the ratings expect.

    `group`: (N,) numbers, below 0 for votes of nobody known. The most surprising first.
    """
    theta = np.asarray(theta, dtype=np.float64)
    a, b, outcome, group = (np.asarray(one) for one in (a, b, outcome, group))
    p = expit(theta[a] - theta[b])
    usable = ~np.isnan(p) & (group >= 0)
    a, b, outcome, group, p = (one[usable] for one in (a, b, outcome, group, p))
    if not len(a):
        return []
    models = len(theta)
    cells = np.concatenate([group * models + a, group * models + b])
    keys, which = np.unique(cells, return_inverse=True)

    def summed(of_a: np.ndarray, of_b: np.ndarray) -> np.ndarray:
        return np.bincount(which, np.concatenate([of_a, of_b]), len(keys))

    won, expected = summed(outcome, 1 - outcome), summed(p, 1 - p)
    votes, variance = summed(np.ones(len(a)), np.ones(len(a))), summed(p * (1 - p), p * (1 - p))
    usable = np.minimum(expected, votes - expected) >= LEAST_EXPECTED
    keys, won, expected, votes, variance = (one[usable] for one in (keys, won, expected, votes, variance))
    z = (won - expected) / np.sqrt(variance)
    corrected = holm(two_sided(z))
    found = [
        Misfit(*divmod(int(keys[k]), models), round(votes[k]), *map(float, (won[k], expected[k], z[k], corrected[k])))
        for k in np.flatnonzero(corrected < alpha)
    ]
    return sorted(found, key=lambda one: -abs(one.z))


def bursts(counts: ArrayLike, *, alpha: float = 0.001, least: int = 20) -> list[tuple[int, float]]:
    """(place, usual count) of the periods with far more votes than the usual one, of `counts` (n,) a period.

    Usual is the median of the periods that had any vote. Votes come in waves, so counts scatter more than Poisson's:
    their logarithm's spread (by quartiles) goes into the bound as well, exp(median + 3 × spread). Corrected for n.
    """
    counts = np.asarray(counts, dtype=np.float64)
    active = counts[counts > 0]
    if len(active) < 8:
        return []
    usual = float(np.median(active))
    low, high = np.quantile(np.log(active), [0.25, 0.75])
    bound = np.exp(np.log(usual) + 3 * (high - low) / 1.349)
    chance = pdtrc(np.maximum(counts - 1, 0), usual) * len(active)
    return [(int(place), usual) for place in np.flatnonzero((chance < alpha) & (counts > bound) & (counts >= least))]
