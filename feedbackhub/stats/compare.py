"""A against B in one summary, with a verdict in a word that holds however often one looks."""

from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import betaincinv

from feedbackhub.stats.anytime import ALPHA, EQUIVALENCE, AnytimeTest, anytime_test, log_e_value
from feedbackhub.stats.intervals import sign_test, win_rate_interval
from feedbackhub.stats.votes_needed import votes_needed

BETTER = "better"
WORSE = "worse"
NO_DIFFERENCE = "no_difference"
NOT_ENOUGH = "not_enough"
POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """`a` against `b`. `win_rate` of a: (wins + ½ ties) / votes, None without votes; `lower`, `upper`: its 95 %
    interval for one look. `both_bad` is a count beside it. `p_value`: exact sign test, two-sided, ties left out.
    `anytime`: valid however often one looks, and what the verdict goes by. `votes_needed`: further votes until it is
    settled, the median of what may come, with the middle 80 % in `votes_needed_lower` and `_upper`; 0 when the verdict
    is in, None when it cannot be said. `minimum_detectable`: the smallest distance of the win rate from ½ that as many
    votes settle 4 times in 5; None without decisive votes. `smallest_difference`: what counts as worth having.
    `design_effect`: how many votes tell as much as one independent one."""

    wins_a: int
    wins_b: int
    ties: int
    both_bad: int
    win_rate: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    verdict: str
    anytime: AnytimeTest
    votes_needed: int | None
    votes_needed_lower: int | None = None
    votes_needed_upper: int | None = None
    minimum_detectable: float | None = None
    smallest_difference: float = EQUIVALENCE
    design_effect: float = 1.0

    def as_dict(self) -> dict:
        """The same as plain values, `anytime` as a dict."""
        return asdict(self)


def compare(
    wins_a: int,
    wins_b: int,
    ties: int = 0,
    both_bad: int = 0,
    *,
    smallest_difference: float = EQUIVALENCE,
    design_effect: float = 1.0,
) -> Comparison:
    """Summarise votes between two models; `both_bad` enters no number.

    The verdict goes by the confidence sequence, which covers the true win rate at all times at once with probability
    95 %: `no_difference` when all of it lies within ½ ± `smallest_difference`, the region of practical equivalence
    (Kruschke, 2018); else `better` (`worse`) when all of it lies above (below) ½; else `not_enough`. Where votes come
    in clusters, the counts are divided by the `design_effect` first. ValueError for a negative count, an effect below
    1, or a difference outside 0 … ½.
    """
    if both_bad < 0:
        raise ValueError(f"{both_bad} votes for both_bad: a count must be at least 0")
    if design_effect < 1 or not 0 <= smallest_difference < 0.5:
        raise ValueError(f"design effect {design_effect}, smallest difference {smallest_difference}: out of range")
    effective = tuple(count / design_effect for count in (wins_a, wins_b, ties))
    anytime, verdict = anytime_verdict(*effective, smallest_difference=smallest_difference)
    votes = wins_a + wins_b + ties
    known = {"smallest_difference": smallest_difference, "design_effect": design_effect}
    if votes == 0:
        return Comparison(wins_a, wins_b, ties, both_bad, *[None] * 4, NOT_ENOUGH, anytime, None, **known)
    needed = votes_needed(*effective, equivalence=smallest_difference) if verdict == NOT_ENOUGH else None
    return Comparison(
        wins_a,
        wins_b,
        ties,
        both_bad,
        (wins_a + ties / 2) / votes,
        *win_rate_interval(*effective),
        sign_test(wins_a, wins_b),
        verdict,
        anytime,
        *(
            _times(count, design_effect)
            for count in ((needed.median, needed.lower, needed.upper) if needed else (0,) * 3)
        ),
        minimum_detectable=minimum_detectable(*effective),
        **known,
    )


def anytime_verdict(
    wins: float, losses: float, ties: float = 0, *, smallest_difference: float = EQUIVALENCE
) -> tuple[AnytimeTest, str]:
    """The test and its verdict alone, of (effective) counts: what many pairs are looked through by."""
    found = anytime_test(wins, losses, ties)
    if found.lower > 0.5 - smallest_difference and found.upper < 0.5 + smallest_difference:
        return found, NO_DIFFERENCE
    if found.lower > 0.5:
        return found, BETTER
    return found, WORSE if found.upper < 0.5 else NOT_ENOUGH


def _times(count: int | None, design_effect: float) -> int | None:
    return None if count is None else int(np.ceil(count * design_effect))


def minimum_detectable(
    wins: float, losses: float, ties: float = 0, *, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """The smallest |win rate − ½| that the anytime test finds with this power once so many votes are in (it may find
    it sooner). None without decisive votes, or when so few could settle nothing, whatever they said."""
    decisive, votes = wins + losses, wins + losses + ties
    if not decisive or log_e_value(decisive, 0) < -np.log(alpha):
        return None
    least, most = decisive / 2, decisive
    while most - least > 1e-6 * decisive:
        middle = (least + most) / 2
        least, most = (least, middle) if log_e_value(middle, decisive - middle) >= -np.log(alpha) else (middle, most)
    # P(at least k of n) = I_q(k, n − k + 1), the binomial's tail as a beta function, which takes fractions too
    least = min(np.ceil(most), decisive)
    share = betaincinv(least, decisive - least + 1, power)
    return float((share - 0.5) * decisive / votes)


def design_effect(votes: Iterable[tuple[Hashable, float]]) -> float:
    """By how much votes that come in clusters spread more than independent ones: the cluster-robust variance of their
    mean over the plain one, at least 1. `votes`: (cluster, y), y ∈ {0, ½, 1}. Exactly 1 with one vote a cluster.

    Kish (1965); the small-sample factor G/(G − 1) of Liang and Zeger (1986) where there are clusters of several.
    """
    clusters, values = [], []
    places: dict[Hashable, int] = {}
    for cluster, value in votes:
        clusters.append(places.setdefault(cluster, len(places)))
        values.append(value)
    count = len(places)
    if count == len(values) or count < 2:
        return 1.0
    residuals = np.array(values) - np.mean(values)
    plain = float((residuals**2).sum())
    sums = np.bincount(clusters, weights=residuals)
    return max(1.0, float((sums**2).sum()) / plain * count / (count - 1)) if plain else 1.0
