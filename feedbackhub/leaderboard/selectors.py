"""Standings and comparisons. The default board is computed from tallies: its cost does not grow with the votes."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, PairTally, RankingTally
from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.elo import online_elo
from feedbackhub.stats.length_control import length_controlled_bradley_terry
from feedbackhub.stats.tallies import Tallies

from .ab import ab as ab
from .votes import Vote, in_force, votes_in_order

METHODS = ("bt", "elo")
CONTROLS = ("length",)


@dataclass
class Counts:
    """Votes by pair of models, the models numbered in the order of their ids."""

    models: list[ModelVersion]
    tallies: Tallies
    both_bad: np.ndarray
    rankings: list = field(default_factory=list)

    @property
    def votes(self) -> int:
        return self.tallies.votes + round(self.both_bad.sum() / 2)


def board(
    *,
    project: Project,
    method: str = "bt",
    category: str | None = None,
    control: str | None = None,
    as_of: datetime | None = None,
) -> dict:
    """The leaderboard, as docs/leaderboard.md describes it; it includes the last committed vote.

    `win_matrix[i][j]`: votes of row i's model against row j's, a tie as ½. Raises DomainError: unknown method,
    control or category, or a control that the method does not have.
    """
    _parameters_check(project, method, category, control)
    if method == "bt" and control is None and as_of is None:
        counts, votes = _counts_of_tallies(project, category), []
    else:
        votes = list(votes_in_order(project, category=category, as_of=as_of))
        counts = _counts_of_votes(project, votes)
    notes: list[dict] = []
    if method == "elo":
        rated = _elo_rows(counts, votes)
    elif control == "length":
        rated = _length_controlled_rows(counts, votes, notes)
    else:
        rated = bradley_terry(counts.tallies, counts.rankings).rows()
    notes += _simulated_notes(project, category, as_of)
    return _answer(counts, rated, method=method, as_of=as_of, notes=notes)


def _simulated_notes(project: Project, category: str | None, as_of: datetime | None) -> list[dict]:
    """Votes by programs are told apart wherever they appear."""
    if as_of is None:
        tallies = PairTally.objects.filter(project=project, source=Judgment.Source.SIMULATED)
        tallies = tallies if category is None else tallies.filter(category=category)
        count = sum(sum(row) for row in tallies.values_list("wins_a", "wins_b", "ties", "both_bad"))
    else:
        judgments = in_force(project, as_of).filter(source=Judgment.Source.SIMULATED)
        count = (judgments if category is None else judgments.filter(category=category)).count()
    text = _("%(count)s of these votes are by simulated raters, not by people.") % {"count": count}
    return [{"code": "simulated", "value": count, "text": text}] if count else []


def _parameters_check(project: Project, method: str, category: str | None, control: str | None) -> None:
    if method not in METHODS:
        name, message = "method", f'method "{method}" is none of {", ".join(METHODS)}.'
    elif control is not None and control not in CONTROLS:
        name, message = "control", f'control "{control}" is none of {", ".join(CONTROLS)}.'
    elif control is not None and method != "bt":
        name, message = "control", "control=length goes with method=bt; online Elo has no covariates."
    elif category is not None and category not in (known := categories(project)):
        there = ", ".join(known) if known else "there are none yet"
        name, message = "category", f'no vote has the category "{category}"; these have: {there}.'
    else:
        return
    raise DomainError(message, fields={name: message})


def categories(project: Project) -> list[str]:
    """The categories in which the project has votes, by name."""
    found = PairTally.objects.filter(project=project).exclude(category="").order_by("category")
    return list(found.values_list("category", flat=True).distinct())


# --- Counting -------------------------------------------------------------------------------------------------


def _counts_of_tallies(project: Project, category: str | None) -> Counts:
    scope = {"project": project} if category is None else {"project": project, "category": category}
    rows = PairTally.objects.filter(**scope).values_list(
        "model_a_id", "model_b_id", "wins_a", "wins_b", "ties", "both_bad"
    )
    rows = np.array([row for row in rows if any(row[2:])], dtype=np.int64).reshape(-1, 6)
    models = _models(np.unique(rows[:, :2]))
    place = {model.pk: index for index, model in enumerate(models)}
    a, b = (np.array([place[pk] for pk in rows[:, side]], dtype=np.int64) for side in (0, 1))
    both_bad = np.zeros((len(models), len(models)))
    np.add.at(both_bad, (a, b), rows[:, 5])
    patterns = RankingTally.objects.filter(**scope, count__gt=0).values_list("pattern", "count")
    return Counts(
        models=models,
        tallies=Tallies.of_pairs(len(models), a, b, rows[:, 2], rows[:, 3], rows[:, 4]),
        both_bad=both_bad + both_bad.T,
        rankings=[(_tiers(pattern, place), count) for pattern, count in patterns],
    )


def _tiers(pattern: str, place: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    """ "12>7=9" → ((12,), (7, 9)), as indices of models."""
    return tuple(tuple(place[int(pk)] for pk in tier.split("=")) for tier in pattern.split(">"))


def _models(ids) -> list[ModelVersion]:
    found = ModelVersion.objects.in_bulk([int(pk) for pk in ids])
    return [found[pk] for pk in sorted(found)]


def _counts_of_votes(project: Project, votes: list[Vote]) -> Counts:
    models = _models({vote.model_a for vote in votes} | {vote.model_b for vote in votes})
    place = {model.pk: index for index, model in enumerate(models)}
    a, b, outcome = _arrays(votes, place)
    both_bad = np.zeros((len(models), len(models)))
    clusters = defaultdict(list)
    for vote in votes:
        if vote.outcome is None:
            both_bad[place[vote.model_a], place[vote.model_b]] += 1
        else:
            clusters[vote.judgment].append(vote)
    return Counts(
        models=models,
        tallies=Tallies.of_votes(len(models), a, b, outcome),
        both_bad=both_bad + both_bad.T,
        rankings=[(_order(pairs, place), 1) for pairs in clusters.values() if len(pairs) > 1],
    )


def _order(pairs: list[Vote], place: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    """The tiers that a ranking's pairs came from: models with the same number of losses share one."""
    losses: dict[int, int] = defaultdict(int)
    for vote in pairs:
        losses[vote.model_a] += vote.outcome == 0
        losses[vote.model_b] += vote.outcome == 1
    tiers: dict[int, list[int]] = defaultdict(list)
    for model, count in losses.items():
        tiers[count].append(place[model])
    return tuple(tuple(tiers[count]) for count in sorted(tiers))


def _arrays(votes: list[Vote], place: dict[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    decided = [vote for vote in votes if vote.outcome is not None]
    a = np.array([place[vote.model_a] for vote in decided], dtype=np.int64)
    b = np.array([place[vote.model_b] for vote in decided], dtype=np.int64)
    return a, b, np.array([vote.outcome for vote in decided], dtype=np.float64)


# --- Rating ---------------------------------------------------------------------------------------------------


def _elo_rows(counts: Counts, votes: list[Vote]) -> list[dict]:
    """Online Elo has no error to state; its ranks are those of the ratings alone."""
    place = {model.pk: index for index, model in enumerate(counts.models)}
    ratings = online_elo(len(counts.models), *_arrays(votes, place))
    played = counts.tallies.games.sum(axis=1) > 0
    rows = []
    for rating, has_votes in zip(ratings, played, strict=True):
        rank = 1 + int((ratings[played] > rating).sum())
        known = {"rating": float(rating), "rank": rank, "rank_lower": rank, "rank_upper": rank, "status": "ok"}
        unknown = dict.fromkeys(known) | {"status": "unconnected"}
        rows.append({"se": None, "lower": None, "upper": None, **(known if has_votes else unknown)})
    return rows


def _length_controlled_rows(counts: Counts, votes: list[Vote], notes: list[dict]) -> list[dict]:
    place = {model.pk: index for index, model in enumerate(counts.models)}
    known = [vote for vote in votes if vote.outcome is not None and None not in (vote.chars_a, vote.chars_b)]
    left_out = sum(vote.outcome is not None for vote in votes) - len(known)
    if left_out:
        words = _("%(count)s votes are left out, because the lengths of their answers are not known.")
        text = words % {"count": left_out}
        notes.append({"code": "lengths_unknown", "value": left_out, "text": text})
    chars = [np.array([getattr(vote, name) for vote in known], dtype=np.float64) for name in ("chars_a", "chars_b")]
    judgment = np.array([vote.judgment for vote in known], dtype=np.int64)
    fit = length_controlled_bradley_terry(len(counts.models), *_arrays(known, place), *chars, judgment=judgment)
    if fit.ratings is None:
        text = _("No rating at equal length: %(reason)s") % {"reason": _(fit.undefined_because)}
        notes.append({"code": "undefined", "value": None, "text": text})
        nothing = dict.fromkeys(("rating", "se", "lower", "upper", "rank", "rank_lower", "rank_upper"))
        return [{**nothing, "status": "unconnected"} for _ in counts.models]
    notes.append(
        {
            "code": "length_coefficient",
            "value": fit.coefficient,
            "se": fit.coefficient_se,
            "feature_mean": fit.feature_mean,
            "feature_sd": fit.feature_sd,
            "text": _("Log-odds per standard deviation of (chars_a − chars_b) / (chars_a + chars_b + 1)."),
        }
    )
    return fit.ratings.rows()


def _answer(counts: Counts, rated: list[dict], *, method: str, as_of: datetime | None, notes: list[dict]) -> dict:
    wins, ties = counts.tallies.wins, counts.tallies.ties
    rows = []
    for index, (model, row) in enumerate(zip(counts.models, rated, strict=True)):
        won, lost, tied = (round(x) for x in (wins[index].sum(), wins[:, index].sum(), ties[index].sum()))
        bad = round(counts.both_bad[index].sum())
        count = {"wins": won, "losses": lost, "ties": tied, "both_bad": bad, "votes": won + lost + tied + bad}
        rows.append({"model": model.name, **row, **count})
    order = sorted(
        range(len(rows)), key=lambda i: (rows[i]["rating"] is None, -(rows[i]["rating"] or 0), rows[i]["model"])
    )
    return {
        "as_of": as_of or timezone.now(),
        "method": method,
        "votes": counts.votes,
        "models": len(rows),
        "connected": bool(rows) and all(row["status"] == "ok" for row in rows),
        "rows": [rows[i] for i in order],
        "win_matrix": counts.tallies.win_matrix[np.ix_(order, order)].tolist() if rows else [],
        "notes": [*notes, *_status_notes(rows)],
    }


STATUS_TEXTS = {
    "only_wins": lazy(
        "%(model)s has won every vote it had, so nothing bounds its rating from above; set it against strong models."
    ),
    "only_losses": lazy(
        "%(model)s has lost every vote it had, so nothing bounds its rating from below; set it against weak models."
    ),
    "separated": lazy("%(model)s is only above or only below the rated models, so how far cannot be said."),
    "unconnected": lazy(
        "%(model)s has no votes that connect it with the rated models: queue pairs that bring them together."
    ),
}


def _status_notes(rows: list[dict]) -> list[dict]:
    return [
        {"code": row["status"], "value": row["model"], "text": STATUS_TEXTS[row["status"]] % {"model": row["model"]}}
        for row in rows
        if row["status"] != "ok"
    ]
