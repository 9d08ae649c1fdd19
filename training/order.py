"""Which rows each step takes: the same on every machine and in every attempt."""

import hashlib
import math
import random
from dataclasses import dataclass

from .config import Tuning


def seeded(*parts: object) -> random.Random:
    """A random generator of its own for these parts; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def epoch_batches(lengths: list[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """All rows once, in batches of like length (little padding), the batches in random order."""
    chance = seeded(seed, "epoch", epoch)
    rows = list(range(len(lengths)))
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
class Schedule:
    """Which rows each step takes."""

    lengths: list[int]
    settings: Tuning
    processes: int = 1  # each takes batch_size rows at once

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size * self.processes

    @property
    def steps_an_epoch(self) -> int:
        batches = math.ceil(len(self.lengths) / self.batch_size)
        return math.ceil(batches / self.settings.gradient_accumulation)

    @property
    def steps(self) -> int:
        return self.settings.max_steps or max(1, math.ceil(self.settings.epochs * self.steps_an_epoch))

    def batches(self, step: int) -> list[list[int]]:
        """The micro-batches of a step, those of all processes as one."""
        epoch, place = divmod(step, self.steps_an_epoch)
        batches = epoch_batches(self.lengths, self.batch_size, self.settings.seed, epoch)
        many = self.settings.gradient_accumulation
        return batches[place * many : (place + 1) * many]

    def epoch(self, step: int) -> float:
        """Epochs done once `step` steps are."""
        return step / self.steps_an_epoch
