"""How an answer looks: its length, headers, lists and bold, by which votes may be won whatever it says.

The features are those of the Chatbot Arena's style control (Li, Angelopoulos and Chiang, 2024, "Does style matter?").
"""

import re

import numpy as np
from numpy.typing import ArrayLike

STYLE = ("length", "headers", "lists", "bold")
_HEADER = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_LIST = re.compile(r"^[ \t]*(?:[-*+]|\d{1,4}[.)])[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)[ \t]*$", re.MULTILINE | re.DOTALL)


def style_counts(text: str) -> tuple[int, int, int, int]:
    """(characters, headers, list items, bold passages) of a Markdown text; what stands in a code block is none."""
    prose = _FENCE.sub("", text)
    return len(text), len(_HEADER.findall(prose)), len(_LIST.findall(prose)), len(_BOLD.findall(prose))


def contrast(one: ArrayLike, other: ArrayLike) -> np.ndarray:
    """(one − other) / (one + other + 1), in (−1, 1), for counts of any shape: the first answer's against the second's.

    ValueError for a negative count or one that is not a number.
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if not (np.isfinite(one) & (one >= 0)).all() or not (np.isfinite(other) & (other >= 0)).all():
        raise ValueError("counts must be finite and at least 0: leave out votes whose answers are not known")
    return (one - other) / (one + other + 1)
