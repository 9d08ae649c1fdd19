"""Answers that go through the model together: those of a ranking, or of all pairs and rankings of one prompt.

The prompt is computed once for all of them; none sees another (`scoring.shared_batch`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..data import Pair


@dataclass(frozen=True)
class AnswerSet:
    """A prompt, its different answers in tokens, and the pairs that are made of them.

    pairs: numbers of the pairs. sides: of each pair, the places of its chosen and its rejected answer in `answers`.
    rankings: of each line of the file, the numbers of its pairs.
    """

    prompt: list[int]
    answers: list[list[int]]
    pairs: list[int]
    sides: list[tuple[int, int]]
    rankings: list[list[int]]

    @property
    def tokens(self) -> int:
        """Tokens, the prompt counted once for each answer."""
        return sum(len(self.prompt) + len(answer) for answer in self.answers)


def common_prompts(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, those of one line with the same prompt: the shortest, where a long answer had it cut."""
    prompts: dict[object, list[int]] = {}
    for number, pair in enumerate(pairs):
        known = prompts.setdefault(pair.line or -number - 1, pair.prompt)
        if len(pair.prompt) < len(known):
            prompts[pair.line] = pair.prompt
    return [replace(pair, prompt=prompts[pair.line]) if pair.line else pair for pair in pairs]


def answer_sets(pairs: Sequence[Pair], *, whole_prompts: bool, tokens_at_most: int) -> list[AnswerSet]:
    """The pairs in sets: one for each line of the file, or with `whole_prompts` one for each prompt.

    A set of a whole prompt takes no further line once it would hold more than tokens_at_most (its prompt counted once).
    """
    lines: dict[object, list[int]] = {}
    for number, pair in enumerate(pairs):
        lines.setdefault(pair.line or -number - 1, []).append(number)
    if not whole_prompts:
        return [_made(pairs, [line]) for line in lines.values()]
    by_prompt: dict[tuple, list[list[list[int]]]] = {}
    for line in lines.values():
        sets = by_prompt.setdefault(tuple(pairs[line[0]].prompt), [[]])
        if sets[-1] and _length(pairs, [*sets[-1], line]) > tokens_at_most:
            sets.append([])
        sets[-1].append(line)
    return [_made(pairs, lines) for sets in by_prompt.values() for lines in sets]


def _length(pairs: Sequence[Pair], lines: list[list[int]]) -> int:
    made = _made(pairs, lines)
    return len(made.prompt) + sum(map(len, made.answers))


def _made(pairs: Sequence[Pair], lines: list[list[int]]) -> AnswerSet:
    places: dict[tuple, int] = {}
    numbers = [number for line in lines for number in line]
    sides = [
        tuple(
            places.setdefault(tuple(answer), len(places)) for answer in (pairs[number].chosen, pairs[number].rejected)
        )
        for number in numbers
    ]
    return AnswerSet(pairs[numbers[0]].prompt, [list(answer) for answer in places], numbers, sides, lines)
