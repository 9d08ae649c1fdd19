"""Whether prompts that a model trains on are, or nearly are, among those that it will be judged on. Pure rules.

The same: equal once case, width and white space are alike (`catalog.content.normalised`). Nearly the same: three
quarters or more of their shingles are shared (Jaccard; Broder 1997, "On the resemblance and containment of documents",
shingles of three words). What a tenth of all prompts have in common is a template, and no sign of anything.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from feedbackhub.catalog.content import normalised

WORDS = 3  # a shingle
SHARED = 0.75
WORDS_AT_LEAST = 8  # shorter prompts resemble each other by nature: only the very same counts
TEMPLATE_SHARE, TEMPLATE_AT_LEAST = 0.1, 10
PROMPTS_AT_MOST = 20_000  # looked at for near-duplicates, on either side


@dataclass(frozen=True)
class Leaks:
    """Pairs (id of a trained prompt, id of a test prompt, share of their shingles that both have), nearest first."""

    same: list[tuple[object, object]]
    near: list[tuple[object, object, float]]
    unlooked: int  # prompts beyond those that were looked at for near-duplicates


def leaks(trained: Iterable[tuple[object, str]], tested: Iterable[tuple[object, str]], *, near: bool = True) -> Leaks:
    """trained, tested: (id, text of what the user says). Without `near` only the very same."""
    ours = {key: normalised(text) for key, text in trained}
    theirs = {key: normalised(text) for key, text in tested}
    by_text = {text: key for key, text in theirs.items() if text}
    same = [(key, by_text[text]) for key, text in ours.items() if text in by_text]
    if not near:
        return Leaks(same, [], 0)
    left = {key: text for key, text in ours.items() if text not in by_text}
    looked = dict(list(left.items())[:PROMPTS_AT_MOST])
    found = _near(looked, dict(list(theirs.items())[:PROMPTS_AT_MOST]))
    unlooked = len(left) - len(looked) + max(0, len(theirs) - PROMPTS_AT_MOST)
    return Leaks(same, sorted(found, key=lambda one: (-one[2], str(one[0]))), unlooked)


def shingles(text: str) -> set[int]:
    """Hashes of each run of three words; none of a text too short to tell."""
    words = text.split()
    if len(words) < WORDS_AT_LEAST:
        return set()
    return {hash(tuple(words[start : start + WORDS])) for start in range(len(words) - WORDS + 1)}


def _near(ours: dict, theirs: dict) -> list[tuple[object, object, float]]:
    ours = {key: found for key, text in ours.items() if (found := shingles(text))}
    theirs = {key: found for key, text in theirs.items() if (found := shingles(text))}
    count = Counter(shingle for found in (*ours.values(), *theirs.values()) for shingle in found)
    most = max(TEMPLATE_AT_LEAST, TEMPLATE_SHARE * (len(ours) + len(theirs)))
    template = {shingle for shingle, times in count.items() if times > most}
    sizes, holders = {}, defaultdict(list)
    for key, found in theirs.items():
        sizes[key] = len(found - template)
        for shingle in found - template:
            holders[shingle].append(key)
    near = []
    for key, found in ours.items():
        own = found - template
        shared = Counter(other for shingle in own for other in holders.get(shingle, ()))
        best = max(shared, key=lambda other: _jaccard(shared[other], len(own), sizes[other]), default=None)
        if best is not None and (share := _jaccard(shared[best], len(own), sizes[best])) >= SHARED:
            near.append((key, best, share))
    return near


def _jaccard(shared: int, one: int, other: int) -> float:
    return shared / (one + other - shared)
