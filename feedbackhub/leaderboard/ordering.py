"""The active order of work: the pairs whose votes settle most of the leaderboard come first.

A few tasks ahead of the raters are enough, for the pairs worth asking about change with the votes. Nobody waits for it:
the sweeper comes by, and until then tasks come in turn.
"""

from itertools import combinations

import numpy as np

from feedbackhub.catalog.selectors import models_with_outputs
from feedbackhub.projects.models import Order, Project
from feedbackhub.rating.selectors import tallies
from feedbackhub.rating.services import open_task_of_pair, raised_open, tasks_raise
from feedbackhub.stats.active import Posterior
from feedbackhub.stats.tallies import Tallies

AHEAD = 30  # tasks to put before the others
ENOUGH = 10  # open judgments of such tasks, below which new ones are chosen
ATTEMPTS = 4  # to find enough: where the best pairs have no task left, the next best


def sweep() -> None:
    for project in Project.objects.filter(order=Order.ACTIVE):
        order_refresh(project=project)


def order_refresh(*, project: Project, rng: np.random.Generator | None = None) -> list[int]:
    """Choose the next tasks if those chosen before run out; returns their ids (none where there are enough)."""
    if raised_open(project) >= ENOUGH:
        return []
    chosen = tasks_choose(project, rng or np.random.default_rng())
    tasks_raise(project=project, tasks=chosen)
    return chosen


def tasks_choose(project: Project, rng: np.random.Generator) -> list[int]:
    """Up to 30 tasks of the pairs that are worth most, as if each had been answered; pairs without a task left out."""
    ids = sorted(models_with_outputs(project).filter(output_count__gt=0).values_list("pk", flat=True))
    place = {pk: index for index, pk in enumerate(ids)}
    rows = [row[:5] for row in tallies(project) if row[0] in place and row[1] in place]
    a, b, wins_a, wins_b, ties = zip(*rows) if rows else [()] * 5
    posterior = Posterior(
        Tallies.of_pairs(len(ids), [place[pk] for pk in a], [place[pk] for pk in b], wins_a, wins_b, ties)
    )
    possible = set(combinations(range(len(ids)), 2))
    chosen: list[int] = []
    for _ in range(ATTEMPTS):
        wished = posterior.next_pairs(
            AHEAD - len(chosen), rng, explore=project.explore_percent / 100, among=sorted(possible)
        )
        for pair in wished:
            if pair not in possible:
                continue
            task = open_task_of_pair(project, (ids[pair[0]], ids[pair[1]]), besides=chosen)
            if task is None:
                possible.discard(pair)
            else:
                chosen.append(task)
        if len(chosen) >= ENOUGH or not possible:
            break
    return chosen
