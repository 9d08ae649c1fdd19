"""Which pair to ask about next: the one whose vote is expected to settle most of the order.

The log-odds θ have a Gaussian posterior about their maximum a posteriori (prior N(0, σ²) on each, Laplace's
approximation), with covariance S. Let P be the probability that model i is above model j. The expected number of
pairs that two draws from the posterior order differently is 2 Σ P(1 − P) over pairs: what a Kendall τ with the truth
loses. A vote on (k, l) has information w = p(1 − p); it moves θ along S(eₖ − eₗ), and shrinks Σ P(1 − P), to the first
order, by

    w / (1 + w vₖₗ) · (eₖ − eₗ)ᵀ S L S (eₖ − eₗ),     vₖₗ = (eₖ − eₗ)ᵀ S (eₖ − eₗ),

where L is the Laplacian of the weights φ(zᵢⱼ)² / vᵢⱼ with zᵢⱼ = (θᵢ − θⱼ) / √vᵢⱼ: near and uncertain pairs weigh
most. All pairs together cost O(M³). Models without a common opponent are uncertain towards each other, so a vote that
connects them comes first by itself. Cf. Chaloner and Verdinelli, "Bayesian Experimental Design: A Review", 1995 (linear
criteria); Mikhailiuk et al., "Active Sampling for Pairwise Comparisons via Approximate Message Passing and Information
Gain Maximization", 2020 (the same task).
"""

from collections.abc import Iterable

import numpy as np
from scipy.special import expit

from .newton import maximise
from .tallies import Tallies

PRIOR_SD = 1.0  # of a model's log-odds before any vote: 174 rating points
BATCHES = 8  # the gains are computed anew so many times while pairs are picked


class Posterior:
    """θ (M,) and its covariance (M, M), in log-odds, given `tallies` and the prior."""

    def __init__(self, tallies: Tallies, prior_sd: float = PRIOR_SD):
        self.tallies, self.precision = tallies, 1 / prior_sd**2
        win_matrix, games = tallies.win_matrix, tallies.games

        def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            difference = theta[:, None] - theta[None, :]
            value = -(win_matrix * np.logaddexp(0, -difference)).sum() - self.precision * theta @ theta / 2
            gradient = (win_matrix - games * expit(difference)).sum(axis=1) - self.precision * theta
            return value, gradient, self._information(theta)

        self.theta, _ = maximise(evaluate, np.zeros(tallies.models))
        self.covariance = np.linalg.inv(self._information(self.theta))

    def _information(self, theta: np.ndarray) -> np.ndarray:
        probability = expit(theta[:, None] - theta[None, :])
        weights = self.tallies.games * probability * probability.T
        return np.diag(weights.sum(axis=1) + self.precision) - weights

    def gains(self) -> np.ndarray:
        """(M, M), symmetric, zero on the diagonal: by how much a vote on the pair is expected to shrink Σ P(1 − P)."""
        return _gains(self.theta, self.covariance)

    def next_pairs(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        explore: float = 0.1,
        among: Iterable[tuple[int, int]] | None = None,
    ) -> list[tuple[int, int]]:
        """`count` pairs (i < j) to ask about, one after the other as if each had been answered; a pair may come again.

        explore: the share of pairs that are drawn uniformly instead, so that every pair is asked about sometimes.
        among: the pairs to choose from; all by default. Empty when there is none.
        ValueError unless 0 ≤ explore ≤ 1.
        """
        if not 0 <= explore <= 1:
            raise ValueError(f"explore {explore} must be from 0 to 1")
        models = self.tallies.models
        pairs = np.array(sorted({(min(pair), max(pair)) for pair in among}) if among is not None else [], dtype=int)
        if among is None:
            pairs = np.column_stack(np.triu_indices(models, 1))
        if not len(pairs):
            return []
        covariance, gains, chosen = self.covariance.copy(), np.zeros(len(pairs)), []
        for number in range(count):
            if number % max(1, count // BATCHES) == 0:
                gains = _gains(self.theta, covariance)[pairs[:, 0], pairs[:, 1]]
            place = int(rng.integers(len(pairs))) if rng.random() < explore else _largest(gains, rng)
            first, second = pairs[place]
            probability = expit(self.theta[first] - self.theta[second])
            information = probability * (1 - probability)
            moved = covariance[:, first] - covariance[:, second]
            shrink = 1 / (1 + information * (moved[first] - moved[second]))
            covariance -= information * shrink * np.outer(moved, moved)
            gains[place] *= shrink**2  # until it is computed anew with all the others
            chosen.append((int(first), int(second)))
        return chosen


def _largest(gains: np.ndarray, rng: np.random.Generator) -> int:
    """The place of the largest; of equal ones any, lest the models that came first be asked about more."""
    return int(rng.choice(np.flatnonzero(gains >= gains.max() * (1 - 1e-9))))


def _gains(theta: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    difference = theta[:, None] - theta[None, :]
    probability = expit(difference)
    information = probability * probability.T
    variance = _of_differences(covariance)
    np.fill_diagonal(variance, 1)
    weights = np.exp(-(difference**2) / variance) / (2 * np.pi * variance)
    np.fill_diagonal(weights, 0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    gains = information / (1 + information * variance) * _of_differences(covariance @ laplacian @ covariance)
    np.fill_diagonal(gains, 0)
    return np.maximum(gains, 0)


def _of_differences(matrix: np.ndarray) -> np.ndarray:
    """(M, M): (eₖ − eₗ)ᵀ matrix (eₖ − eₗ)."""
    diagonal = np.diag(matrix)
    return diagonal[:, None] + diagonal[None, :] - 2 * matrix
