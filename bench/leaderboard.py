"""A refresh of the default board from its tallies, and its cost by the number of votes behind them."""

import time
from statistics import median

import numpy as np
from django.db import connection

from .cast import admin

MODELS = 200
VOTES = (10_000, 10_000_000)


def run() -> list[dict]:
    return [_measure(votes) for votes in VOTES]


def _measure(votes: int) -> dict:
    from feedbackhub.catalog.models import ModelVersion
    from feedbackhub.leaderboard.selectors import board
    from feedbackhub.projects.services import project_create
    from feedbackhub.rating.models import PairTally

    project = project_create(by=admin(), slug=f"board-{votes}", name=f"{votes} votes")
    models = [ModelVersion.objects.create(project=project, name=f"m{n}", kind="imported") for n in range(MODELS)]
    rng = np.random.default_rng(0)
    strength = rng.normal(0, 0.7, MODELS)
    pairs = [(a, b) for a in range(MODELS) for b in range(a + 1, MODELS)]
    games = rng.multinomial(votes, [1 / len(pairs)] * len(pairs))
    rows = []
    for (a, b), n in zip(pairs, games.tolist(), strict=True):
        ties = rng.binomial(n, 0.15)
        wins = rng.binomial(n - ties, 1 / (1 + np.exp(strength[b] - strength[a])))
        tally = {"wins_a": wins, "wins_b": n - ties - wins, "ties": ties}
        rows.append(PairTally(project=project, source="votes", model_a=models[a], model_b=models[b], **tally))
    PairTally.objects.bulk_create(rows, batch_size=5000)
    seconds = []
    for _ in range(11):
        started = time.perf_counter()
        found = board(project=project)
        seconds.append(time.perf_counter() - started)
    assert found["votes"] == votes
    return {"database": connection.vendor, "models": MODELS, "votes": votes, "median_ms": 1000 * median(seconds)}
