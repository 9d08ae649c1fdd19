"""Bradley–Terry ratings by maximum likelihood from tallies, with sandwich errors.

P(i beats j) = 1 / (1 + exp(θj − θi)); Bradley and Terry (1952). A tie is one vote with y = ½. Everything is computed
from the M × M tallies, so that the cost does not depend on the number of votes.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import expit

from feedbackhub.stats.connectivity import rated_component, statuses
from feedbackhub.stats.newton import maximise
from feedbackhub.stats.ratings import Ratings
from feedbackhub.stats.tallies import Tallies

Ranking = tuple[Sequence[Sequence[int]], int]  # (tiers of model indices, best first; how many judgments said so)
CHUNK = 4096  # rankings at a time: bounds the memory to CHUNK × k × k doubles


def bradley_terry(tallies: Tallies, rankings: Iterable[Ranking] = ()) -> Ratings:
    """Rate the largest strongly connected component of `tallies` (`feedbackhub.stats.connectivity`), mean 1000.

    `rankings`: patterns (tiers, count) of judgments that ranked three or more models at once. Tiers hold model
    indices, best first; models of one tier are tied. Their pairs must already be in the tallies: the ratings do not
    change, but the pairs of one judgment are taken as one cluster in the errors, not as independent votes. A pattern
    may come several times. Pairs with a model outside the rated component are left out.

    `se` is the sandwich of the centred ratings, H⁻¹ B H⁻¹ with H the information and B the sum over votes (judgments)
    of the outer product of their scores (Huber 1967; White 1982; clusters: Liang and Zeger 1986).

    Raises ValueError for a ranking that names an unknown model or one model twice, NoMaximumError when rounding
    hides the maximum.
    """
    rankings = _merged(rankings, tallies.models)
    rated = rated_component(tallies)
    status = statuses(tallies, rated)
    inside = tallies.between(rated)
    win_matrix, games = inside.win_matrix, inside.games

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        difference = theta[:, None] - theta[None, :]
        log_likelihood = -(win_matrix * np.logaddexp(0, -difference)).sum()
        return log_likelihood, (win_matrix - games * expit(difference)).sum(axis=1), _information(theta, games)

    theta, steps = maximise(evaluate, np.zeros(len(rated))) if rated.size else (np.zeros(0), 0)
    theta = theta - theta.mean() if rated.size else theta
    meat = _meat(theta, inside) + _cluster_terms(theta, rated, rankings)
    bread = np.linalg.inv(_information(theta, games)) if rated.size else meat
    return Ratings.of(status=status, rated=rated, log_odds=theta, covariance=bread @ meat @ bread, steps=steps)


def _information(theta: np.ndarray, games: np.ndarray) -> np.ndarray:
    """The information plus a multiple of 11ᵀ, which fixes the mean: on centred vectors its inverse is the
    pseudo-inverse of the information alone, and steps from it stay centred."""
    probability = expit(theta[:, None] - theta[None, :])
    laplacian = _laplacian(games * probability * probability.T)
    return laplacian + np.trace(laplacian) / max(1, len(theta)) ** 2


def _laplacian(weights: np.ndarray) -> np.ndarray:
    """Σ over pairs of w (e_i − e_j)(e_i − e_j)ᵀ for symmetric weights (…, m, m) with a zero diagonal."""
    return np.eye(weights.shape[-1]) * weights.sum(axis=-1)[..., None] - weights


def _meat(theta: np.ndarray, tallies: Tallies) -> np.ndarray:
    """Σ over votes of score scoreᵀ; a vote's score is (y − p)(e_i − e_j)."""
    probability = expit(theta[:, None] - theta[None, :])
    squares = tallies.wins * (1 - probability) ** 2
    return _laplacian(squares + squares.T + tallies.ties * (0.5 - probability) ** 2)


def _cluster_terms(theta: np.ndarray, rated: np.ndarray, rankings: dict) -> np.ndarray:
    """What clustering adds to the meat: count × (g gᵀ − Σ g_p g_pᵀ) with g = Σ g_p over the pairs p of a judgment."""
    terms = np.zeros((len(rated), len(rated)))
    place = {model: index for index, model in enumerate(rated.tolist())}
    shapes: dict[tuple[int, ...], tuple[list, list]] = defaultdict(lambda: ([], []))
    for tiers, count in rankings.items():
        kept = [inside for tier in tiers if (inside := [place[model] for model in tier if model in place])]
        members, counts = shapes[tuple(len(tier) for tier in kept)]
        members.append([model for tier in kept for model in tier])
        counts.append(count)
    for shape, (members, counts) in shapes.items():
        if sum(shape) < 3:
            continue  # a single pair is its own cluster
        tier = np.repeat(np.arange(len(shape)), shape)
        outcome = (np.sign(tier[None, :] - tier[:, None]) + 1) / 2
        for begin in range(0, len(members), CHUNK):
            index = np.array(members[begin : begin + CHUNK])
            count = np.array(counts[begin : begin + CHUNK], dtype=np.float64)
            # residual[n, i, j] = y − p of the pair (i, j) in judgment n; antisymmetric, so its row sums are g
            residual = outcome - expit(theta[index][:, :, None] - theta[index][:, None, :])
            score = residual.sum(axis=2)
            local = score[:, :, None] * score[:, None, :] - _laplacian(residual**2)
            np.add.at(terms, (index[:, :, None], index[:, None, :]), local * count[:, None, None])
    return terms


def _merged(rankings: Iterable[Ranking], models: int) -> dict[tuple[tuple[int, ...], ...], float]:
    """Counts by pattern, with the models of a tier in ascending order."""
    merged: dict[tuple[tuple[int, ...], ...], float] = defaultdict(float)
    for tiers, count in rankings:
        pattern = tuple(tuple(sorted(tier)) for tier in tiers if tier)
        members = [model for tier in pattern for model in tier]
        if len(set(members)) < len(members):
            raise ValueError(f"ranking {pattern} names a model twice: each may stand in one tier only")
        if any(not 0 <= model < models for model in members):
            raise ValueError(f"ranking {pattern} names a model that is not in 0 … {models - 1}")
        if count < 0:
            raise ValueError(f"ranking {pattern} has count {count}: it must be at least 0")
        merged[pattern] += count
    return merged
