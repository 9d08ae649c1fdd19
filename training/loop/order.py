"""Which rows each step takes: the same on every machine and in every attempt."""

import hashlib
import math
import random
from dataclasses import dataclass

from ..config import Tuning


def seeded(*parts: object) -> random.Random:
    """A random generator of its own for these parts; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def epoch_batches(
    lengths: list[int], batch_size: int, seed: int, epoch: int, rows: list[int] | None = None
) -> list[list[int]]:
    """All rows once (or those given), in batches of like length (little padding), the batches in random order."""
    chance = seeded(seed, "epoch", epoch)
    rows = list(range(len(lengths))) if rows is None else list(rows)
    chance.shuffle(rows)
    # Sorted within windows only: the same rows do not meet in every epoch.
    window = 32 * batch_size
    batches = []
    for start in range(0, len(rows), window):
        block = sorted(rows[start : start + window], key=lambda row: -lengths[row])
        batches += [block[i : i + batch_size] for i in range(0, len(block), batch_size)]
    chance.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Share:
    """A part of a mixture: its rows, from `start` on, and how many of them an epoch draws."""

    start: int
    rows: int
    drawn: int


def shares(counts: list[int], weights: list[float]) -> tuple[Share, ...]:
    """Parts of so many rows, so that an epoch draws as many as there are in all: each its weight's share, one at least.

    What rounding leaves goes to the largest remainders (Hamilton's method).
    """
    total = sum(counts)
    exact = [total * weight / sum(weights) for weight in weights]
    drawn = [int(share) for share in exact]
    for number in sorted(range(len(exact)), key=lambda one: drawn[one] - exact[one])[: total - sum(drawn)]:
        drawn[number] += 1
    starts = [sum(counts[:number]) for number in range(len(counts))]
    return tuple(Share(start, rows, max(1, many)) for start, rows, many in zip(starts, counts, drawn))


def drawn_rows(share: Share, number: int, seed: int, epoch: int) -> list[int]:
    """What part `number` gives to an epoch: the next of its rows, which it goes through in ever new orders."""
    found: list[int] = []
    while len(found) < share.drawn:
        time, place = divmod(epoch * share.drawn + len(found), share.rows)
        order = list(range(share.start, share.start + share.rows))
        seeded(seed, "part", number, time).shuffle(order)
        found += order[place : place + share.drawn - len(found)]
    return found


@dataclass(frozen=True)
class Schedule:
    """Which rows each step takes; shares: of a mixture."""

    lengths: list[int]
    settings: Tuning
    shares: tuple[Share, ...] = ()
    processes: int = 1  # each takes batch_size rows at once

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size * self.processes

    @property
    def steps_an_epoch(self) -> int:
        rows = sum(share.drawn for share in self.shares) or len(self.lengths)
        batches = math.ceil(rows / self.batch_size)
        return math.ceil(batches / self.settings.gradient_accumulation)

    @property
    def steps(self) -> int:
        return self.settings.max_steps or max(1, math.ceil(self.settings.epochs * self.steps_an_epoch))

    def batches(self, step: int) -> list[list[int]]:
        """The micro-batches of a step, those of all processes as one."""
        epoch, place = divmod(step, self.steps_an_epoch)
        batches = self.in_epoch(epoch)
        many = self.settings.gradient_accumulation
        return batches[place * many : (place + 1) * many]

    def in_epoch(self, epoch: int) -> list[list[int]]:
        """The micro-batches of an epoch."""
        seed = self.settings.seed
        rows = [row for number, share in enumerate(self.shares) for row in drawn_rows(share, number, seed, epoch)]
        return epoch_batches(self.lengths, self.batch_size, seed, epoch, rows or None)

    def epoch(self, step: int) -> float:
        """Epochs done once `step` steps are."""
        return step / self.steps_an_epoch
