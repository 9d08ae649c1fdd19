"""Bradley–Terry with the length of the answers as a covariate: how models would rank at equal length.

logit P(a beats b) = θa − θb + c·z, z the standardised length feature. The idea is that of Dubois et al. (2024),
"Length-Controlled AlpacaEval", and of the Chatbot Arena's style control (Li, Angelopoulos, Chiang 2024).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from feedbackhub.stats import contextual
from feedbackhub.stats.contextual import contextual_bradley_terry
from feedbackhub.stats.ratings import Ratings

WORDS = {
    contextual.SAME: "the length difference is the same in every vote, so its effect cannot be estimated",
    contextual.CONFOUNDED: "length follows from which models were compared, so its effect cannot be told from theirs",
    contextual.UNBOUNDED: "length alone settles votes that the models leave open, so its effect has no bound",
}


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
    feature = length_feature(chars_a, chars_b)
    fit = contextual_bradley_terry(models, a, b, outcome, features=feature[:, None], judgment=judgment)
    numbers = (fit.coefficients, fit.coefficient_se, fit.feature_mean, fit.feature_sd)
    reason = fit.undefined_because
    return LengthControlledRatings(
        fit.ratings, *(float(one[0]) for one in numbers), fit.votes, WORDS.get(reason, reason) if reason else None
    )
