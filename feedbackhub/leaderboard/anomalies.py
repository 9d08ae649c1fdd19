"""What does not fit: circles and pairs that the ratings cannot explain, raters who lean, bursts, wins by length.

Each is a hint with its numbers and an innocent reading; nothing follows from it by itself.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from django.utils.translation import gettext as _

from feedbackhub.projects.models import Project
from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.circular_triads import circular_triads
from feedbackhub.stats.contextual import contextual_bradley_terry
from feedbackhub.stats.length_control import length_feature
from feedbackhub.stats.misfit import bursts, leaning, pair_misfits
from feedbackhub.stats.ratings import MEAN, SCALE, Z95

from .ballots import Ballots, ballots_read
from .options import Options

SHOWN = 10  # of a kind
HOUR = 3600


def anomalies_compute(project: Project, options: Options) -> dict:
    """{votes, triads: {triads, circular, expected}, found: [{code, …}]}; `words` says each."""
    ballots = ballots_read(project, replace(options, method="bt"))
    ballots = ballots.where(ballots.decided)
    tallies = ballots.tallies()
    ratings = bradley_terry(tallies)
    theta = (ratings.rating - MEAN) / SCALE
    names = [model.name for model in ballots.models]
    wins = tallies.win_matrix
    triads = circular_triads(wins)
    found = [
        {"code": "circle", "models": [names[place] for place in cycle], "shares": _shares(wins, cycle)}
        for cycle in triads.cycles[:SHOWN]
        if _sure(wins, cycle)
    ]
    found += [
        {"code": "pair", "model": names[one.model], "other": names[one.group], **_numbers(one)}
        for one in pair_misfits(theta, wins)[:SHOWN]
    ]
    found += [
        {"code": "rater", "rater": ballots.raters[one.group], "model": names[one.model], **_numbers(one)}
        for one in leaning(theta, ballots.a, ballots.b, ballots.outcome, ballots.rater)[:SHOWN]
    ]
    found += _bursts(ballots, names) + _by_length(ballots, ratings, names)
    counted = {"triads": triads.triads, "circular": triads.circular, "expected": triads.expected}
    return {"votes": len(ballots), "triads": counted, "found": found}


def _numbers(one) -> dict:
    return {"votes": one.votes, "won": one.won, "expected": one.expected, "p": one.p}


def _shares(wins: np.ndarray, cycle: tuple[int, int, int]) -> list[float]:
    pairs = zip(cycle, (*cycle[1:], cycle[0]), strict=True)
    return [float(wins[i, j] / (wins[i, j] + wins[j, i])) for i, j in pairs]


def _sure(wins: np.ndarray, cycle: tuple[int, int, int]) -> bool:
    """Whether each of the three wins its pair by more than chance (95 %)."""
    for i, j in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        n = wins[i, j] + wins[j, i]
        if wins[i, j] - n / 2 <= Z95 * np.sqrt(n) / 2:
            return False
    return True


def _bursts(ballots: Ballots, names: list[str]) -> list[dict]:
    """Hours with far more votes than the usual one, and which model won most in them; not of one import's instant."""
    if not len(ballots):
        return []
    hour = (ballots.at // HOUR).astype(np.int64)
    if hour[-1] - hour[0] > 24 * 366 * 20:
        return []
    counts = np.bincount(hour - hour[0])
    found = []
    for place, usual in bursts(counts)[:SHOWN]:
        these = hour == hour[0] + place
        raters = np.bincount(ballots.rater[these & (ballots.rater >= 0)], minlength=1)
        won = np.bincount(ballots.a[these], ballots.outcome[these], len(names))
        won += np.bincount(ballots.b[these], 1 - ballots.outcome[these], len(names))
        games = np.bincount(np.concatenate([ballots.a[these], ballots.b[these]]), minlength=len(names))
        most = int(won.argmax())
        found.append(
            {
                "code": "burst",
                "at": datetime.fromtimestamp(int(hour[0] + place) * HOUR, UTC).isoformat(),
                "votes": int(these.sum()),
                "usual": usual,
                "by_one": float(raters.max() / these.sum()),
                "model": names[most],
                "won": float(won[most]),
                "of": int(games[most]),
            }
        )
    return found


def _by_length(ballots: Ballots, ratings, names: list[str]) -> list[dict]:
    """Models whose rating at equal length lies below what their interval allows, where length matters at all."""
    known = ~np.isnan(ballots.chars_a) & ~np.isnan(ballots.chars_b)
    if not known.any():
        return []
    some = ballots.where(known)
    feature = length_feature(some.chars_a, some.chars_b)[:, None]
    votes = (len(names), some.a, some.b, some.outcome)
    fit = contextual_bradley_terry(*votes, features=feature, centred=False, judgment=some.judgment)
    if fit.ratings is None or fit.coefficients[0] < Z95 * fit.coefficient_se[0]:
        return []
    plain = bradley_terry(some.tallies())
    fall = plain.rating - fit.ratings.rating
    with np.errstate(invalid="ignore"):
        places = np.flatnonzero((fall > Z95 * plain.se) & ~np.isnan(ratings.rating))
    return [
        {
            "code": "length",
            "model": names[place],
            "fall": float(fall[place]),
            "rank": int(plain.rank_lower[place]),
            "rank_then": int(fit.ratings.rank_lower[place]),
        }
        for place in sorted(places.tolist(), key=lambda place: -fall[place])[:SHOWN]
    ]


def in_words(one: dict, *, names_raters: bool) -> str:
    """A finding as a sentence; raters by name only for those who may know them."""
    percent = {key: round(100 * one[key] / one["votes"]) for key in ("won", "expected") if "expected" in one}
    if one["code"] == "circle":
        first, second, third = one["models"]
        shares = [f"{round(100 * share)}\u202f%" for share in one["shares"]]
        said = _("%(a)s wins against %(b)s (%(ab)s), %(b)s against %(c)s (%(bc)s), and %(c)s against %(a)s (%(ca)s).")
        return said % {"a": first, "b": second, "c": third, "ab": shares[0], "bc": shares[1], "ca": shares[2]}
    if one["code"] == "pair":
        said = _(
            "%(model)s won %(won)s %% of %(votes)s votes against %(other)s, where the ratings make it %(expected)s %%."
        )
        return said % {"model": one["model"], "other": one["other"], "votes": one["votes"], **percent}
    if one["code"] == "rater":
        said = _(
            "For %(rater)s %(model)s won %(won)s %% of %(votes)s votes, where the ratings make it %(expected)s %%."
        )
        rater = one["rater"] if names_raters else _("one rater")
        return said % {"rater": rater, "model": one["model"], "votes": one["votes"], **percent}
    if one["code"] == "burst":
        said = _(
            "%(votes)s votes came within the hour from %(at)s UTC, where %(usual)s are usual; one rater gave "
            "%(by_one)s %% of them. %(model)s won %(won)s %% of its votes then."
        )
        numbers = {"by_one": round(100 * one["by_one"]), "won": round(100 * one["won"] / max(1, one["of"]))}
        at = one["at"][:16].replace("T", " ")
        return said % {"votes": one["votes"], "at": at, "usual": round(one["usual"]), "model": one["model"], **numbers}
    said = _(
        "At equal length %(model)s falls by %(fall)s points, from rank %(rank)s to %(rank_then)s: "
        "long answers win its votes."
    )
    return said % {
        "model": one["model"],
        "fall": round(one["fall"]),
        "rank": one["rank"],
        "rank_then": one["rank_then"],
    }
