"""A board computed: counts of votes, ratings by the options, and the answer that programs and pages get."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

import numpy as np
from django.db import connection
from django.db.models import BigIntegerField, F, Q, Sum
from django.db.models.functions import Cast
from django.utils import timezone

from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.models import Output
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, PairTally, RankingTally
from feedbackhub.stats.bootstrap import bootstrap_bradley_terry
from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.connectivity import islands, rated_component, statuses
from feedbackhub.stats.contextual import ContextualRatings, contextual_bradley_terry
from feedbackhub.stats.elo import online_elo
from feedbackhub.stats.length_control import length_feature
from feedbackhub.stats.noisy_bradley_terry import noisy_bradley_terry
from feedbackhub.stats.ratings import Ratings
from feedbackhub.stats.simultaneous import simultaneous
from feedbackhub.stats.style import STYLE, contrast, style_counts
from feedbackhub.stats.tallies import Tallies

from .ballots import Ballots, Contender, ballots_read, contenders
from .options import Options
from .words import FEW_VOTES

RESAMPLES = 500
NOTHING = dict.fromkeys(("rating", "se", "lower", "upper", "rank", "rank_lower", "rank_upper"))


@dataclass
class Counts:
    """Votes by pair of models, the models numbered in the order of their ids."""

    models: list[Contender]
    tallies: Tallies
    both_bad: np.ndarray
    rankings: list = field(default_factory=list)
    simulated: int = 0

    @property
    def votes(self) -> int:
        return self.tallies.votes + round(self.both_bad.sum() / 2)


def board_compute(project: Project, options: Options) -> dict:
    """The board as docs/leaderboard.md describes it, as JSON has it; its notes are codes and values (words.py)."""
    notes: list[dict] = []
    ballots = None
    if options.of_tallies and not _needs_votes(project, options):
        counts = counts_of_tallies(project, options.category)
    else:
        ballots = ballots_read(project, options)
        counts = Counts(ballots.models, ballots.tallies(), ballots.both_bad(), simulated=ballots.simulated)
    rows = _rated(options, counts, ballots, notes)
    if counts.simulated:
        notes.insert(0, {"code": "simulated", "value": counts.simulated})
    if options.slices and counts.votes < FEW_VOTES:
        notes.insert(0, {"code": "few_votes", "value": counts.votes})
    return _answer(counts, rows, options, notes)


def _needs_votes(project: Project, options: Options) -> bool:
    """Resamples are of votes; and Davidson's errors know nothing of how rankings' pairs go together."""
    if options.intervals == "bootstrap":
        return True
    return options.ties == "davidson" and RankingTally.objects.filter(project=project, count__gt=0).exists()


# --- Counting -------------------------------------------------------------------------------------------------


def counts_of_tallies(project: Project, category: str | None) -> Counts:
    scope = {"project": project} if category is None else {"project": project, "category": category}
    outcomes = ("wins_a", "wins_b", "ties", "both_bad")
    programs = Q(source=Judgment.Source.SIMULATED)
    found = PairTally.objects.filter(**scope).values_list("model_a_id", "model_b_id")
    # The database adds up categories and sources: reading each row costs three times that.
    found = found.annotate(
        **{f"{name}_sum": Cast(Sum(name), BigIntegerField()) for name in outcomes},
        programs=Cast(Sum(sum(map(F, outcomes[1:]), F(outcomes[0])), filter=programs, default=0), BigIntegerField()),
    )
    with connection.cursor() as cursor:  # whole numbers, which need none of the conversions of a queryset
        cursor.execute(*found.query.sql_with_params())
        rows = np.fromiter(chain.from_iterable(cursor.fetchall()), dtype=np.int64).reshape(-1, 7)
    rows = rows[rows[:, 2:6].any(axis=1)]
    simulated = int(rows[:, 6].sum())
    ids = np.unique(rows[:, :2])
    a, b = (np.searchsorted(ids, rows[:, side]) for side in (0, 1))
    both_bad = np.zeros((len(ids), len(ids)))
    np.add.at(both_bad, (a, b), rows[:, 5])
    place = {pk: index for index, pk in enumerate(ids.tolist())}
    patterns = RankingTally.objects.filter(**scope, count__gt=0).values_list("pattern", "count")
    return Counts(
        models=contenders(ids),
        tallies=Tallies.of_pairs(len(ids), a, b, rows[:, 2], rows[:, 3], rows[:, 4]),
        both_bad=both_bad + both_bad.T,
        rankings=[(_tiers(pattern, place), count) for pattern, count in patterns],
        simulated=simulated,
    )


def _tiers(pattern: str, place: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    """ "12>7=9" → ((12,), (7, 9)), as indices of models."""
    return tuple(tuple(place[int(pk)] for pk in tier.split("=")) for tier in pattern.split(">"))


# --- Rating ---------------------------------------------------------------------------------------------------


def _rated(options: Options, counts: Counts, ballots: Ballots | None, notes: list[dict]) -> list[dict]:
    if options.method == "elo":
        return _elo_rows(counts, ballots, options)
    ratings = _ratings(options, counts, ballots, notes)
    if ratings is None:
        status = statuses(counts.tallies, rated_component(counts.tallies))
        unrated = [word if word != "ok" else "unconnected" for word in status]
        return [{**NOTHING, "status": word} for word in unrated]
    if options.intervals == "simultaneous":
        ratings = simultaneous(ratings)
    rows = _anchored(ratings, options, counts, notes).rows()
    if options.weights:
        plain = _ratings(replace(options, weights=None), counts, ballots, [])
        beside = _anchored(plain, options, counts, []).rows() if plain is not None else []
        for row, other in zip(rows, beside, strict=False):
            row["unweighted"] = {name: other[name] for name in ("rating", "lower", "upper", "rank")}
    return rows


def _ratings(options: Options, counts: Counts, ballots: Ballots | None, notes: list[dict]) -> Ratings | None:
    if ballots is None and options.ties == "half":
        return bradley_terry(counts.tallies, counts.rankings)
    if ballots is None:
        a, b, outcome, number = _cells(counts.tallies)
        fit = contextual_bradley_terry(len(counts.models), a, b, outcome, ties="davidson", counts=number)
        return _noted_fit(fit, options, (), notes)
    if options.intervals == "bootstrap":
        return _bootstrap(options, ballots, notes)
    features, names, ballots = _features(options, ballots.where(ballots.decided), notes)
    weights = _weights(ballots, notes) if options.weights else None
    fit = contextual_bradley_terry(
        len(counts.models),
        *_votes(ballots),
        ties=options.ties,
        features=features,
        centred=options.control == "length",
        weights=weights,
        **_grouped(options, ballots),
    )
    return _noted_fit(fit, options, names, notes)


def _votes(ballots: Ballots) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return ballots.a, ballots.b, ballots.outcome


def _cells(tallies: Tallies) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(a, b, outcome, how many votes) of the tallies' cells."""
    i, j = np.nonzero(tallies.wins)
    p, q = np.nonzero(np.triu(tallies.ties))
    outcome = np.concatenate([np.ones(len(i)), np.full(len(p), 0.5)])
    number = np.concatenate([tallies.wins[i, j], tallies.ties[p, q]])
    return np.concatenate([i, p]), np.concatenate([j, q]), outcome, number


def _grouped(options: Options, ballots: Ballots) -> dict:
    """What goes together in the errors: clusters as wished, else the pairs of a judgment."""
    decided = ballots.where(ballots.decided)
    found = decided.clusters(options.cluster)
    return {"clusters": found} if found else {"judgment": decided.judgment}


def _noted_fit(fit: ContextualRatings, options: Options, names: tuple, notes: list[dict]) -> Ratings | None:
    if fit.ratings is None:
        notes.append({"code": "undefined", "value": None, "reason": fit.undefined_because})
        return None
    for k, name in enumerate(names):
        note = {"code": "length_coefficient"} if options.control == "length" else {"code": "style_coefficient"}
        note |= {} if options.control == "length" else {"feature": name}
        columns = (("value", fit.coefficients), ("se", fit.coefficient_se))
        columns += (("feature_mean", fit.feature_mean), ("feature_sd", fit.feature_sd))
        notes.append(note | {key: float(values[k]) for key, values in columns})
    if fit.nu is not None:
        notes.append({"code": "davidson_nu", "value": fit.nu})
    if fit.clusters:
        ways = ["rater", "prompt"] if options.cluster == "both" else [options.cluster]
        notes.append({"code": "clusters", "value": list(fit.clusters), "ways": ways})
    return fit.ratings


def _bootstrap(options: Options, ballots: Ballots, notes: list[dict]) -> Ratings:
    decided = ballots.where(ballots.decided)
    clusters = decided.clusters(options.cluster)
    if not clusters and len(np.unique(decided.judgment)) < len(decided):
        clusters = [decided.judgment]
    found = bootstrap_bradley_terry(len(ballots.models), *_votes(decided), clusters=clusters, resamples=RESAMPLES)
    notes.append({"code": "bootstrap", "value": found.resamples, "separated": found.separated})
    return found.ratings


def _features(options: Options, ballots: Ballots, notes: list[dict]) -> tuple[np.ndarray | None, tuple, Ballots]:
    """(features (N, K), their names, the votes that have them)"""
    if options.control is None:
        return None, (), ballots
    if options.control == "length":
        known = ~np.isnan(ballots.chars_a) & ~np.isnan(ballots.chars_b)
        _left_out("lengths_unknown", known, notes)
        ballots = ballots.where(known)
        return length_feature(ballots.chars_a, ballots.chars_b)[:, None], ("length",), ballots
    known = (ballots.output_a > 0) & (ballots.output_b > 0)
    _left_out("texts_unknown", known, notes)
    ballots = ballots.where(known)
    ids, place = np.unique(np.concatenate([ballots.output_a, ballots.output_b]), return_inverse=True)
    counted = _style_counts(ids)[place]
    features = contrast(counted[: len(ballots)], counted[len(ballots) :])
    differ = features.std(axis=0) > 1e-12 if len(ballots) else np.zeros(len(STYLE), dtype=bool)
    notes += [
        {"code": "feature_left_out", "value": name} for name, there in zip(STYLE, differ, strict=True) if not there
    ]
    names = tuple(name for name, there in zip(STYLE, differ, strict=True) if there)
    return features[:, differ], names, ballots


def _left_out(code: str, known: np.ndarray, notes: list[dict]) -> None:
    if left_out := int((~known).sum()):
        notes.append({"code": code, "value": left_out})


def _style_counts(ids: np.ndarray) -> np.ndarray:
    """(outputs, 4) counts of `stats.style` for outputs in the order of their ids."""
    counted = np.zeros((len(ids), len(STYLE)))
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500].tolist()
        texts = dict(Output.objects.filter(pk__in=part).values_list("pk", "parts"))
        counted[start : start + len(part)] = [style_counts(text_of(texts[pk])) for pk in part]
    return counted


def _weights(ballots: Ballots, notes: list[dict]) -> np.ndarray:
    """(N,) how far each vote's rater is trusted, 1 where nobody knows who it was (stats.noisy_bradley_terry)."""
    known = (ballots.rater >= 0) & (ballots.outcome != 0.5)
    columns = (ballots.rater[known], ballots.a[known], ballots.b[known], ballots.outcome[known] == 1)
    fit = noisy_bradley_terry(zip(*(column.tolist() for column in columns), strict=True))
    skill = np.ones(len(ballots.raters) + 1)
    for one in fit.raters:
        skill[one.rater] = one.skill
    notes.append({"code": "weights", "value": float(skill.min()), "raters": len(fit.raters)})
    return skill[ballots.rater]


def _anchored(ratings: Ratings, options: Options, counts: Counts, notes: list[dict]) -> Ratings:
    if options.anchor is None:
        return ratings
    names = [model.name for model in counts.models]
    place = names.index(options.anchor) if options.anchor in names else None
    if place is None or ratings.status[place] != "ok":
        notes.append({"code": "anchor_unrated", "value": options.anchor})
        return ratings
    return ratings.anchored(place)


def _elo_rows(counts: Counts, ballots: Ballots, options: Options) -> list[dict]:
    """Online Elo has no error to state; its ranks are those of the ratings alone."""
    ratings = online_elo(len(counts.models), *_votes(ballots.where(ballots.decided)))
    played = counts.tallies.games.sum(axis=1) > 0
    names = [model.name for model in counts.models]
    if options.anchor in names and played[names.index(options.anchor)]:
        ratings = ratings + 1000 - ratings[names.index(options.anchor)]
    rows = []
    for rating, has_votes in zip(ratings, played, strict=True):
        rank = 1 + int((ratings[played] > rating).sum())
        known = {"rating": float(rating), "rank": rank, "rank_lower": rank, "rank_upper": rank, "status": "ok"}
        unknown = dict.fromkeys(known) | {"status": "unconnected"}
        rows.append({"se": None, "lower": None, "upper": None, **(known if has_votes else unknown)})
    return rows


# --- The answer -----------------------------------------------------------------------------------------------


def _answer(counts: Counts, rated: list[dict], options: Options, notes: list[dict]) -> dict:
    wins, ties = counts.tallies.wins, counts.tallies.ties
    rows = []
    for index, (model, row) in enumerate(zip(counts.models, rated, strict=True)):
        won, lost, tied = (round(x) for x in (wins[index].sum(), wins[:, index].sum(), ties[index].sum()))
        bad = round(counts.both_bad[index].sum())
        count = {"wins": won, "losses": lost, "ties": tied, "both_bad": bad, "votes": won + lost + tied + bad}
        finite = {name: None if value != value else value for name, value in row.items()}  # no NaN in JSON
        rows.append({"model": model.name, **finite, **count})
    order = sorted(
        range(len(rows)), key=lambda i: (rows[i]["rating"] is None, -(rows[i]["rating"] or 0), rows[i]["model"])
    )
    now: datetime = options.as_of or timezone.now()
    return {
        "as_of": now,
        "method": options.method,
        "votes": counts.votes,
        "models": len(rows),
        "connected": bool(rows) and all(row["status"] == "ok" for row in rows),
        "rows": [rows[i] for i in order],
        "win_matrix": counts.tallies.win_matrix[np.ix_(order, order)].tolist() if rows else [],
        "notes": [*notes, *_status_notes(rows, counts.tallies, notes)],
    }


def _status_notes(rows: list[dict], tallies: Tallies, notes: list[dict]) -> list[dict]:
    """What keeps each model from a rating. Where the fit has no answer, that is said already: no more of the models
    that the votes connect."""
    own = [row["status"] for row in rows]
    if any(note["code"] == "undefined" for note in notes):
        own = statuses(tallies, rated_component(tallies))
    found = [{"code": word, "value": row["model"]} for row, word in zip(rows, own, strict=True) if word != "ok"]
    groups = islands(tallies)
    return [*([{"code": "disconnected", "value": groups}] if groups > 1 else []), *found]
