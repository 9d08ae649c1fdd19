"""Votes counted by pair of models: what every rating that ignores the order of votes is computed from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def model_indices(values: ArrayLike, models: int, name: str) -> np.ndarray:
    """`values` as an int64 array of model indices. ValueError when one is not in 0 … models − 1."""
    raw = np.asarray(values)
    indices = raw.astype(np.int64)
    if indices.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {indices.shape}")
    wrong = np.flatnonzero((indices != raw) | (indices < 0) | (indices >= models))
    if wrong.size:
        raise ValueError(f"{name}[{wrong[0]}] is {raw[wrong[0]]}: a model index must be a whole number below {models}")
    return indices


def vote_arrays(models: int, a: ArrayLike, b: ArrayLike, outcome: ArrayLike) -> tuple[np.ndarray, ...]:
    """Checked arrays (a, b, outcome) of N votes; outcome is 1 when a won, 0 when b won, ½ for a tie.

    ValueError names the first vote with an unknown model, a model against itself or another outcome.
    """
    a, b = model_indices(a, models, "a"), model_indices(b, models, "b")
    outcome = np.asarray(outcome, dtype=np.float64)
    if not a.shape == b.shape == outcome.shape:
        raise ValueError(f"a, b and outcome must be of one length, not {a.shape}, {b.shape} and {outcome.shape}")
    _against_itself(a, b)
    wrong = np.flatnonzero((outcome != 0) & (outcome != 0.5) & (outcome != 1))
    if wrong.size:
        raise ValueError(f"outcome[{wrong[0]}] is {outcome[wrong[0]]}: it must be 1 (a won), 0.5 (a tie) or 0 (b won)")
    return a, b, outcome


def _against_itself(a: np.ndarray, b: np.ndarray) -> None:
    wrong = np.flatnonzero(a == b)
    if wrong.size:
        raise ValueError(f"row {wrong[0]} sets model {a[wrong[0]]} against itself: a pair needs two models")


@dataclass(frozen=True, eq=False)
class Tallies:
    """Votes by pair. `wins[i, j]`: votes that i won against j, (M, M). `ties`: (M, M), symmetric. Zero diagonals."""

    wins: np.ndarray
    ties: np.ndarray

    @classmethod
    def of_pairs(
        cls, models: int, a: ArrayLike, b: ArrayLike, wins_a: ArrayLike, wins_b: ArrayLike, ties: ArrayLike
    ) -> "Tallies":
        """From P rows of counts. A pair may come several times and either way round: the rows add up.

        ValueError when the lengths differ, an index is out of range, a model meets itself or a count is negative.
        """
        a, b = model_indices(a, models, "a"), model_indices(b, models, "b")
        counts = {"wins_a": wins_a, "wins_b": wins_b, "ties": ties}
        counts = {name: np.asarray(values, dtype=np.float64) for name, values in counts.items()}
        for name, values in {"b": b, **counts}.items():
            if values.shape != a.shape:
                raise ValueError(f"{name} is of shape {values.shape} but a of {a.shape}: all must be of one length")
            wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
            if wrong.size:
                raise ValueError(f"{name}[{wrong[0]}] is {values[wrong[0]]}: a count must be finite and at least 0")
        _against_itself(a, b)

        def matrix(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
            return np.bincount(rows * models + columns, weights, models * models).reshape(models, models)

        return cls(
            wins=matrix(a, b, counts["wins_a"]) + matrix(b, a, counts["wins_b"]),
            ties=matrix(a, b, counts["ties"]) + matrix(b, a, counts["ties"]),
        )

    @classmethod
    def of_votes(cls, models: int, a: ArrayLike, b: ArrayLike, outcome: ArrayLike) -> "Tallies":
        """From N single votes; outcome is 1 when a won, 0 when b won, ½ for a tie (see `vote_arrays` for errors)."""
        a, b, outcome = vote_arrays(models, a, b, outcome)
        cells = ((2 * outcome).astype(np.int64) * models + a) * models + b
        lost, tied, won = np.bincount(cells, minlength=3 * models * models).reshape(3, models, models).astype(float)
        return cls(wins=won + lost.T, ties=tied + tied.T)

    @property
    def models(self) -> int:
        return len(self.wins)

    @property
    def win_matrix(self) -> np.ndarray:
        """(M, M): votes of i against j with a tie as half a win."""
        return self.wins + self.ties / 2

    @property
    def games(self) -> np.ndarray:
        """(M, M), symmetric: votes between i and j."""
        return self.wins + self.wins.T + self.ties

    @property
    def votes(self) -> int:
        """All votes; each is counted once."""
        return round(self.games.sum() / 2)

    def between(self, members: np.ndarray) -> "Tallies":
        """Only the votes among `members` (indices), renumbered in their order."""
        return Tallies(self.wins[np.ix_(members, members)], self.ties[np.ix_(members, members)])


def average_win_rate(tallies: Tallies) -> np.ndarray:
    """(M,): the mean over a model's opponents of its win rate against each, a tie as ½; NaN without an opponent.

    Every opponent weighs the same, however many votes there are. Source: `average_win_rate` of Evalica (Ustalov, 2025).
    """
    games = tallies.games
    rate = np.divide(tallies.win_matrix, games, out=np.zeros_like(games), where=games > 0)
    opponents = (games > 0).sum(axis=1)
    return np.divide(rate.sum(axis=1), opponents, out=np.full(len(games), np.nan), where=opponents > 0)
