"""How reliable each rater is when nobody knows the right answers: Dawid and Skene's model, by EM.

Each item has one true label, drawn from `prior`; a rater who sees truth k says l with probability confusion[k, l],
whatever the item and whatever the others say. Dawid and Skene (1979), "Maximum likelihood estimation of observer
error-rates using the EM algorithm", Applied Statistics 28.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from feedbackhub.stats.intervals import wilson_interval

LEAST = 1e-10  # of a count, so that no probability is zero (as in crowd-kit)
TOLERANCE = 1e-5  # of the gain in log-likelihood a judgment by a step of EM (as in crowd-kit)
MAX_STEPS = 500

NO_SHARED_ITEM = "no item was judged by two raters"
TWO_RATERS = "with fewer than three raters on shared items nothing tells which of them errs"
ONE_LABEL = "every shared judgment has the same label"


@dataclass(frozen=True, eq=False)
class Reliability:
    """One rater: the shared `items` that they judged; `accuracy`, the probability that they give the true label, with
    a Wilson interval over these items (the truth's own uncertainty is not in it); `confusion` (q, q), truth by said."""

    rater: Hashable
    items: int
    accuracy: float
    lower: float
    upper: float
    confusion: np.ndarray


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """`prior` (q,) of the `labels`; `posterior` (I, q), each of the shared `items`' probability of each label;
    `raters`, most items first. All empty where `undefined_because` says why."""

    labels: list
    items: list
    raters: list[Reliability]
    prior: np.ndarray
    posterior: np.ndarray
    steps: int
    converged: bool
    undefined_because: str | None = None

    def label_of(self, item: Hashable) -> Hashable:
        """The likeliest label of an item."""
        return self.labels[int(self.posterior[self.items.index(item)].argmax())]


def dawid_skene(
    judgments: Iterable[tuple[Hashable, Hashable, Hashable]],
    *,
    labels: Sequence[Hashable] | None = None,
    smoothing: float = 1.0,
    tolerance: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> DawidSkene:
    """Fit (item, rater, label) rows, one a rater and item; items with one judgment are left out, they tell nothing.

    `labels`: all that are possible; by default those that occur. `smoothing`: to each rater's counts, for each true
    label, as many judgments are added, spread as all raters' together: somebody of whom little is known is taken to be
    like the others. 0 is the maximum likelihood of the paper. EM begins with the shares of votes, and ends where a step
    gains less than `tolerance` a judgment: further steps mostly give labels that nobody means a life of their own.

    Raises ValueError for a label outside `labels` or a negative smoothing.
    """
    if smoothing < 0:
        raise ValueError(f"smoothing {smoothing} must be at least 0")
    rows = list(judgments)
    known = list(dict.fromkeys(row[2] for row in rows) if labels is None else labels)
    if unknown := {row[2] for row in rows}.difference(known):
        raise ValueError(f"label {sorted(map(str, unknown))[0]!r} is not among the labels {known}")
    often = Counter(item for item, _, _ in rows)
    rows = [row for row in rows if often[row[0]] > 1]
    if reason := _undefined(rows):
        return DawidSkene(known, [], [], np.zeros(0), np.zeros((0, len(known))), 0, False, reason)
    items, raters = (list(dict.fromkeys(row[column] for row in rows)) for column in (0, 1))
    said = _said(rows, items, raters, known)
    q = len(known)
    votes = np.zeros((len(items), q))
    np.add.at(votes, (said.column, said.row % q), 1)
    posterior = votes / votes.sum(axis=1, keepdims=True)
    matrix, step, converged, before = said.matrix, 0, False, -np.inf
    while step < max_steps and not converged:
        confusion, prior = _maximisation(matrix, posterior, smoothing)
        posterior, likelihood = _expectation(matrix, confusion, prior)
        step, converged, before = step + 1, likelihood - before < tolerance * len(rows), likelihood
    confusion, prior = _maximisation(matrix, posterior, smoothing)
    reliability = _reliability(raters, rows, confusion, prior)
    return DawidSkene(known, items, reliability, prior, posterior, step, converged)


def _undefined(rows: list[tuple]) -> str | None:
    if not rows:
        return NO_SHARED_ITEM
    if len({rater for _, rater, _ in rows}) < 3:
        return TWO_RATERS
    return ONE_LABEL if len({label for _, _, label in rows}) < 2 else None


@dataclass(frozen=True, eq=False)
class _Said:
    """Who said what of which item: entries at (`row` = rater × q + label, `column` = item)."""

    row: np.ndarray
    column: np.ndarray
    matrix: csr_array


def _said(rows: list[tuple], items: list, raters: list, labels: list) -> _Said:
    place_of_item, place_of_rater, place_of_label = (
        {value: place for place, value in enumerate(values)} for values in (items, raters, labels)
    )
    row = np.array([place_of_rater[rater] * len(labels) + place_of_label[label] for _, rater, label in rows])
    column = np.array([place_of_item[item] for item, _, _ in rows])
    shape = (len(raters) * len(labels), len(items))
    return _Said(row, column, csr_array((np.ones(len(rows)), (row, column)), shape=shape))


def _maximisation(matrix: csr_array, posterior: np.ndarray, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Confusion (R, truth, said) and prior (q,) from the items' posterior."""
    q = posterior.shape[1]
    counts = (matrix @ posterior).reshape(-1, q, q).transpose(0, 2, 1)
    if smoothing:
        pooled = np.maximum(counts.sum(axis=0), LEAST)
        counts = counts + smoothing * pooled / pooled.sum(axis=1, keepdims=True)
    counts = np.maximum(counts, LEAST)
    return counts / counts.sum(axis=2, keepdims=True), posterior.mean(axis=0)


def _expectation(matrix: csr_array, confusion: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, float]:
    """The items' posterior (I, q), and the log-likelihood."""
    q = len(prior)
    log = matrix.T @ np.log(confusion).transpose(0, 2, 1).reshape(-1, q) + np.log(np.maximum(prior, LEAST))
    most = log.max(axis=1, keepdims=True)
    likelihood = np.exp(log - most)
    total = likelihood.sum(axis=1, keepdims=True)
    return likelihood / total, float((np.log(total) + most).sum())


def _reliability(raters: list, rows: list[tuple], confusion: np.ndarray, prior: np.ndarray) -> list[Reliability]:
    items = Counter(rater for _, rater, _ in rows)
    found = []
    for rater, matrix in zip(raters, confusion, strict=True):
        accuracy = min(1.0, float(np.diag(matrix) @ prior))
        lower, upper = wilson_interval(accuracy * items[rater], items[rater])
        found.append(Reliability(rater, items[rater], accuracy, lower, upper, matrix))
    return sorted(found, key=lambda one: (-one.items, str(one.rater)))
