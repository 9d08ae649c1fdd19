"""How many more votes an A/B will take until the anytime-valid test settles it, with what is uncertain about that.

The votes so far leave the win rate uncertain, and the way from here is a random walk: one line through the present rate
would say too little where chance has been kind, and too much where it has not. So some hundred futures are drawn: the
share of wins among decisive votes from its Beta posterior, then the votes as a normal walk. The median of when they
settle is the answer (the posterior predictive; Spiegelhalter, Abrams and Myles, 2004, section 6.5): as often too long
as too short over A/Bs such as the prior expects.

The prior is Beta(5, 5). Pairs of different models in public votes are nearly flat (Beta(1.3, 1.3) fits 376 pairs of
LLMFAO and 66 of WildBench best); a model and what was tuned from it lie nearer to ½. Five is between: the medians are
within a factor 1.5 for both (bench/verdicts.py).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from feedbackhub.stats.anytime import ALPHA, EQUIVALENCE, MAX_VOTES, log_capital, log_e_value

FUTURES = 300
STEP = 1.08  # from one look to the next
OVERSHOOT = 0.583  # standard deviations of a vote, that a walk in single votes lies beyond a line when it crosses it
PRIOR = 5.0
PRIOR_DECIDED = (1.6, 0.4)  # a fifth are ties before any vote says otherwise, as strong as two votes


@dataclass(frozen=True)
class VotesNeeded:
    """Further votes: the `median`, and the middle 80 % of the futures; None stands for more than a million."""

    median: int | None
    lower: int | None
    upper: int | None


def votes_needed(
    wins: float,
    losses: float,
    ties: float = 0,
    *,
    alpha: float = ALPHA,
    equivalence: float = EQUIVALENCE,
    futures: int = FUTURES,
    seed: int = 0,
    share: float | None = None,
) -> VotesNeeded | None:
    """None without votes; 0 when it is settled: the e-value has reached 1/α, or the whole confidence sequence lies
    inside ½ ± `equivalence`. The same counts give the same answer.

    With the true `share` of wins among decisive votes, where one plans or simulates: also without votes.
    """
    if share is None and wins + losses + ties == 0:
        return None
    if is_settled(wins, losses, ties, alpha=alpha, equivalence=equivalence):
        return VotesNeeded(0, 0, 0)
    rng = np.random.default_rng(seed)
    if share is None:
        shares = rng.beta(wins + PRIOR, losses + PRIOR, futures)
    else:
        shares = np.full(futures, share)
    times = _times(wins, losses, ties, alpha, equivalence, shares[:, None], rng)
    lower, median, upper = np.quantile(times, [0.1, 0.5, 0.9], method="higher")
    return VotesNeeded(*(int(np.ceil(one)) if np.isfinite(one) else None for one in (median, lower, upper)))


def votes_planned(win_rate: float, equivalence: float = EQUIVALENCE) -> int:
    """How many votes an A/B of this true win rate, a fifth of them ties, takes in the median; a million for more."""
    ties = PRIOR_DECIDED[1] / sum(PRIOR_DECIDED)
    found = votes_needed(0, 0, equivalence=equivalence, share=(win_rate - ties / 2) / (1 - ties))
    return found.median or MAX_VOTES


def is_settled(
    wins: float, losses: float, ties: float, *, alpha: float = ALPHA, equivalence: float = EQUIVALENCE
) -> bool:
    """Whether ½ is refuted, or both ends of ½ ± `equivalence` are."""
    threshold = -np.log(alpha)
    if log_e_value(wins, losses) >= threshold:
        return True
    votes = wins + losses + ties
    if not votes or not 0 < equivalence < 0.5 or abs((wins + ties / 2) / votes - 0.5) >= equivalence:
        return False
    return all(log_capital(0.5 + side * equivalence, wins, losses, ties) >= threshold for side in (-1, 1))


def _times(wins, losses, ties, alpha, equivalence, share, rng) -> np.ndarray:
    """When each future, of a `share` (F, 1), settles, in votes from now; infinite where it has not within a million.

    At a look all futures have as many decisive votes, so that what settles is a matter of how far the wins lie from
    half of them: `beyond` or more, or `near` or less. Between two looks a walk may cross and come back, which the
    Brownian bridge between them gives the probability of.
    """
    votes, decisive = wins + losses + ties, wins + losses
    more = _looks()
    steps = np.diff(more, prepend=0)
    decided = (decisive + PRIOR_DECIDED[0]) / (votes + sum(PRIOR_DECIDED))  # the share of votes that decide
    total = decisive + decided * more
    beyond = _refuting(total, alpha)
    near = _equivalent(total, ties + (1 - decided) * more, alpha, equivalence)

    variance = steps * decided * share * (1 - share)
    walk = rng.standard_normal((share.size, more.size)) * np.sqrt(variance)
    walk += steps * decided * (share - 0.5)
    walk = (wins - losses) / 2 + np.cumsum(walk, axis=1)
    walk = np.clip(walk, -total / 2, total / 2)
    settled = (np.abs(walk) >= beyond) | (np.abs(walk) <= near)
    settled[:, 1:] |= _crossed(walk, beyond, near, variance) > rng.random((share.size, more.size - 1))
    first = settled.argmax(axis=1)
    within = np.ceil(more[first] - steps[first] * rng.random(share.size))
    return np.where(settled.any(axis=1), np.maximum(within, 1), np.inf)


def _looks() -> np.ndarray:
    """1, 2, 3, … and from there on in steps of 8 %, up to a million."""
    count = int(np.log(MAX_VOTES) / np.log(STEP)) + 1
    return np.unique(np.round(STEP ** np.arange(count + 1)))


def _crossed(walk: np.ndarray, beyond: np.ndarray, near: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The probability (F, L − 1) that a walk settled between two looks at which it had not.

    exp(−2 d₁ d₂ / σ²) for a straight line at the distances d₁ and d₂ (Siegmund, 1985, eq. 3.14), the line moved away by
    OVERSHOOT, for votes come one at a time (his section 10.2). Steps of one vote need none.
    """
    variance = variance[:, 1:]
    one_vote = np.sqrt(variance / np.maximum(np.diff(_looks()), 1))
    missed = np.ones_like(variance)
    side = np.sign(walk[:, :-1])
    lines = ((beyond, 1.0, 1.0), (beyond, -1.0, 1.0), (near, side, -1.0))
    for line, toward, sign in lines:
        with np.errstate(invalid="ignore"):
            before, after = (
                np.maximum(sign * (part - toward * at) + OVERSHOOT * one_vote, 0)
                for part, at in ((line[:-1], walk[:, :-1]), (line[1:], walk[:, 1:]))
            )
            chance = np.exp(-2 * before * after / np.maximum(variance, 1e-12))
        missed *= 1 - np.where(np.isfinite(line[:-1] + line[1:]), chance, 0)
    return np.where(np.diff(_looks()) > 1, 1 - missed, 0)


def _refuting(total: np.ndarray, alpha: float) -> np.ndarray:
    """How far the wins must lie from half of `total` decisive votes (L,) to refute ½; infinite for too few."""

    def refuted(far: np.ndarray) -> np.ndarray:
        return _log_e(total / 2 + far, total / 2 - far) >= -np.log(alpha)

    return np.where(refuted(total / 2), _least(refuted, np.zeros_like(total), total / 2), np.inf)


def _equivalent(total: np.ndarray, ties: np.ndarray, alpha: float, equivalence: float) -> np.ndarray:
    """How near the wins must lie to half of `total` (L,) for both ends of ½ ± `equivalence` to be refuted; −inf for
    too few."""
    if not 0 < equivalence < 0.5:
        return np.full_like(total, -np.inf)

    def not_yet(far: np.ndarray) -> np.ndarray:
        capital = log_capital_approximate(0.5 + equivalence, total / 2 + far, total / 2 - far, ties)
        return capital < -np.log(alpha)

    furthest = np.minimum(equivalence * (total + ties), total / 2)
    return np.where(not_yet(np.zeros_like(total)), -np.inf, _least(not_yet, np.zeros_like(total), furthest))


def _least(holds, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Where between `least` and `most` a condition that holds from some point on begins, by bisection."""
    for _ in range(24):
        middle = (least + most) / 2
        found = holds(middle)
        least, most = np.where(found, least, middle), np.where(found, middle, most)
    return most


def _log_e(wins: np.ndarray, losses: np.ndarray) -> np.ndarray:
    return betaln(0.5 + wins, 0.5 + losses) - betaln(0.5, 0.5) + (wins + losses) * np.log(2)


def log_capital_approximate(m: float, wins, losses, ties) -> np.ndarray:
    """`anytime.log_capital` by Laplace's method around the best bet, for arrays of many votes.

    max over λ of Σ log(1 + λ(y − m)) ≈ n(ȳ − m)² / 2v with v the mean of (y − m)²; the mixture costs the rest.
    """
    n = wins + losses + ties
    mean = (wins + ties / 2) / n
    v = (wins * (1 - m) ** 2 + losses * m**2 + ties * (0.5 - m) ** 2) / n
    q = np.clip(m + m * (1 - m) * (mean - m) / v, 1e-3, 1 - 1e-3)
    return (
        n * (mean - m) ** 2 / (2 * v)
        - np.log(np.pi * np.sqrt(q * (1 - q)))
        + 0.5 * np.log(2 * np.pi / (n * v))
        + np.log(m * (1 - m))
    )
