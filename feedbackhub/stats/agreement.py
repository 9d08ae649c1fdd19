"""How far raters agree, beyond chance: percent, Cohen, Fleiss, Krippendorff, Gwet, with intervals over items.

Items are what is resampled (percentile bootstrap), for the judgments of one item hang together. Items that got the
same judgments form one pattern, and a resample is a draw of weights for the patterns.

Sources: Cohen 1960; Light 1971; Fleiss 1971; Krippendorff, "Content Analysis", 4th ed., ch. 12; Gwet, "Computing
inter-rater reliability and its variance in the presence of high agreement", 2008, and "Handbook of Inter-Rater
Reliability", 5th ed. (AC2 and its weights).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from numbers import Real

import numpy as np
from scipy.sparse import csr_array

LEVELS = ("nominal", "ordinal", "interval", "ratio")
CELLS = 4_000_000  # numbers held at a time while resampling

NO_JUDGMENTS = "there are no judgments"
NO_SHARED_ITEM = "no item was judged by two raters"
ONE_LABEL = "every judgment has the same label, so agreement by chance cannot be told from real agreement"
ONE_LABEL_FLEISS = "the items with equally many judgments all have the same label"
ONE_LABEL_COHEN = "wherever two raters judged the same items, both gave one and the same label throughout"


@dataclass(frozen=True)
class Statistic:
    """`value` with its bootstrap interval; each is None where it cannot be had, and `undefined_because` says why the
    value cannot. `lower`, `upper` are None too when there is one item, or most resamples have no value."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    undefined_because: str | None


@dataclass(frozen=True)
class RaterAgreement:
    """One rater: all `judgments`; the `comparisons` with others' judgments of the same items; the share of these in
    which both gave the same label (None without a comparison)."""

    rater: Hashable
    judgments: int
    comparisons: int
    percent: float | None


@dataclass(frozen=True)
class Agreement:
    """`statistics` in the order percent, krippendorff_alpha, gwet_ac1 (gwet_ac2 above the nominal level), cohen_kappa,
    fleiss_kappa; the number of `items` and `judgments`; each rater, most judgments first."""

    statistics: list[Statistic]
    items: int
    judgments: int
    raters: list[RaterAgreement]

    def __getitem__(self, name: str) -> Statistic:
        return next(statistic for statistic in self.statistics if statistic.name == name)

    def as_dict(self) -> dict:
        """The same as plain lists and values."""
        return asdict(self)


def agreement(
    judgments: Iterable[tuple[Hashable, Hashable, Hashable]],
    *,
    level: str = "nominal",
    categories: Sequence[Hashable] | None = None,
    only: Collection[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Agreement in `judgments`: (item, rater, label) rows in any order; a label None is a missing answer.

    `level`: nominal (labels are words), ordinal (their order counts), interval or ratio (their distance counts; labels
    are numbers). `categories`: all labels that were possible, in order; by default those that occur, sorted. Gwet's
    coefficient depends on their number, the ordinal measures on their order. `only`: the names of the statistics that
    are wanted, by default all of the level.

    - percent: the mean over items of the share of pairs of raters that agree.
    - krippendorff_alpha: with the level's own difference function.
    - gwet_ac1; above the nominal level gwet_ac2, with ordinal weights, or quadratic ones for interval and ratio.
    - cohen_kappa: with more than two raters the mean over pairs (Light), each weighted by the items that it shares;
      pairs with a single label are left out. Where pairs share only a few items it is biased: prefer alpha there.
    - fleiss_kappa: over the items that have the most usual number of judgments (of two such numbers the larger).

    percent, Cohen and Fleiss compare labels as words at every level. Raises ValueError for an unknown level, a rater
    who judged an item twice, a label outside `categories`, or one that is no number where the level needs numbers.
    """
    rows = [row for row in judgments if row[2] is not None]
    labels = _categories(rows, level, categories)
    by_item = _by_item(rows, {label: index for index, label in enumerate(labels)})
    tables = _LabelTable.of(by_item, labels, level), _PairTable.of(by_item, len(labels))
    gwet = "gwet_ac1" if level == "nominal" else "gwet_ac2"
    measures: list[tuple[str, _LabelTable | _PairTable, Callable, str]] = [
        ("percent", tables[0], _LabelTable.percent, NO_SHARED_ITEM),
        ("krippendorff_alpha", tables[0], _LabelTable.krippendorff, ONE_LABEL),
        (gwet, tables[0], _LabelTable.gwet, ONE_LABEL),
        ("cohen_kappa", tables[1], _PairTable.cohen, ONE_LABEL_COHEN),
        ("fleiss_kappa", tables[0], _LabelTable.fleiss, ONE_LABEL if len(labels) == 1 else ONE_LABEL_FLEISS),
    ]
    measures = [measure for measure in measures if only is None or measure[0] in only]
    shared = any(len(answers) > 1 for answers in by_item.values())
    statistics = []
    for name, table, measure, one_label in measures:
        if not shared:
            statistics.append(Statistic(name, None, None, None, NO_SHARED_ITEM if rows else NO_JUDGMENTS))
        else:
            statistics.append(_statistic(name, table, measure, one_label, resamples, seed))
    return Agreement(statistics, len(by_item), len(rows), _raters(by_item))


def _categories(rows: list[tuple], level: str, categories: Sequence[Hashable] | None) -> list:
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is none of {', '.join(LEVELS)}")
    seen = {label for _, _, label in rows}
    if categories is None:
        try:
            labels = sorted(seen, key=str) if level == "nominal" else sorted(seen)
        except TypeError as error:
            raise ValueError(f"labels of several types have no order: give categories ({error})") from error
    else:
        labels = list(dict.fromkeys(categories))
        unknown = sorted(map(str, seen.difference(labels)))
        if unknown:
            raise ValueError(f"label {unknown[0]!r} is not among the categories {labels}")
    numeric = all(isinstance(label, Real) and np.isfinite(label) for label in labels)
    if level in ("interval", "ratio") and not numeric:
        raise ValueError(f"the {level} level needs labels that are finite numbers, not {labels[:5]}")
    return labels


def _by_item(rows: list[tuple], index: dict) -> dict:
    """{item: {rater: category index}}."""
    by_item: dict = defaultdict(dict)
    for item, rater, label in rows:
        if rater in by_item[item]:
            raise ValueError(f"rater {rater!r} judged item {item!r} twice: give only the judgment that counts")
        by_item[item][rater] = index[label]
    return by_item


def _statistic(name: str, table, measure: Callable, one_label: str, resamples: int, seed: int) -> Statistic:
    value = float(measure(table, table.items[None, :].astype(np.float64))[0])
    if np.isnan(value):
        return Statistic(name, None, None, None, one_label)
    items = int(table.items.sum())
    if items < 2:
        return Statistic(name, value, None, None, None)
    generator = np.random.default_rng(seed)
    rows = max(1, CELLS // max(len(table.items), table.width))
    values = np.concatenate(
        [
            measure(table, generator.multinomial(items, table.items / items, size=min(rows, resamples - done)))
            for done in range(0, resamples, rows)
        ]
    )
    values = values[~np.isnan(values)]
    if len(values) < resamples / 2:
        return Statistic(name, value, None, None, None)
    lower, upper = np.quantile(values, [0.025, 0.975])
    return Statistic(name, value, float(lower), float(upper), None)


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where `below` is zero but for rounding."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.abs(below) > 1e-12)


@dataclass(frozen=True, eq=False)
class _LabelTable:
    """P patterns of labels: `counts` (P, q) judgments by category; `items` (P,): items that have the pattern.

    Each measure takes weights (B, P), in the place of `items`, and gives B values, NaN where it is not defined.
    """

    counts: np.ndarray
    items: np.ndarray
    labels: list
    level: str

    @classmethod
    def of(cls, by_item: dict, labels: list, level: str) -> "_LabelTable":
        patterns = Counter(tuple(sorted(answers.values())) for answers in by_item.values())
        counts = np.zeros((len(patterns), len(labels)))
        for row, pattern in enumerate(patterns):
            np.add.at(counts[row], list(pattern), 1)
        return cls(counts, np.array(list(patterns.values()), dtype=np.int64), labels, level)

    @property
    def width(self) -> int:
        return len(self.labels) ** 2

    def _agreeing(self, weights: np.ndarray, similarity: np.ndarray) -> np.ndarray:
        """(B,): the mean over items with two judgments or more of the similarity of their pairs of judgments."""
        total = self.counts.sum(axis=1)
        shared = total > 1
        counts, total = self.counts[shared], total[shared]
        of_pattern = (counts * (counts @ similarity.T - 1)).sum(axis=1) / (total * (total - 1))
        return _divide(weights[:, shared] @ of_pattern, weights[:, shared].sum(axis=1).astype(np.float64))

    def percent(self, weights: np.ndarray) -> np.ndarray:
        return self._agreeing(weights, np.eye(len(self.labels)))

    def gwet(self, weights: np.ndarray) -> np.ndarray:
        q = len(self.labels)
        if q < 2:
            return np.full(len(weights), np.nan)
        similarity = self._gwet_weights()
        share = weights @ (self.counts / self.counts.sum(axis=1, keepdims=True))
        share = share / share.sum(axis=1, keepdims=True)
        chance = similarity.sum() / (q * (q - 1)) * (share * (1 - share)).sum(axis=1)
        return _divide(self._agreeing(weights, similarity) - chance, 1 - chance)

    def _gwet_weights(self) -> np.ndarray:
        """(q, q): 1 on the diagonal. Ordinal: 1 − C(d + 1, 2) / C(q, 2), d the steps apart; quadratic above that."""
        q = len(self.labels)
        if self.level == "nominal":
            return np.eye(q)
        if self.level == "ordinal":
            apart = np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
            return 1 - apart * (apart + 1) / (q * (q - 1))
        values = np.array(self.labels, dtype=np.float64)
        return 1 - np.subtract.outer(values, values) ** 2 / (values.max() - values.min()) ** 2

    def fleiss(self, weights: np.ndarray) -> np.ndarray:
        total = self.counts.sum(axis=1)
        usual = np.bincount(total.astype(np.int64), self.items)
        usual[:2] = 0
        raters = len(usual) - 1 - int(np.argmax(usual[::-1]))
        complete = total == raters
        counts, weights = self.counts[complete], weights[:, complete]
        items = weights.sum(axis=1).astype(np.float64)
        agreeing = _divide(weights @ ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))), items)
        chance = (_divide(weights @ counts, items[:, None] * raters * np.ones(len(self.labels))) ** 2).sum(axis=1)
        return _divide(agreeing - chance, 1 - chance)

    def krippendorff(self, weights: np.ndarray) -> np.ndarray:
        q = len(self.labels)
        total = self.counts.sum(axis=1)
        shared = total > 1
        counts, total = self.counts[shared], total[shared]
        coincidences = csr_array(_coincidences(counts, total))
        observed = (weights[:, shared] @ coincidences).reshape(-1, q, q)
        marginal = observed.sum(axis=2)
        difference = self._squared_difference(marginal)
        n = marginal.sum(axis=1)
        expected = ((marginal[:, :, None] * marginal[:, None, :]) * difference).sum(axis=(1, 2))
        return 1 - _divide((n - 1) * (observed * difference).sum(axis=(1, 2)), expected)

    def _squared_difference(self, marginal: np.ndarray) -> np.ndarray:
        """(B or 1, q, q): Krippendorff's difference function of the level; the ordinal one depends on the data."""
        q = len(self.labels)
        if self.level == "nominal":
            return 1 - np.eye(q)[None]
        if self.level == "ordinal":
            middle = np.cumsum(marginal, axis=1) - marginal / 2
            return (middle[:, :, None] - middle[:, None, :]) ** 2
        values = np.array(self.labels, dtype=np.float64)
        squares = np.subtract.outer(values, values) ** 2
        if self.level == "ratio":
            sums = np.add.outer(values, values)
            squares = np.divide(squares, sums**2, out=np.zeros_like(squares), where=sums != 0)
        return squares[None]


def _coincidences(counts: np.ndarray, total: np.ndarray) -> csr_array:
    """(P, q²), sparse: for each pattern, ordered pairs of its judgments by categories, over (judgments − 1)."""
    rows, columns, values = [], [], []
    q = counts.shape[1]
    for row, (pattern, judgments) in enumerate(zip(counts, total, strict=True)):
        present = np.flatnonzero(pattern)
        pairs = np.outer(pattern[present], pattern[present]) - np.diag(pattern[present])
        rows.append(np.full(pairs.size, row))
        columns.append((present[:, None] * q + present[None, :]).ravel())
        values.append((pairs / (judgments - 1)).ravel())
    cells = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(values), cells), shape=(len(counts), q * q))


@dataclass(frozen=True, eq=False)
class _PairTable:
    """Patterns of who said what, for Cohen: `items` (P,) as above, and one entry for every two raters of a pattern:
    its `pattern`, which pair of raters (`pair`), and their two labels (`first`, `second`)."""

    items: np.ndarray
    pattern: np.ndarray
    pair: np.ndarray
    first: np.ndarray
    second: np.ndarray
    pairs: int
    labels: int

    @classmethod
    def of(cls, by_item: dict, labels: int) -> "_PairTable":
        order = {rater: index for index, rater in enumerate(dict.fromkeys(r for a in by_item.values() for r in a))}
        patterns = Counter(tuple(sorted((order[rater], c) for rater, c in a.items())) for a in by_item.values())
        pairs: dict[tuple[int, int], int] = {}
        entries = [
            (row, pairs.setdefault((one, other), len(pairs)), first, second)
            for row, pattern in enumerate(patterns)
            for (one, first), (other, second) in combinations(pattern, 2)
        ]
        columns = np.array(entries, dtype=np.int64).reshape(-1, 4).T
        return cls(np.array(list(patterns.values()), dtype=np.int64), *columns, len(pairs), labels)

    @property
    def width(self) -> int:
        return max(len(self.pattern), self.pairs * self.labels)

    def cohen(self, weights: np.ndarray) -> np.ndarray:
        return np.array([self._light(row[self.pattern]) for row in weights])

    def _light(self, weights: np.ndarray) -> float:
        shared = np.bincount(self.pair, weights, self.pairs)
        agreeing = _divide(np.bincount(self.pair, weights * (self.first == self.second), self.pairs), shared)
        margins = [
            np.bincount(self.pair * self.labels + label, weights, self.pairs * self.labels).reshape(-1, self.labels)
            for label in (self.first, self.second)
        ]
        chance = _divide((margins[0] * margins[1]).sum(axis=1), shared**2)
        kappa = _divide(agreeing - chance, 1 - chance)
        defined = ~np.isnan(kappa)
        return float(np.average(kappa[defined], weights=shared[defined])) if defined.any() else float("nan")


def rater_agreement(judgments: Iterable[tuple[Hashable, Hashable, Hashable]]) -> list[RaterAgreement]:
    """Each rater's agreement with the others in (item, rater, label) rows, most judgments first, without intervals."""
    rows = [row for row in judgments if row[2] is not None]
    return _raters(_by_item(rows, {label: label for _, _, label in rows}))


def _raters(by_item: dict) -> list[RaterAgreement]:
    judgments: Counter = Counter()
    comparisons: Counter = Counter()
    same: Counter = Counter()
    for answers in by_item.values():
        labels = Counter(answers.values())
        for rater, label in answers.items():
            judgments[rater] += 1
            comparisons[rater] += len(answers) - 1
            same[rater] += labels[label] - 1
    percent = {rater: same[rater] / count for rater, count in comparisons.items() if count}
    return [
        RaterAgreement(rater, count, comparisons[rater], percent.get(rater)) for rater, count in judgments.most_common()
    ]
