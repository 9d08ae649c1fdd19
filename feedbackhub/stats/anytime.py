"""A test and an interval for the win rate that stay valid however often one looks and whenever one stops.

The bet. Against the claim "the win rate is m" start with 1 and stake on every vote y ∈ {0, ½, 1} the factor
1 + λ(y − m). If the claim is true the capital is a martingale whatever λ in [−1/(1 − m), 1/m] is, so a mixture over
λ is one too, and by Ville's inequality (1939) it ever reaches 1/α with probability at most α. Votes need not be
independent: it is enough that each one's mean, given those before, is m. With λ = (q − m) / (m(1 − m)) a win gives
q/m, a loss (1 − q)/(1 − m), a tie 1 + λ(½ − m); we mix q over the Beta(½, ½) distribution. At m = ½ a tie gives 1, and
the capital is the beta-binomial mixture of Robbins (1970) on the decisive votes. The capital needs only the counts.
All m that the capital has not refuted form the confidence sequence.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", JRSS B 2024; Orabona and Jun, "Tight concentrations and
confidence sequences from the regret of universal portfolio", 2021 (the same mixture).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, xlogy

ALPHA = 0.05
EQUIVALENCE = 0.05  # win rates within ½ ± this are "no difference" in practice
MAX_VOTES = 1_000_000
NODES = 1024


@dataclass(frozen=True)
class AnytimeTest:
    """`e_value` against "the win rate is ½" (20 refutes it at 5 %, whenever one stops); `lower`, `upper` of the
    win rate's 95 % confidence sequence, a tie as ½. ½ is outside exactly when `e_value` ≥ 20."""

    e_value: float
    lower: float
    upper: float


def anytime_test(wins: float, losses: float, ties: float = 0, *, alpha: float = ALPHA) -> AnytimeTest:
    """Test the win rate of `wins`, `losses` and `ties` (a tie is half a win). ValueError for a negative count.

    The e-value is cut at 1e300, so that it stays a number that JSON can carry.
    """
    if min(wins, losses, ties) < 0:
        raise ValueError(f"{wins} wins, {losses} losses, {ties} ties: a count must be at least 0")
    e_value = float(np.exp(min(log_e_value(wins, losses), np.log(1e300))))
    votes = wins + losses + ties
    if votes == 0:
        return AnytimeTest(e_value, 0.0, 1.0)
    rate = (wins + ties / 2) / votes

    def beyond(m: float) -> float:
        return log_capital(m, wins, losses, ties) + np.log(alpha)

    # The observed rate is never refuted: a product of 1 + λ(y − mean) is at most exp(0).
    lower = _boundary(beyond, outside=0.0, inside=rate if losses + ties else 1 - 1e-12) if wins + ties else 0.0
    upper = _boundary(beyond, outside=1.0, inside=rate if wins + ties else 1e-12) if losses + ties else 1.0
    return AnytimeTest(e_value, lower, upper)


def log_e_value(wins: float, losses: float) -> float:
    """log of the capital against ½: log B(½ + w, ½ + l) − log B(½, ½) + (w + l) log 2. Ties do not enter."""
    return float(betaln(0.5 + wins, 0.5 + losses) - betaln(0.5, 0.5) + (wins + losses) * np.log(2))


def log_capital(m: float, wins: float, losses: float, ties: float) -> float:
    """log of the capital of the mixture against the win rate m, 0 < m < 1.

    With q = sin²φ the Beta(½, ½) distribution is uniform in φ. The integrand has one peak (its log is concave in λ):
    a first grid finds where it matters, a second one integrates there.
    """

    def log_integrand(phi: np.ndarray) -> np.ndarray:
        win, loss = np.sin(phi) ** 2, np.cos(phi) ** 2
        tie = 1 + (win - m) / (m * (1 - m)) * (0.5 - m)
        return xlogy(wins, win / m) + xlogy(losses, loss / (1 - m)) + xlogy(ties, tie)

    begin, end = 0.0, np.pi / 2
    for _ in range(2):
        step = (end - begin) / NODES
        phi = begin + step * (np.arange(NODES) + 0.5)
        values = log_integrand(phi)
        peak = values.max()
        near = phi[values > peak - 40]
        begin, end = max(0.0, near[0] - step), min(np.pi / 2, near[-1] + step)
    return float(peak + np.log(np.exp(values - peak).sum() * step / (np.pi / 2)))


def _boundary(beyond: Callable[[float], float], *, outside: float, inside: float) -> float:
    """Where between `outside` (0 or 1) and `inside` the refuted rates end, to 1e-10; `beyond` is above 0 there."""
    edge = abs(outside - 1e-12)
    if beyond(edge) <= 0:
        return outside
    return float(brentq(beyond, edge, inside, xtol=1e-10, rtol=1e-12))
