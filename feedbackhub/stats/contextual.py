"""Bradley–Terry from single votes: with features of the answers, weights, clusters, and Davidson's ties.

With η = θa − θb + c·z (z the standardised features of the vote):

- ties as half a win: P(a) = σ(η), a tie is one vote with y = ½;
- Davidson (1970), "On extending the Bradley–Terry model to accommodate ties in paired comparison experiments", JASA 65:
  P(a) : P(b) : P(tie) = e^(η/2) : e^(−η/2) : ν, in his notation πa : πb : ν √(πa πb).

A vote's score is (y − m) in η, m = P(a) + ½ P(tie), and in log ν it is [tie] − P(tie). Features are those of the
contextual model of the Chatbot Arena's style control (Li, Angelopoulos and Chiang, 2024, "Does style matter?").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, hstack
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from feedbackhub.stats.clusters import cluster_numbers, clustered_meat, meat, positive, quantile
from feedbackhub.stats.connectivity import rated_component, statuses
from feedbackhub.stats.newton import NoMaximumError, maximise
from feedbackhub.stats.ratings import Z95, Ratings
from feedbackhub.stats.tallies import Tallies, vote_arrays

HALF, DAVIDSON = "half", "davidson"
NOBODY = "no two models have both won and lost against each other, directly or through others"
SAME = "a feature is the same in every vote, so its effect cannot be estimated"
CONFOUNDED = "a feature follows from which models were compared, so its effect cannot be told from theirs"
UNBOUNDED = "the features alone settle votes that the models leave open, so their effect has no bound"
ONE_WAY = "without a circle of wins, ties can be as likely as one likes: Davidson's model has no finite answer"
CONFOUNDED_BELOW = 1e-9  # the share of a feature that the models leave open; less is rounding


@dataclass(frozen=True, eq=False)
class ContextualRatings:
    """`ratings` at equal features, from `votes` votes; None with `undefined_because` where there is no finite answer.

    `coefficients`, `coefficient_se` (K,): log-odds per standard deviation of a feature; `feature_mean`, `feature_sd`
    (K,): over the votes in the fit. `nu`: Davidson's ν, None where ties are half a win or there are none. `clusters`:
    how many there are, one number a way of clustering. `covariance`: of all estimates, in log-odds.
    """

    ratings: Ratings | None
    votes: int
    coefficients: np.ndarray = field(default_factory=lambda: np.zeros(0))
    coefficient_se: np.ndarray = field(default_factory=lambda: np.zeros(0))
    feature_mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    feature_sd: np.ndarray = field(default_factory=lambda: np.zeros(0))
    nu: float | None = None
    clusters: tuple[int, ...] = ()
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    undefined_because: str | None = None


def contextual_bradley_terry(
    models: int,
    a: ArrayLike,
    b: ArrayLike,
    outcome: ArrayLike,
    *,
    ties: str = HALF,
    features: ArrayLike | None = None,
    centred: bool = True,
    weights: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    judgment: ArrayLike | None = None,
    clusters: Sequence[ArrayLike] = (),
) -> ContextualRatings:
    """Fit N votes (a, b: model indices; outcome 1, ½, 0) by maximum likelihood, without regularisation.

    `ties`: `half` or `davidson`. `features`: (N, K), the first answer's less the second's; they are standardised. With
    `centred` False they are only divided by their standard deviation: ratings are then those at no difference at all,
    and a model that is always shown first is treated like any other.
    `weights`: (N,), at least 0. `counts`: (N,), a row stands for so many equal votes; not with clusters. `judgment`:
    (N,), votes with the same one came from one ranking and are one cluster; no correction for few clusters is made for
    it. `clusters`: one or two arrays (N,), which then take its place. Votes with a model outside the largest strongly
    connected component, or of weight 0, are left out before features are standardised. Raises ValueError for arrays
    that do not fit together.
    """
    a, b, outcome = vote_arrays(models, a, b, outcome)
    if ties not in (HALF, DAVIDSON):
        raise ValueError(f'ties "{ties}" are none of {HALF}, {DAVIDSON}')
    n = len(a)
    features = np.zeros((n, 0)) if features is None else np.asarray(features, dtype=np.float64)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if features.ndim != 2 or len(features) != n or not np.isfinite(features).all():
        raise ValueError(f"the features are of shape {features.shape}: they must be finite and one row for each vote")
    if weights.shape != (n,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("weights must be finite, at least 0, and one for each vote")
    counts = np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64)
    if counts.shape != (n,) or not (counts >= 0).all():
        raise ValueError("counts must be at least 0, and one for each row")
    if (counts != 1).any() and (judgment is not None or len(clusters)):
        raise ValueError("rows with counts are votes of nobody in particular: they cannot be clustered")
    counted = weights * counts > 0
    tallies = Tallies.of_votes(models, a[counted], b[counted], outcome[counted])
    rated = rated_component(tallies)
    place = np.full(models, -1)
    place[rated] = np.arange(len(rated))
    kept = counted & (place[a] >= 0) & (place[b] >= 0)
    a, b, outcome, features = place[a[kept]], place[b[kept]], outcome[kept], features[kept]
    weights, counts = weights[kept], counts[kept]
    groups = [cluster_numbers(np.asarray(one)[kept], len(a)) for one in clusters]
    votes_fitted = round(counts.sum())
    mean, sd = _moments(features, counts) if len(a) else (np.zeros(features.shape[1]),) * 2

    def undefined(reason: str) -> ContextualRatings:
        nothing = np.full(features.shape[1], np.nan)
        return ContextualRatings(None, votes_fitted, nothing, nothing, mean, sd, undefined_because=reason)

    if not centred:
        mean = np.zeros(features.shape[1])
    if not rated.size:
        return undefined(NOBODY)
    if (sd < 1e-12).any():
        return undefined(SAME)
    davidson = ties == DAVIDSON and bool((outcome == 0.5).any())
    if davidson and not features.size and not _circle_of_wins(tallies.between(rated)):
        return undefined(ONE_WAY)
    votes = _Votes.of(len(rated), a, b, outcome, (features - mean) / sd, weights * counts, davidson)
    if votes.confounded():
        return undefined(CONFOUNDED)
    try:
        estimates, steps = maximise(votes.collapsed().evaluate, np.zeros(votes.parameters))
    except NoMaximumError:
        return undefined(UNBOUNDED if features.size else ONE_WAY)
    scores = votes.scores(estimates)
    if groups:
        spread = clustered_meat(scores, groups)
    elif judgment is not None:
        spread = meat(scores, cluster_numbers(np.asarray(judgment)[kept], len(a)), corrected=False)
    else:
        spread = meat(csr_array(scores.multiply(1 / np.sqrt(counts)[:, None])))
    bread = np.linalg.inv(votes.evaluate(estimates)[2])
    covariance = bread @ spread @ bread
    if len(groups) > 1:
        covariance = positive(covariance)
    m, k = len(rated), features.shape[1]
    ratings = Ratings.of(
        status=statuses(tallies, rated),
        rated=rated,
        log_odds=estimates[:m] - estimates[:m].mean(),
        covariance=covariance[:m, :m],
        steps=steps,
        quantile=quantile(groups) if groups else Z95,
    )
    return ContextualRatings(
        ratings,
        votes_fitted,
        estimates[m : m + k],
        np.sqrt(np.diagonal(covariance)[m : m + k]),
        mean,
        sd,
        nu=float(np.exp(estimates[-1])) if davidson else None,
        clusters=tuple(int(one.max()) + 1 for one in groups),
        covariance=covariance,
    )


def _moments(features: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation (K,) over the votes."""
    if (counts == 1).all():
        return features.mean(axis=0), features.std(axis=0)
    mean = counts @ features / counts.sum()
    return mean, np.sqrt(counts @ (features - mean) ** 2 / counts.sum())


def _circle_of_wins(tallies: Tallies) -> bool:
    """Whether wins alone (no ties) lead from some model back to itself: then ν is bounded."""
    count, _ = connected_components(csr_array(tallies.wins), directed=True, connection="strong")
    return count < tallies.models


@dataclass(frozen=True, eq=False)
class _Votes:
    """Design (n, m + K): e_a − e_b, then z. Parameters: m ratings, K coefficients, and log ν with Davidson's ties."""

    models: int
    design: csr_array
    outcome: np.ndarray
    weights: np.ndarray
    davidson: bool

    @classmethod
    def of(cls, models, a, b, outcome, z, weights, davidson) -> "_Votes":
        n, k = z.shape
        columns = np.column_stack([a, b, np.tile(np.arange(models, models + k), (n, 1))])
        values = np.column_stack([np.ones(n), -np.ones(n), z])
        starts = np.arange(0, (2 + k) * n + 1, 2 + k)
        design = csr_array((values.ravel(), columns.ravel(), starts), shape=(n, models + k))
        return cls(models, design, outcome, weights, davidson)

    @property
    def parameters(self) -> int:
        return self.design.shape[1] + self.davidson

    def confounded(self) -> bool:
        """Whether some combination of the features is one of the models' differences: the design lacks in rank.

        Looks at the residuals of the features regressed on the models, beside the features (Schur's complement).
        """
        m = self.models
        if self.design.shape[1] == m:
            return False
        products = (self.design.T @ self.design.multiply(self.weights[:, None]).tocsr()).toarray()
        of_models, cross, of_features = products[:m, :m], products[:m, m:], products[m:, m:]
        of_models += np.trace(of_models) / m**2
        left = of_features - cross.T @ np.linalg.solve(of_models, cross)
        size = np.sqrt(np.diagonal(of_features))
        return bool(np.linalg.eigvalsh(left / np.outer(size, size))[0] < CONFOUNDED_BELOW)

    def collapsed(self) -> "_Votes":
        """Without features equal votes are one row with their summed weight: the maximum is the same."""
        if self.design.shape[1] > self.models:
            return self
        pairs = self.design.indices.reshape(-1, 2).astype(np.int64)
        cells = (pairs[:, 0] * self.models + pairs[:, 1]) * 3 + (2 * self.outcome).astype(np.int64)
        found, first, which = np.unique(cells, return_index=True, return_inverse=True)
        weights = np.bincount(which, self.weights, len(found))
        return _Votes(self.models, self.design[first], self.outcome[first], weights, self.davidson)

    def _chances(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(η, m, P(tie)), (n,) each."""
        logit = self.design @ x[: self.design.shape[1]]
        if not self.davidson:
            return logit, expit(logit), np.zeros(len(logit))
        tie = expit(x[-1] - np.logaddexp(logit / 2, -logit / 2))
        return logit, (1 - tie) * expit(logit) + tie / 2, tie

    def scores(self, x: np.ndarray) -> csr_array:
        """(n, parameters): each vote's score times its weight."""
        _, mean, tie = self._chances(x)
        by_design = self.design.multiply((self.weights * (self.outcome - mean))[:, None]).tocsr()
        if not self.davidson:
            return csr_array(by_design)
        of_tie = self.weights * ((self.outcome == 0.5) - tie)
        column = csr_array((of_tie, np.arange(len(tie)), np.array([0, len(tie)])), shape=(1, len(tie))).T
        return csr_array(hstack([by_design, column], format="csr"))

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        logit, mean, tie = self._chances(x)
        if self.davidson:
            tied = self.outcome == 0.5
            whole = np.logaddexp(np.logaddexp(logit / 2, -logit / 2), x[-1])
            log_likelihood = (self.weights * ((self.outcome - 0.5) * logit + tied * x[-1] - whole)).sum()
            wins = mean - tie / 2
            variance = wins + tie / 4 - mean**2
        else:
            losses = self.outcome * np.logaddexp(0, -logit) + (1 - self.outcome) * np.logaddexp(0, logit)
            log_likelihood = -(self.weights * losses).sum()
            variance = mean * expit(-logit)
        size = self.design.shape[1]
        gradient, information = np.zeros(self.parameters), np.zeros((self.parameters,) * 2)
        gradient[:size] = self.design.T @ (self.weights * (self.outcome - mean))
        weighted = self.design.multiply((self.weights * variance)[:, None]).tocsr()
        information[:size, :size] = (self.design.T @ weighted).toarray()
        if self.davidson:
            gradient[-1] = (self.weights * (tied - tie)).sum()
            cross = self.design.T @ (self.weights * tie * (0.5 - mean))
            information[-1, :size] = information[:size, -1] = cross
            information[-1, -1] = (self.weights * tie * (1 - tie)).sum()
        m = self.models
        # a multiple of 11ᵀ on the ratings fixes their mean
        information[:m, :m] += np.trace(information[:m, :m]) / m**2
        return float(log_likelihood), gradient, information
