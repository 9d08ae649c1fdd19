"""Metrics that compare an answer with references: ROUGE, BLEU, chrF, exact match and F1 of words.

A function takes all answers and each one's references, and returns {metric: Measured}; of several references the best
one counts (BLEU and chrF take them all, as sacrebleu does).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ..metrics import Measured, mean_of

Overlap = Callable[[Sequence[str], Sequence[list[str]]], dict[str, Measured]]
ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
PARTS = {"": "fmeasure", "_precision": "precision", "_recall": "recall"}


def rouge(texts: Sequence[str], references: Sequence[list[str]], *, stem: bool = True) -> dict[str, Measured]:
    """ROUGE (Lin 2004) × 100 by rouge_score 0.1.2: of each kind F1, `_precision` and `_recall`.

    Precision and recall are those of the reference that gives the best F1. rougeLsum takes lines for sentences; where
    neither text has two lines it is rougeL.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorers = {several: RougeScorer(list(ROUGE if several else ROUGE[:3]), use_stemmer=stem) for several in (0, 1)}
    best: dict[str, list] = {kind: [] for kind in ROUGE}
    for text, of_row in zip(texts, references):
        found = [scorers["\n" in text + reference].score(reference, text) for reference in of_row]
        for kind in ROUGE:
            scores = [score.get(kind) or score["rougeL"] for score in found]
            best[kind].append(max(scores, key=lambda score: score.fmeasure))
    return {
        kind + suffix: mean_of([100 * getattr(score, part) for score in best[kind]])
        for suffix, part in PARTS.items()
        for kind in ROUGE
    }


def _sacrebleu(metric, statistics: np.ndarray) -> Measured:
    """A sacrebleu corpus metric: sacrebleu reckons it from the sum of its rows' statistics; we resample the same."""

    def value(sums: np.ndarray) -> float:
        return metric._compute_score_from_stats([int(count) for count in sums]).score

    return Measured(statistics, value, np.array([value(row) for row in statistics]))


def _statistics(metric, texts: Sequence[str], references: Sequence[list[str]]) -> np.ndarray:
    """[rows, k]. sacrebleu's streams of references have None where a row has fewer than others."""
    most = max(map(len, references))
    streams = [[of_row[i] if i < len(of_row) else None for of_row in references] for i in range(most)]
    return np.array(metric._extract_corpus_statistics(list(texts), streams), dtype=float)


def bleu(texts: Sequence[str], references: Sequence[list[str]]) -> dict[str, Measured]:
    """Corpus BLEU (Papineni et al. 2002) as sacrebleu has it (13a tokens, exponential smoothing).

    `bleu` goes up to four words in a row; `bleu1` to `bleu3` up to one, two and three.
    """
    from sacrebleu.metrics import BLEU

    found = {}
    for order in (4, 1, 2, 3):
        metric = BLEU(max_ngram_order=order)
        found["bleu" if order == 4 else f"bleu{order}"] = _sacrebleu(metric, _statistics(metric, texts, references))
    return found


def chrf(texts: Sequence[str], references: Sequence[list[str]]) -> dict[str, Measured]:
    """Corpus chrF2 (Popović 2015) with sacrebleu's defaults."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return {"chrf": _sacrebleu(metric, _statistics(metric, texts, references))}


TEXT_OVERLAP: dict[str, Overlap] = {"ROUGE": rouge, "BLEU": bleu, "chrF": chrf}


# --- Short answers ---------------------------------------------------------------------------------------------------


def squad_words(text: str) -> list[str]:
    """Words as SQuAD compares them (Rajpurkar et al. 2016, evaluate-v1.1): lower case, no punctuation, no articles."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def word_f1(text: str, reference: str) -> float:
    """F1 of the words in common, 0…1; two texts without any word agree."""
    ours, theirs = squad_words(text), squad_words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def answer_match(texts: Sequence[str], references: Sequence[list[str]]) -> dict[str, Measured]:
    """× 100: share of answers that are one of their references (`exact_match`), F1 of words with the best (`f1`)."""
    exact = [
        100 * max(float(squad_words(text) == squad_words(reference)) for reference in of_row)
        for text, of_row in zip(texts, references)
    ]
    shared = [100 * max(word_f1(text, reference) for reference in of_row) for text, of_row in zip(texts, references)]
    return {"exact_match": mean_of(exact), "f1": mean_of(shared)}


ANSWER_MATCH: dict[str, Overlap] = {"exact match and F1": answer_match}
