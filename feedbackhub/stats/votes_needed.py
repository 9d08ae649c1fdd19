"""How many more votes an A/B will take until the anytime-valid test settles it, with what is uncertain about that.

The votes so far leave the win rate uncertain, and the way from here is a random walk: one line through the present rate
would say too little where chance has been kind, and too much where it has not. So some hundred futures are drawn: the
share of wins among decisive votes from its Beta posterior, then the votes as a normal walk. The median of when they
settle is the answer (the posterior predictive; Spiegelhalter, Abrams and Myles, 2004, section 6.5).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from feedbackhub.stats.anytime import ALPHA, EQUIVALENCE, MAX_VOTES, log_capital, log_e_value

FUTURES = 300
STEP = 1.08  # from one look to the next: nearer than the answer is sure
PRIOR = 1.0  # Beta(1, 1): before any vote, every share is as likely


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
) -> VotesNeeded | None:
    """None without votes; 0 when it is settled: the e-value has reached 1/α, or the whole confidence sequence lies
    inside ½ ± `equivalence`. The same counts give the same answer."""
    if wins + losses + ties == 0:
        return None
    if is_settled(wins, losses, ties, alpha=alpha, equivalence=equivalence):
        return VotesNeeded(0, 0, 0)
    times = _times(wins, losses, ties, alpha, equivalence, futures, np.random.default_rng(seed))
    lower, median, upper = np.quantile(times, [0.1, 0.5, 0.9], method="higher")
    return VotesNeeded(*(int(np.ceil(one)) if np.isfinite(one) else None for one in (median, lower, upper)))


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


def _times(wins, losses, ties, alpha, equivalence, futures, rng) -> np.ndarray:
    """When each future settles, in votes from now; infinite where it has not within a million."""
    votes, decisive = wins + losses + ties, wins + losses
    threshold = -np.log(alpha)
    more = _looks()
    share = rng.beta(wins + PRIOR, losses + PRIOR, futures)[:, None]
    decided = (decisive + 1) / (votes + 2)  # the share of votes that decide
    steps = np.diff(more, prepend=0) * decided
    noise = rng.standard_normal((futures, more.size)) * np.sqrt(steps * share * (1 - share))
    won = np.cumsum(steps * share + noise, axis=1)
    total = np.broadcast_to(np.cumsum(steps), won.shape)
    won = np.clip(won, 0, total)
    w, lost, tied = wins + won, losses + total - won, ties + more - np.cumsum(steps)
    settled = betaln(0.5 + w, 0.5 + lost) - betaln(0.5, 0.5) + (w + lost) * np.log(2) >= threshold
    if 0 < equivalence < 0.5:
        n = w + lost + tied
        rate = (w + tied / 2) / n
        near = np.abs(rate - 0.5) < equivalence
        for m in (0.5 - equivalence, 0.5 + equivalence):
            near &= log_capital_approximate(m, w, lost, tied) >= threshold
        settled |= near
    first = settled.argmax(axis=1)
    return np.where(settled.any(axis=1), more[first], np.inf)


def _looks() -> np.ndarray:
    """1, 2, 3, … and from there on in steps of 8 %, up to a million."""
    count = int(np.log(MAX_VOTES) / np.log(STEP)) + 1
    return np.unique(np.round(STEP ** np.arange(count + 1)))


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
