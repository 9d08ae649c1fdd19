"""Several rows as one piece of at most max_length tokens, none of which sees another.

Rows are put together by best-fit decreasing, as in Ding et al. 2024 (arXiv 2404.10830, section 3.1), so that none is
cut: the longest first, each into the fullest piece that it still fits. At most 11/9 of the fewest pieces possible, and
one more (Johnson 1974).
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from ..data import Example
from ..errors import TrainingError


def packed(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Rows, by number, in pieces of at most `most` tokens in all; a longer row is a piece of its own."""
    pieces: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, piece), the fullest first
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        place = bisect_left(room, (lengths[row], -1))
        if place == len(room):
            left, piece = most, len(pieces)
            pieces.append([])
        else:
            left, piece = room.pop(place)
        pieces[piece].append(row)
        insort(room, (left - lengths[row], piece))
    return pieces


def packed_parts(examples: Sequence[Example], counts: Sequence[int], most: int) -> list[list[list[int]]]:
    """Pieces of each part of the rows, which stand one part after another, so many in each; numbered through."""
    found, start = [], 0
    for count in counts:
        pieces = packed([example.length for example in examples[start : start + count]], most)
        found.append([[start + row for row in piece] for piece in pieces])
        start += count
    return found


def packing_check(start: int | None, base: str) -> None:
    """Raise TrainingError (`bad_setting`) where rows cannot be packed. start: of an encoder–decoder's rows."""
    if start is not None:
        raise TrainingError(
            "bad_setting",
            f"packing is for causal models; {base} is an encoder–decoder, whose encoder reads each prompt by itself. "
            "Switch packing off.",
        )
