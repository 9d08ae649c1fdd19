"""Preference labels from scores: of two answers to a prompt, the one to which a rater gave the higher grades.

A rater's grade of an answer is the mean over the criteria of (score − min) / (max − min), over those on which they
scored both. So do UltraFeedback's makers (Cui et al. 2023, arXiv 2310.01377) turn grades into pairs. Grades of
different raters are never compared with each other: one may be strict and the other mild.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, combinations

from feedbackhub.rating.models import Judgment

SAME = 1e-9  # grades that differ by less are a tie

# (prompt, output, output), the lesser output id first
PairKey = tuple[int, int, int]


def graded(
    chunks: Iterable[list[Judgment]], criteria: list[dict]
) -> Iterator[tuple[PairKey, str, int | None, list[int]]]:
    """(pair, label "one", "other" or "tie", rater, the judgments behind it), each rater's word on a pair once.

    chunks: judgments of scores with `found_items`, in the order they came: of an output scored twice the later counts.
    """
    ranges = {one["key"]: (one["min"], one["max"]) for one in criteria}
    scored: dict[tuple, dict[int, tuple[dict, int]]] = defaultdict(dict)
    for judgment in chain.from_iterable(chunks):
        for item in judgment.found_items:
            grades = {
                key: (value - ranges[key][0]) / (ranges[key][1] - ranges[key][0])
                for key, value in item.scores.items()
                if key in ranges
            }
            scored[judgment.prompt_id, judgment.rater_id, judgment.judge][item.output_id] = grades, judgment.pk
    for (prompt, rater, _judge), outputs in scored.items():
        for (one, (first, by)), (other, (second, also_by)) in combinations(sorted(outputs.items()), 2):
            if shared := first.keys() & second.keys():
                ahead = sum(first[key] - second[key] for key in shared) / len(shared)
                label = "tie" if abs(ahead) < SAME else "one" if ahead > 0 else "other"
                yield (prompt, one, other), label, rater, sorted({by, also_by})
