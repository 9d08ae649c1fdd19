"""What a training remembers of its way: sums of metrics, how its batches fit the memory, its best weights."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Self

from torch import Tensor

from ..config import Tuning


@dataclass
class Sums:
    """Weighted sums of metrics, and their means.

    A value `NAME` whose weight is its own (a mixture's `loss_PART`) has it beside it as `NAME over`.
    """

    weight: float = 0.0
    values: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, weight: float, values: dict[str, float]) -> None:
        self.weight += weight
        for name, value in values.items():
            self.values[name] += value

    def means(self) -> dict[str, float]:
        weights = {name: self.values.get(f"{name} over", self.weight) for name in self.values}
        return {name: self.values[name] / weights[name] for name in weights if weights[name] and " over" not in name}


def added(some: list[Sums]) -> Sums:
    """The sums of all."""
    first, *others = some
    for other in others:
        first.add(other.weight, other.values)
    return first


@dataclass
class Memory:
    """How micro-batches are made to fit the memory; a step's rows, and so its gradient, stay the same.

    split: in how many parts each goes through the model. checkpointing: activations are computed twice, not kept.
    """

    split: int = 1
    checkpointing: bool = False

    def parts(self, batches: list[list[int]]) -> Iterator[list[int]]:
        for batch in batches:
            size = math.ceil(len(batch) / self.split)
            yield from (batch[start : start + size] for start in range(0, len(batch), size))

    def shrink(self, settings: Tuning) -> str | None:
        """Need less, and say how; None when nothing is left to try. Each way is tried once, the cheapest first."""
        if self.split == 1 and settings.batch_size > 1:
            self.split = 2
            return (
                f"From here on {math.ceil(settings.batch_size / 2)} rows go through the model at once, half of "
                "batch_size, and twice as many batches are summed: each step sees the same rows."
            )
        if settings.checkpointing == "auto" and not self.checkpointing:
            self.checkpointing = True
            return "From here on activations are computed twice instead of kept (checkpointing): slower, and leaner."
        return None


@dataclass
class Best:
    """The lowest validation loss so far, with its weights where the training may go back to them."""

    loss: float | None = None
    step: int | None = None
    without: int = 0  # evaluations since
    given_up: bool = False
    because: str | None = None  # an alarm's words, where it was not patience that gave up
    seen_at: int = -1  # the step that was evaluated last
    metrics: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None

    def as_dict(self) -> dict:
        return {rule.name: getattr(self, rule.name) for rule in fields(self) if rule.name != "weights"}

    def tensors(self) -> dict[str, Tensor]:
        return {f"best/{name}": weight for name, weight in (self.weights or {}).items()}

    @classmethod
    def of(cls, known: dict, tensors: dict[str, Tensor]) -> Self:
        kept = {name.removeprefix("best/"): weight for name, weight in tensors.items() if name.startswith("best/")}
        return cls(**known, weights=kept or None)
