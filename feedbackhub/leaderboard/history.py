"""How the ratings came to be: at moments over the votes, and from each model to the one that was made from it."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.elo import online_elo

from .ballots import ballots_read
from .options import Options

MOMENTS = 30


def history_compute(project: Project, options: Options) -> dict:
    """{moments: [ISO 8601], votes: [count until then], models: [name], ratings, lower, upper, elo: {model: [number]}}.

    At most 30 moments, with as many votes between any two; a rating is None where the votes until then gave none.
    """
    ballots = ballots_read(project, replace(options, method="bt"))
    ballots = ballots.where(ballots.decided)
    cuts = _cuts(ballots.at)
    names = [model.name for model in ballots.models]
    found: dict[str, dict[str, list]] = {
        key: {name: [] for name in names} for key in ("ratings", "lower", "upper", "elo")
    }
    elo = np.full(len(names), 1000.0)
    for begin, end in zip([0, *cuts], cuts, strict=False):
        until = ballots.where(np.arange(len(ballots)) < end)
        ratings = bradley_terry(until.tallies())
        elo = online_elo(
            len(names), ballots.a[begin:end], ballots.b[begin:end], ballots.outcome[begin:end], ratings=elo
        )
        played = until.tallies().games.sum(axis=1) > 0
        for place, name in enumerate(names):
            known = ratings.status[place] == "ok"
            for key, values in (("ratings", ratings.rating), ("lower", ratings.lower), ("upper", ratings.upper)):
                found[key][name].append(float(values[place]) if known else None)
            found["elo"][name].append(float(elo[place]) if played[place] else None)
    moments = [datetime.fromtimestamp(ballots.at[end - 1], UTC).isoformat() for end in cuts]
    return {"moments": moments, "votes": cuts, "models": names, **found}


def _cuts(at: np.ndarray) -> list[int]:
    """Numbers of votes at which to look: never between two of one moment, the last one at the end."""
    wished = np.unique(np.linspace(0, len(at), MOMENTS + 1).round().astype(int))[1:]
    return np.unique(np.searchsorted(at, at[wished - 1], side="right")).tolist() if len(at) else []


def generations(project: Project, rows: list[dict]) -> list[dict]:
    """Chains of models, each made from the one before: [{name, steps: [{model, rating, lower, upper, rank}]}].

    Of models with a rating on the board (`rows`), from the oldest; a chain ends at a model nothing was made from.
    """
    rated = {row["model"]: row for row in rows if row["rating"] is not None}
    known = {one.pk: one for one in ModelVersion.objects.filter(project=project).only("pk", "name", "parent_id")}
    parents = {pk: one.parent_id for pk, one in known.items()}
    missing = set(parents.values()) - set(known) - {None}
    known |= ModelVersion.objects.in_bulk(missing)
    begun_from = {parent for parent in parents.values() if parent}
    chains = []
    for pk in sorted(known):
        if pk in begun_from or parents.get(pk) is None:
            continue
        chain, at = [], pk
        while at is not None and len(chain) <= len(known):
            chain.append(known[at].name)
            at = parents.get(at)
        steps = [rated[name] for name in reversed(chain) if name in rated]
        if len(steps) > 1:
            keys = ("model", "rating", "lower", "upper", "rank")
            chains.append({"name": known[pk].name, "steps": [{key: step[key] for key in keys} for step in steps]})
    return chains
