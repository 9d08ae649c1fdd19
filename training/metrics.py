"""Metrics that compare texts, and bootstrap intervals for means, ratios and corpus scores.

Every metric is a function from predictions and references to its per-row statistics and the function that turns their
sum into a value; so that one bootstrap serves them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Z_SHARES = (2.5, 97.5)  # of a 95 % percentile interval


@dataclass(frozen=True)
class Measured:
    """What a metric says of some rows.

    statistics: [rows, k] that add up over rows. value: from the sum of statistics ([k]) to the metric.
    scores: [rows] each row's own value.
    """

    statistics: np.ndarray
    value: Callable[[np.ndarray], float]
    scores: np.ndarray


def mean_of(scores: Sequence[float]) -> Measured:
    """The mean of per-row values, as sums of (value, 1)."""
    values = np.asarray(scores, dtype=float)
    return Measured(np.stack([values, np.ones_like(values)], axis=1), lambda sums: sums[0] / sums[1], values)


def perplexity_of(losses: Sequence[float], tokens: Sequence[int]) -> Measured:
    """exp(total negative log-likelihood / total tokens), from each row's sums."""
    statistics = np.stack([np.asarray(losses, dtype=float), np.asarray(tokens, dtype=float)], axis=1)
    scores = np.exp(statistics[:, 0] / np.maximum(statistics[:, 1], 1))
    return Measured(statistics, lambda sums: float(np.exp(sums[0] / sums[1])), scores)


# --- Text overlap ----------------------------------------------------------------------------------------------------


def _rouge(kind: str, predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """Mean F1 × 100 against the best of each row's references (rouge_score 0.1.2, with its stemmer)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=True)
    return mean_of(
        [
            100 * max(scorer.score(reference, text)[kind].fmeasure for reference in of_row)
            for text, of_row in zip(predictions, references)
        ]
    )


def rouge1(predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """ROUGE-1 (Lin 2004): words in common."""
    return _rouge("rouge1", predictions, references)


def rouge2(predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """ROUGE-2: pairs of neighbouring words in common."""
    return _rouge("rouge2", predictions, references)


def rouge_l(predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """ROUGE-L: the longest common subsequence of words."""
    return _rouge("rougeL", predictions, references)


def _sacrebleu(metric, predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """A sacrebleu corpus metric with all of each row's references.

    sacrebleu reckons a corpus score from the sum of its rows' statistics; we take the same, to resample them.
    """
    streams = [list(stream) for stream in _streams(references)]
    statistics = np.array(metric._extract_corpus_statistics(list(predictions), streams), dtype=float)

    def value(sums: np.ndarray) -> float:
        return metric._compute_score_from_stats(_as_lists(sums)).score

    return Measured(statistics, value, np.array([value(row) for row in statistics]))


def _as_lists(sums: np.ndarray) -> list[int]:
    return [int(count) for count in sums]


def _streams(references: Sequence[list[str]]) -> list[list[str | None]]:
    """Row-wise references as sacrebleu's streams, with None where a row has fewer than others."""
    most = max(map(len, references))
    return [[of_row[i] if i < len(of_row) else None for of_row in references] for i in range(most)]


def bleu(predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """Corpus BLEU with sacrebleu's defaults (13a tokens, exponential smoothing)."""
    from sacrebleu.metrics import BLEU

    return _sacrebleu(BLEU(), predictions, references)


def chrf(predictions: Sequence[str], references: Sequence[list[str]]) -> Measured:
    """Corpus chrF2 with sacrebleu's defaults."""
    from sacrebleu.metrics import CHRF

    return _sacrebleu(CHRF(), predictions, references)


TEXT_OVERLAP: dict[str, Callable[[Sequence[str], Sequence[list[str]]], Measured]] = {
    "rouge1": rouge1,
    "rouge2": rouge2,
    "rougeL": rouge_l,
    "bleu": bleu,
    "chrf": chrf,
}


# --- Intervals -------------------------------------------------------------------------------------------------------


def resamples(rows: int, times: int, seed: int) -> np.ndarray:
    """How often each resample holds each row; [times, rows]. The same for all metrics of a seed and number of rows."""
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=times)


def interval(measured: Measured, counts: np.ndarray) -> dict:
    """{value, lower, upper, n}: the metric with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993)."""
    drawn = resampled(measured, counts)
    lower, upper = np.percentile(drawn, Z_SHARES)
    value = measured.value(measured.statistics.sum(axis=0))
    return {"value": float(value), "lower": float(lower), "upper": float(upper), "n": len(measured.statistics)}


def resampled(measured: Measured, counts: np.ndarray) -> np.ndarray:
    """The metric of each resample; [times]."""
    return np.array([measured.value(sums) for sums in counts @ measured.statistics])


def paired_difference(ours: Measured, theirs: Measured, counts: np.ndarray) -> dict:
    """{value, lower, upper, n, p_value} of ours − theirs on the same rows, resampled together (Koehn 2004).

    p_value: two-sided, twice the smaller share of resamples on either side of zero, at least 1 / resamples.
    """
    drawn = resampled(ours, counts) - resampled(theirs, counts)
    lower, upper = np.percentile(drawn, Z_SHARES)
    value = ours.value(ours.statistics.sum(axis=0)) - theirs.value(theirs.statistics.sum(axis=0))
    tail = min(np.mean(drawn <= 0), np.mean(drawn >= 0))
    known = {"value": float(value), "lower": float(lower), "upper": float(upper), "n": len(ours.statistics)}
    return {**known, "p_value": float(min(1.0, max(2 * tail, 1 / len(drawn))))}
