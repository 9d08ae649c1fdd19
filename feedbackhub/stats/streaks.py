"""How likely a long run of one and the same answer is."""

from collections.abc import Mapping
from typing import Any


def streak_chance(length: int, shares: Mapping[Any, float], n: int) -> float:
    """At most how likely a run of `length` equal answers is somewhere in `n` independent ones with these `shares`.

    The expected number of runs of at least that length, Σ p^L (1 + (n − L)(1 − p)), which is an upper bound of the
    probability (Markov); near it where the probability is small. 1 for a length of 1 or less, 0 where `length` > `n`.
    """
    if length <= 1:
        return 1.0
    if length > n:
        return 0.0
    return min(1.0, sum(p**length * (1 + (n - length) * (1 - p)) for p in shares.values()))
