"""Bradley–Terry with the length of the answers as a covariate: how models would rank at equal length.

logit P(a beats b) = θa − θb + c·z, z the standardised length feature. The idea is that of Dubois et al. (2024),
"Length-Controlled AlpacaEval", and of the Chatbot Arena's style control (Li, Angelopoulos, Chiang 2024).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.special import expit

from feedbackhub.stats.connectivity import rated_component, statuses
from feedbackhub.stats.newton import NoMaximumError, maximise
from feedbackhub.stats.ratings import Ratings
from feedbackhub.stats.tallies import Tallies, vote_arrays


@dataclass(frozen=True, eq=False)
class LengthControlledRatings:
    """`ratings` at equal length; `coefficient` (log-odds per standard deviation of the feature) and its sandwich
    error; the feature's mean and population standard deviation over the `votes` in the fit.

    Where the fit has no finite answer, `undefined_because` says why, `ratings` is None and the numbers are NaN.
    """

    ratings: Ratings | None
    coefficient: float
    coefficient_se: float
    feature_mean: float
    feature_sd: float
    votes: int
    undefined_because: str | None = None


def length_feature(chars_a: ArrayLike, chars_b: ArrayLike) -> np.ndarray:
    """(chars_a − chars_b) / (chars_a + chars_b + 1), in (−1, 1), for lengths (N,) in characters.

    ValueError names the first length that is negative or not a number.
    """
    chars_a, chars_b = np.asarray(chars_a, dtype=np.float64), np.asarray(chars_b, dtype=np.float64)
    for name, values in (("chars_a", chars_a), ("chars_b", chars_b)):
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if wrong.size:
            raise ValueError(f"{name}[{wrong[0]}] is {values[wrong[0]]}: leave out votes whose lengths are not known")
    return (chars_a - chars_b) / (chars_a + chars_b + 1)


def length_controlled_bradley_terry(
    models: int,
    a: ArrayLike,
    b: ArrayLike,
    outcome: ArrayLike,
    chars_a: ArrayLike,
    chars_b: ArrayLike,
    *,
    judgment: ArrayLike | None = None,
) -> LengthControlledRatings:
    """Fit N votes (a, b: model indices; outcome 1, ½, 0; lengths in characters) without regularisation, by Newton.

    `judgment`: (N,) integers; votes with the same one came from one ranking and are one cluster in the errors. Votes
    with a model outside the largest strongly connected component are left out before the feature is standardised.
    Raises ValueError as `vote_arrays` and `length_feature` do.
    """
    a, b, outcome = vote_arrays(models, a, b, outcome)
    feature = length_feature(chars_a, chars_b)
    if feature.shape != a.shape:
        raise ValueError(f"the lengths are of shape {feature.shape} but the votes of {a.shape}")
    tallies = Tallies.of_votes(models, a, b, outcome)
    rated = rated_component(tallies)
    place = np.full(models, -1)
    place[rated] = np.arange(len(rated))
    kept = (place[a] >= 0) & (place[b] >= 0)
    a, b, outcome, feature = place[a[kept]], place[b[kept]], outcome[kept], feature[kept]
    cluster = None if judgment is None else np.unique(np.asarray(judgment)[kept], return_inverse=True)[1]

    def undefined(reason: str, mean: float = np.nan, sd: float = np.nan) -> LengthControlledRatings:
        return LengthControlledRatings(None, np.nan, np.nan, mean, sd, len(a), reason)

    if not rated.size:
        return undefined("no two models have both won and lost against each other, directly or through others")
    mean, sd = float(feature.mean()), float(feature.std())
    if sd < 1e-12:
        return undefined("the length difference is the same in every vote, so its effect cannot be estimated", mean, sd)
    design = _design(len(rated), a, b, (feature - mean) / sd)
    try:
        estimates, steps = maximise(lambda x: _evaluate(x, design, outcome), np.zeros(len(rated) + 1))
    except NoMaximumError:
        return undefined("length alone settles votes that the models leave open, so its effect has no bound", mean, sd)
    covariance = _sandwich(estimates, design, outcome, cluster)
    ratings = Ratings.of(
        status=statuses(tallies, rated),
        rated=rated,
        log_odds=estimates[:-1] - estimates[:-1].mean(),
        covariance=covariance[:-1, :-1],
        steps=steps,
    )
    return LengthControlledRatings(
        ratings, float(estimates[-1]), float(np.sqrt(covariance[-1, -1])), mean, sd, len(outcome)
    )


def _design(models: int, a: np.ndarray, b: np.ndarray, z: np.ndarray) -> csr_array:
    """(N, models + 1), sparse: e_a − e_b, then z."""
    columns = np.column_stack([a, b, np.full(len(a), models)])
    values = np.column_stack([np.ones(len(a)), -np.ones(len(a)), z])
    starts = np.arange(0, 3 * len(a) + 1, 3)
    return csr_array((values.ravel(), columns.ravel(), starts), shape=(len(a), models + 1))


def _evaluate(x: np.ndarray, design: csr_array, outcome: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    logit = design @ x
    log_likelihood = -(outcome * np.logaddexp(0, -logit) + (1 - outcome) * np.logaddexp(0, logit)).sum()
    return log_likelihood, design.T @ (outcome - expit(logit)), _information(logit, design)


def _information(logit: np.ndarray, design: csr_array) -> np.ndarray:
    """The information, with a multiple of 11ᵀ on the ratings, which fixes their mean."""
    weighted = design.multiply((expit(logit) * expit(-logit))[:, None]).tocsr()
    information = (design.T @ weighted).toarray()
    models = len(information) - 1
    information[:-1, :-1] += np.trace(information[:-1, :-1]) / models**2
    return information


def _sandwich(x: np.ndarray, design: csr_array, outcome: np.ndarray, cluster: np.ndarray | None) -> np.ndarray:
    logit = design @ x
    scores = design.multiply((outcome - expit(logit))[:, None]).tocsr()
    if cluster is not None:
        votes = len(cluster)
        scores = csr_array((np.ones(votes), (cluster, np.arange(votes)))) @ scores
    bread = np.linalg.inv(_information(logit, design))
    return bread @ (scores.T @ scores).toarray() @ bread
