"""A share with its interval, as pages on raters show it."""

from dataclasses import dataclass

from feedbackhub.stats.intervals import wilson_interval


@dataclass(frozen=True)
class Share:
    """`part` of `whole` with its Wilson 95 % interval; `value` is None where `whole` is 0."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.part, self.whole)

    @property
    def excludes_half(self) -> bool:
        lower, upper = self.interval
        return bool(self.whole) and not lower <= 0.5 <= upper
