"""JSON from outside: nested only as deeply as everything after it can follow."""

import json
import re
from typing import Any

DEPTH_AT_MOST = 100
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class NestedTooDeeply(ValueError):
    """JSON of more than DEPTH_AT_MOST levels."""

    def __init__(self) -> None:
        super().__init__(f"nested too deeply (more than {DEPTH_AT_MOST} levels)")


def json_read(text: str, **options: Any) -> Any:
    """`json.loads(text, **options)` of text that came from outside.

    Raises ValueError (NestedTooDeeply is one), never RecursionError: Python's parser would go down until its stack
    is full, and whatever the garbage collector happens to finalise down there would fail, whosever it is.
    """
    if text.count("[") + text.count("{") > DEPTH_AT_MOST and depth(text) > DEPTH_AT_MOST:
        raise NestedTooDeeply
    return json.loads(text, **options)


def depth(text: str) -> int:
    """How many lists and objects of a JSON text are open at once at most; brackets in strings are text."""
    level = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        level += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, level)
    return deepest
