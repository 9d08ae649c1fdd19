"""JSON from outside that is nested without end is refused before a parser goes down into it."""

import gc
import json

import pytest

from feedbackhub.core.json_reading import DEPTH_AT_MOST, NestedTooDeeply, depth, json_read


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("7", 0),
        ("[]", 1),
        ('[{"a": [1]}, [2]]', 3),
        (r'["[[[", "\"[[", "\\", {"[{": "]]"}]', 2),
        ('["unended [[', 1),
        ("[[[", 3),
        ("]]][", 0),
    ],
)
def test_depth(text, levels):
    assert depth(text) == levels


def nested(levels: int) -> str:
    return '{"a": [' * (levels // 2) + "]}" * (levels // 2)


def test_as_deep_as_allowed_is_read_and_deeper_is_not():
    text = nested(DEPTH_AT_MOST)
    assert json_read(text) == json.loads(text)
    wide = json.dumps([[1], {"b": [2]}] * DEPTH_AT_MOST)
    assert json_read(wide) == json.loads(wide)
    for deep in (nested(DEPTH_AT_MOST + 2), "[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(NestedTooDeeply, match="more than 100 levels"):
            json_read(deep)


class Finalised:
    """Garbage, of anyone, whose finaliser needs some of the stack."""

    def __init__(self, depths: list[int]) -> None:
        self.itself, self.depths = self, depths

    def __del__(self) -> None:
        self.depths.append(self.down(400))

    def down(self, levels: int) -> int:
        return 1 + self.down(levels - 1) if levels else 0


def test_nobodys_finaliser_meets_a_full_stack():
    """The collector passes after 700 lists: json.loads, which makes a list a level, is deep then."""
    gc.collect()
    thresholds, depths = gc.get_threshold(), []
    try:
        Finalised(depths)
        gc.set_threshold(700)
        with pytest.raises(NestedTooDeeply):
            json_read("[" * 100_000)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert depths == [400]
