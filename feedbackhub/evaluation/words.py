"""Texts compared by their words, as SQuAD does (as training/suites/overlap.py does, which the site may not import)."""

import re
import string
from collections import Counter


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation and English articles (Rajpurkar et al. 2016, evaluate-v1.1)."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def same_words(text: str, other: str) -> bool:
    return words_of(text) == words_of(other)


def word_f1(text: str, reference: str) -> float:
    """F1 of the words in common, 0…1; two texts without any word agree."""
    ours, theirs = words_of(text), words_of(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * sum((Counter(ours) & Counter(theirs)).values()) / (len(ours) + len(theirs))
