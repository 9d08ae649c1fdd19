"""Outputs that say who wrote them: found, and for raters' eyes masked. What is stored never changes."""

import re
from collections.abc import Iterator
from functools import lru_cache

from django.db.models import QuerySet

from .content import text_of
from .identity_patterns import FAMILY_OF, SENTENCES, STEMS
from .models import Output

LOOKED_AT_ONCE = 2000
SEARCHED = 20_000  # characters in which an answer says who it is, if it does
MARK = "[name hidden]"  # the same in every language, so that a correction can be read back
OWN_NAME = re.compile(r"(?=.*[a-zA-Z])(?=.*\d)[\w.:/@+ -]{4,}")


def reveals_identity(parts: list[dict], model_name: str = "") -> bool:
    """Whether the text names its model or its maker in the first person, or holds the model version's own name."""
    return next(_revealing(text_of(parts), model_name), None) is not None


def hidden(text: str, model_name: str = "") -> list[tuple[int, int]]:
    """Spans (start, end) of the text that a rater is not to see: where it names its author, every name of theirs."""
    spans = set(_revealing(text, model_name))
    said = {text[start:end] for start, end in spans}
    for word in said:
        spans.update(found.span() for found in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text))
        for names_it, members in FAMILY_OF:
            if members and names_it.fullmatch(word):
                spans.update(found.span() for found in members.finditer(text))
    return _disjoint(spans)


def masked(text: str, model_name: str = "") -> str:
    """The text as raters see it where the project masks: “[name hidden]” for each name."""
    return _replaced(text, hidden(text, model_name), MARK)


def unmasked(correction: str, original: str, model_name: str = "") -> str:
    """A correction made of the masked text, with the names where they were: the n-th mark is the n-th name.

    Marks beyond the last name, where the rater copied some, stand for the last one.
    """
    names = [original[start:end] for start, end in hidden(original, model_name)]
    if not names:
        return correction
    pieces = correction.split(MARK)
    filled = [names[min(place, len(names) - 1)] for place in range(len(pieces) - 1)]
    return "".join(piece + name for piece, name in zip(pieces, [*filled, ""]))


def masked_as(correction: str, original: str, model_name: str = "") -> str:
    """A correction as its rater sees it again: without the names that the original has hidden."""
    names = {original[start:end] for start, end in hidden(original, model_name)}
    if not names:
        return correction
    words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{words})(?!\w)", MARK, correction)


def stored_span(start: int, end: int, original: str, model_name: str = "") -> tuple[int, int]:
    """Where the characters start to end of the masked text stand in the original; a mark is its whole name."""
    return _moved(start, end, [(at, at + len(MARK), name) for at, name in _marks(original, model_name)])


def shown_span(start: int, end: int, original: str, model_name: str = "") -> tuple[int, int]:
    """Where the characters start to end of the original stand in the masked text; a name is its whole mark."""
    names = [(*name, (at, at + len(MARK))) for at, name in _marks(original, model_name)]
    return _moved(start, end, names)


def _marks(original: str, model_name: str) -> list[tuple[int, tuple[int, int]]]:
    """(where a mark begins in the masked text, the name's span in the original) of each."""
    found, shift = [], 0
    for start, end in hidden(original, model_name):
        found.append((start + shift, (start, end)))
        shift += len(MARK) - (end - start)
    return found


def _moved(start: int, end: int, pieces: list[tuple[int, int, tuple[int, int]]]) -> tuple[int, int]:
    """A span of one text in another that differs in `pieces`: (start, end, its span there), in order."""

    def place(at: int, is_end: bool) -> int:
        shift = 0
        for low, high, there in pieces:
            if at <= low:
                break
            if at < high:
                return there[1] if is_end else there[0]
            shift = there[1] - high
        return at + shift

    return place(start, False), place(end, True)


def _revealing(text: str, model_name: str) -> Iterator[tuple[int, int]]:
    if own := _own_name(model_name):
        for found in own.finditer(text):
            yield found.span()
    text = text[:SEARCHED]
    lower = text.lower()
    if not any(stem in lower for stem in STEMS):
        return
    for sentence in SENTENCES:
        for found in sentence.finditer(text):
            for group in sentence.groupindex:
                if found[group]:
                    yield found.span(group)


@lru_cache(maxsize=256)
def _own_name(name: str) -> re.Pattern | None:
    """The version's own name, if no ordinary word is written so: it has letters and digits."""
    if not OWN_NAME.fullmatch(name):
        return None
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)


def _disjoint(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _replaced(text: str, spans: list[tuple[int, int]], by: str) -> str:
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], by]
        at = end
    return "".join([*pieces, text[at:]])


def looked_at(outputs: QuerySet[Output]) -> None:
    """Look at those of the outputs that nobody has looked at."""
    waiting = outputs.filter(reveals_identity=None).select_related("model").only("parts", "model__name").order_by("pk")
    while found := list(waiting[:LOOKED_AT_ONCE]):
        _look_at(found)


def sweep() -> None:
    """Look at some outputs that nobody has looked at: those of before this was known, and those made by other hands."""
    waiting = Output.objects.filter(reveals_identity=None).select_related("model").only("parts", "model__name")
    _look_at(list(waiting.order_by("pk")[:LOOKED_AT_ONCE]))


def _look_at(outputs: list[Output]) -> None:
    for output in outputs:
        output.reveals_identity = reveals_identity(output.parts, output.model.name if output.model else "")
    Output.objects.bulk_update(outputs, ["reveals_identity"], batch_size=500)
