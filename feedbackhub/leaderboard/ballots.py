"""Votes as arrays, read in one go: what every view is computed from that tallies do not tell enough for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, JudgmentItem
from feedbackhub.stats.tallies import Tallies

from .options import Options, judgments_chosen

CHUNK = 20_000  # rows at a time
HEAD = ("pk", "none_acceptable", "occurred_at", "rater_id", "judge", "prompt_id", "question", "source")
ITEM = ("judgment_id", "model_id", "tier", "chars", "output_id")


class Contender(NamedTuple):
    """What a board needs of a model."""

    pk: int
    name: str


def contenders(ids: np.ndarray) -> list[Contender]:
    """The models of these ids, in their order."""
    names = dict(ModelVersion.objects.filter(pk__in=ids.tolist()).values_list("pk", "name"))
    return [Contender(pk, names[pk]) for pk in ids.tolist()]


@dataclass(frozen=True, eq=False)
class Ballots:
    """N pairwise comparisons in the order of their time; a ranking as its pairs.

    `a`, `b`: (N,) places in `models`, as shown; `outcome`: 1 when a won, 0, ½, NaN when both were bad. `judgment`,
    `rater`, `prompt`: (N,) numbers from 0, rater and prompt −1 where nobody knows; `raters`: their names. `chars_a`,
    `chars_b`: NaN where not known; `output_a`, `output_b`: ids, 0 where there is no text. `at`: seconds since 1970.
    """

    models: list[Contender]
    judgment: np.ndarray
    a: np.ndarray
    b: np.ndarray
    outcome: np.ndarray
    chars_a: np.ndarray
    chars_b: np.ndarray
    output_a: np.ndarray
    output_b: np.ndarray
    rater: np.ndarray
    raters: list[str]
    prompt: np.ndarray
    at: np.ndarray
    simulated: int

    def __len__(self) -> int:
        return len(self.a)

    @property
    def decided(self) -> np.ndarray:
        """(N,) whether it enters ratings: not both bad."""
        return ~np.isnan(self.outcome)

    def where(self, kept: np.ndarray) -> "Ballots":
        """Only these votes; models, raters and numbers stay."""
        names = ("judgment", "a", "b", "outcome", "chars_a", "chars_b", "output_a", "output_b", "rater", "prompt", "at")
        changed = {name: getattr(self, name)[kept] for name in names}
        return Ballots(self.models, raters=self.raters, simulated=self.simulated, **changed)

    def tallies(self) -> Tallies:
        kept = self.decided
        return Tallies.of_votes(len(self.models), self.a[kept], self.b[kept], self.outcome[kept])

    def both_bad(self) -> np.ndarray:
        """(M, M), symmetric."""
        bad = ~self.decided
        counts = np.zeros((len(self.models),) * 2)
        np.add.at(counts, (self.a[bad], self.b[bad]), 1)
        return counts + counts.T

    def clusters(self, way: str | None) -> list[np.ndarray]:
        """What goes together by `rater`, `prompt` or `both`; a vote of nobody known goes with its judgment alone."""
        ways = {"rater": [self.rater], "prompt": [self.prompt], "both": [self.rater, self.prompt]}.get(way or "", [])
        return [np.where(one >= 0, one, one.max(initial=0) + 1 + self.judgment) for one in ways]


def ballots_read(project: Project, options: Options) -> Ballots:
    """The votes that the options choose, by timestamp (their own, else their receipt), then row."""
    chosen = judgments_chosen(project, options)
    heads, raters, simulated = _heads(chosen)
    items = JudgmentItem.objects.filter(judgment__in=chosen).order_by("judgment_id", "position").values_list(*ITEM)
    rows = _numbers(items.iterator(chunk_size=CHUNK), len(ITEM))
    order = np.argsort(heads[:, 0], kind="stable")
    place = order[np.minimum(np.searchsorted(heads[:, 0], rows[:, 0], sorter=order), max(0, len(order) - 1))]
    known = heads[place, 0] == rows[:, 0] if len(heads) else np.zeros(0, dtype=bool)
    rows, place = rows[known], place[known]  # what came between the two queries is left for the next time
    first, second = _pairs(place)
    model = rows[:, 1]
    unnamed = np.isnan(model)
    bad = np.zeros(len(heads), dtype=bool)
    bad[place[unnamed]] = True  # an imported preference that names no model trains, and counts for none
    usable = ~bad[place[first]] & (model[first] != model[second])
    first, second = first[usable], second[usable]
    by_time = np.lexsort((np.arange(len(first)), place[first]))
    first, second = first[by_time], second[by_time]
    head = heads[place[first]]
    ids = np.unique(model[np.concatenate([first, second])]).astype(np.int64)
    tier_a, tier_b = rows[first, 2], rows[second, 2]
    outcome = np.where(tier_a == tier_b, 0.5, (tier_a < tier_b).astype(np.float64))
    return Ballots(
        models=contenders(ids),
        judgment=place[first],
        a=np.searchsorted(ids, model[first]),
        b=np.searchsorted(ids, model[second]),
        outcome=np.where(head[:, 1] == 1, np.nan, outcome),
        chars_a=rows[first, 3],
        chars_b=rows[second, 3],
        output_a=np.nan_to_num(rows[first, 4]).astype(np.int64),
        output_b=np.nan_to_num(rows[second, 4]).astype(np.int64),
        rater=head[:, 3].astype(np.int64),
        raters=raters,
        prompt=head[:, 4].astype(np.int64),
        at=head[:, 2],
        simulated=simulated,
    )


def _heads(chosen) -> tuple[np.ndarray, list[str], int]:
    """(J, 5): id, both bad, time, rater's number, prompt's number, in the order of time; the raters' names."""
    raters: dict = {}
    prompts: dict = {}
    simulated = 0

    def rows() -> Iterator[tuple]:
        nonlocal simulated
        found = chosen.order_by("occurred_at", "pk").values_list(*HEAD)
        for pk, none, at, rater, judge, prompt, question, source in found.iterator(chunk_size=CHUNK):
            simulated += source == Judgment.Source.SIMULATED
            who, what = rater or judge, prompt or question
            yield (
                pk,
                none,
                at.timestamp(),
                raters.setdefault(who, len(raters)) if who else -1,
                prompts.setdefault(what, len(prompts)) if what else -1,
            )

    numbers = _numbers(rows(), 5)
    return numbers, _names(raters), simulated


def _names(raters: dict) -> list[str]:
    """Usernames of raters with an account, and the names of imported judges as they are."""
    accounts = dict(
        User.objects.filter(pk__in=[one for one in raters if isinstance(one, int)]).values_list("pk", "username")
    )
    return [accounts.get(one, "?") if isinstance(one, int) else one for one in raters]


def _numbers(rows: Iterable[tuple], width: int) -> np.ndarray:
    """(rows, width) float64, None as NaN; chunk by chunk, for a tuple costs ten times what its numbers do."""
    rows, parts = iter(rows), []
    while part := list(islice(rows, CHUNK)):
        parts.append(np.array(part, dtype=np.float64))
    return np.concatenate(parts) if parts else np.zeros((0, width))


def _pairs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the two items of every pair within each run of equal `group`, the first before the second."""
    if not len(group):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    sizes = np.diff(np.append(starts, len(group)))
    first, second = [], []
    for size in np.unique(sizes):
        these = starts[sizes == size]
        pairs = np.array(list(combinations(range(size), 2)), dtype=np.int64).reshape(-1, 2)
        first.append((these[:, None] + pairs[None, :, 0]).ravel())
        second.append((these[:, None] + pairs[None, :, 1]).ravel())
    return np.concatenate(first), np.concatenate(second)
