"""A run up to its first step, in a directory of nobody's."""

from pathlib import Path

from ..data import Fitting
from ..directory import RunDirectory
from ..errors import TrainingError


class Reached(Exception):
    """The recipe stands before its first step."""

    def __init__(self, training):
        self.training = training


class Rehearsal(RunDirectory):
    """A directory in which a recipe gets as far as its first step, and tells nobody."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.fitted: dict[str, tuple[int, Fitting]] = {}
        self.warnings: list[str] = []

    def emit(self, type: str, **data) -> None:
        pass

    def log(self, text: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def rows_fitted(self, name: str, rows: int, fitting: Fitting) -> None:
        self.fitted[name] = rows, fitting

    def training_begins(self, training) -> None:
        raise Reached(training)

    def metric(self, **_) -> None:
        raise TrainingError("no_estimate", "This recipe has a loop of its own, which cannot be rehearsed.")
