"""Marked spans: passages of an output, each with the reason why a rater marked it.

A span is `{output, start, end, text, reason}`. `start` and `end` count characters (Unicode code points, neither bytes
nor UTF-16 units) of the output's text as the API gives it to the rater, Markdown and all, from 0; `end` is the first
that is not marked. `text` is what stands there, `text[start:end]`; where it is left out it is filled in. `reason` is
one of `Judgment.SpanReason` or a short text of the rater's own. Where the text hides names, the span is stored as that
of the text as it was written (shown.py).
"""

from collections.abc import Mapping
from typing import Any

SPANS_AT_MOST = 100
REASON_AT_MOST = 200
FIELDS = ("output", "start", "end", "text", "reason")
_QUOTED_AT_MOST = 40


def spans_read(given: object, texts: Mapping[int, str]) -> list[dict[str, Any]]:
    """Checked spans, in the order of the text, each once. texts: {id of an output that was shown: its text as shown}.

    Raises ValueError with words that say which span is wrong, and how.
    """
    if not isinstance(given, list) or len(given) > SPANS_AT_MOST:
        raise ValueError(f"must be a list of at most {SPANS_AT_MOST} spans.")
    spans = []
    for number, span in enumerate(given, start=1):
        try:
            spans.append(_span(span, texts))
        except ValueError as error:
            raise ValueError(f"number {number} {error}") from error
    places = list(texts)
    spans.sort(key=lambda span: (places.index(span["output"]), span["start"], span["end"], span["reason"]))
    return [span for span, before in zip(spans, [None, *spans]) if span != before]


def _span(span: object, texts: Mapping[int, str]) -> dict[str, Any]:
    if not isinstance(span, dict):
        raise ValueError(f"must be an object of {', '.join(FIELDS)}.")
    if unknown := [name for name in span if name not in FIELDS]:
        raise ValueError(f'has an unknown field "{unknown[0]}"; the fields are {", ".join(FIELDS)}.')
    if missing := [name for name in FIELDS if name not in span and name != "text"]:
        raise ValueError(f'has no "{missing[0]}".')
    output, start, end, reason = span["output"], span["start"], span["end"], span["reason"]
    if not _is_count(output) or output not in texts:
        there = ", ".join(map(str, texts)) or "none"
        raise ValueError(f"names output {output!r}; those shown are {there}.")
    text = texts[output]
    if not _is_count(start) or not _is_count(end) or not start < end <= len(text):
        raise ValueError(f"must have 0 <= start < end <= {len(text)}, the characters of output {output}.")
    marked = text[start:end]
    if span.get("text", marked) != marked:
        raise ValueError(f"does not say what stands there: characters {start} to {end} are {_quoted(marked)}.")
    if not marked.strip():
        raise ValueError("marks nothing but space.")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > REASON_AT_MOST or not _is_storable(reason):
        raise ValueError(f"must have a reason: a text of 1 to {REASON_AT_MOST} characters.")
    return {"output": output, "start": start, "end": end, "text": marked, "reason": reason.strip()}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_storable(text: str) -> bool:
    """No database stores a NUL, or half of a surrogate pair, in a text."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_AT_MOST else f"{text[: _QUOTED_AT_MOST - 1]}…")
