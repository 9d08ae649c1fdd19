"""A against B in one summary, with a verdict in a word."""

from dataclasses import asdict, dataclass

from feedbackhub.stats.anytime import EQUIVALENCE, AnytimeTest, anytime_test, votes_needed
from feedbackhub.stats.intervals import sign_test, win_rate_interval

BETTER = "better"
WORSE = "worse"
NO_DIFFERENCE = "no_difference"
NOT_ENOUGH = "not_enough"
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """`a` against `b`. `win_rate` of a: (wins + ½ ties) / votes, None without votes; `lower`, `upper`: its 95 %
    interval. `both_bad` is a count beside it. `p_value`: exact sign test, two-sided, ties left out.
    `anytime`: valid however often one looks. `votes_needed`: further votes until the anytime test settles it at the
    present rate; 0 when the verdict is in, None when it cannot be said."""

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

    def as_dict(self) -> dict:
        """The same as plain values, `anytime` as a dict."""
        return asdict(self)


def compare(wins_a: int, wins_b: int, ties: int = 0, both_bad: int = 0) -> Comparison:
    """Summarise votes between two models; `both_bad` enters no number. ValueError for a negative count.

    The verdict: `better` (`worse`) when the interval of the win rate lies wholly above (below) ½ and the sign test's
    p is below 0.05; `no_difference` when the interval lies wholly inside 0.45 … 0.55, the region of practical
    equivalence (Kruschke, 2018); `not_enough` otherwise. It is for one look; for many looks go by `anytime`.
    """
    if both_bad < 0:
        raise ValueError(f"{both_bad} votes for both_bad: a count must be at least 0")
    anytime = anytime_test(wins_a, wins_b, ties)
    votes = wins_a + wins_b + ties
    if votes == 0:
        return Comparison(wins_a, wins_b, ties, both_bad, None, None, None, None, NOT_ENOUGH, anytime, None)
    lower, upper = win_rate_interval(wins_a, wins_b, ties)
    p_value = sign_test(wins_a, wins_b)
    verdict = _verdict(lower, upper, p_value)
    needed = votes_needed(wins_a, wins_b, ties) if verdict == NOT_ENOUGH else 0
    rate = (wins_a + ties / 2) / votes
    return Comparison(wins_a, wins_b, ties, both_bad, rate, lower, upper, p_value, verdict, anytime, needed)


def _verdict(lower: float, upper: float, p_value: float) -> str:
    if lower > 0.5 and p_value < SIGNIFICANCE:
        return BETTER
    if upper < 0.5 and p_value < SIGNIFICANCE:
        return WORSE
    if lower > 0.5 - EQUIVALENCE and upper < 0.5 + EQUIVALENCE:
        return NO_DIFFERENCE
    return NOT_ENOUGH
