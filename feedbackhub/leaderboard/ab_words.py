"""An A/B in words: what it comes to, how sure that is, and what is still missing."""

import math

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from feedbackhub.stats.compare import BETTER, NO_DIFFERENCE, NOT_ENOUGH, WORSE
from feedbackhub.stats.votes_needed import votes_planned

VERDICTS = {
    BETTER: lazy("better"),
    WORSE: lazy("worse"),
    NO_DIFFERENCE: lazy("no difference worth having"),
    NOT_ENOUGH: lazy("not enough votes yet"),
}
HEADLINES = {
    BETTER: lazy("%(a)s is better than %(b)s."),
    WORSE: lazy("%(a)s is worse than %(b)s."),
    NO_DIFFERENCE: lazy("No difference worth having between %(a)s and %(b)s."),
    NOT_ENOUGH: lazy("Not enough votes yet to tell %(a)s from %(b)s."),
}


def words_of(ab: dict) -> dict:
    """{headline, explanation: [sentence]} of `ab`'s numbers."""
    return {"headline": headline(ab["verdict"], ab["a"], ab["b"]), "explanation": _explanation(ab)}


def headline(verdict: str, a: str, b: str) -> str:
    return HEADLINES[verdict] % {"a": a, "b": b}


def percent(share: float) -> str:
    """0.534 → 53 %; finer near the ends and near ½, where rounding would change what it says."""
    value = 100 * share
    rounded = round(value)
    fine = rounded in (0, 50, 100) and abs(value - rounded) > 0.05
    return f"{value:.1f} %" if fine else f"{rounded} %"


def about(votes: int) -> str:
    """A forecast as exactly as it is known: 1617 → 1,600."""
    rounded = votes if votes < 20 else round(votes, 1 - int(math.log10(votes)))
    return number_format(rounded, force_grouping=True)


def _explanation(ab: dict) -> list[str]:
    votes = ab["wins_a"] + ab["wins_b"] + ab["ties"]
    if not votes:
        words = _(
            "To tell a win rate of 60 %% from one half takes about %(clear)s votes; one of 55 %%, about %(close)s."
        )
        given = {"clear": 0.6, "close": 0.55}
        return [words % {name: about(votes_planned(rate, ab["smallest_difference"])) for name, rate in given.items()}]
    words = ngettext(
        "%(a)s wins %(rate)s of %(votes)s vote, a tie as half a win; its win rate lies within %(lower)s and "
        "%(upper)s, at 95 %% however often one looks.",
        "%(a)s wins %(rate)s of %(votes)s votes, a tie as half a win; its win rate lies within %(lower)s and "
        "%(upper)s, at 95 %% however often one looks.",
        votes,
    )
    ends = {name: percent(ab["anytime"][name]) for name in ("lower", "upper")}
    said = [words % {"a": ab["a"], "rate": percent(ab["win_rate"]), "votes": votes, **ends}]
    if ab["verdict"] == NOT_ENOUGH:
        said += _missing(ab)
    elif ab["verdict"] == NO_DIFFERENCE:
        worth = _(
            "All of that is less than %(points)s points from one half, which this project holds not worth having."
        )
        said.append(worth % {"points": f"{100 * ab['smallest_difference']:g}"})
    return said


def _missing(ab: dict) -> list[str]:
    said = []
    if ab["votes_needed"] is None or ab["votes_needed_lower"] is None:
        said.append(_("At the present rate a million more votes would not settle it."))
    else:
        upper = ab["votes_needed_upper"] and about(ab["votes_needed_upper"])
        words = (
            _("About %(needed)s more votes will settle it (9 times in 10 it takes %(lower)s or more).")
            if upper is None
            else _("About %(needed)s more votes will settle it (8 times in 10 between %(lower)s and %(upper)s).")
        )
        given = {"needed": about(ab["votes_needed"]), "lower": about(ab["votes_needed_lower"]), "upper": upper}
        said.append(words % given)
    if ab["minimum_detectable"] is not None:
        words = _("So many votes find a win rate of %(rate)s or more (or as far below one half) 4 times in 5.")
        said.append(words % {"rate": percent(0.5 + ab["minimum_detectable"])})
    return said
