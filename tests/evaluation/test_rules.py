"""What each rule says of an answer."""

import json
import time

import pytest
from django.utils import translation

from feedbackhub.evaluation.reasons import REASONS, words
from feedbackhub.evaluation.rule_kinds import Answered, repeated_share
from feedbackhub.evaluation.rules import SLOW_AT_MOST, broken, consistency, rules_read


def verdict(rule: dict, text: str, references=(), similarity=None) -> str:
    """Why it is broken in words, or nothing; kept as JSON on the way."""
    why = broken(rules_read([rule])[0], {(0, 0): Answered(text, similarity)}, references)[0]
    return words(json.loads(json.dumps(why))) if why else ""


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"kind": "contains", "texts": ["Salt", "fat"]}, "fat and SALT", "salt only"),
        ({"kind": "contains", "texts": ["salt", "fat"], "any": True}, "salt only", "acid"),
        ({"kind": "contains", "texts": ["Salt"], "match_case": True}, "Salt", "salt"),
        ({"kind": "not_contains", "texts": ["as an AI"]}, "An answer.", "Well, As an ai, I"),
        ({"kind": "stop_words", "words": ["delve", "in conclusion"]}, "delved", "We delve."),
        ({"kind": "stop_words", "words": ["delve", "in conclusion"]}, "concluded in", "Well, In  conclusion this"),
        ({"kind": "regex", "pattern": r"^\d{4}-\d\d$"}, "2026-11", "November"),
        ({"kind": "regex", "pattern": r"\bfoo\b", "absent": True}, "food", "a Foo."),
        ({"kind": "json"}, '{"a": [1]}', "{a: 1}"),
        ({"kind": "json", "fenced": True}, '```json\n{"a": 1}\n```', "```\n{\n```"),
        ({"kind": "json", "schema": {"required": ["a"]}}, '{"a": 1}', '{"b": 1}'),
        ({"kind": "json", "schema": {"properties": {"a": {"pattern": "^x+$"}}}}, '{"a": "xx"}', '{"a": "y"}'),
        ({"kind": "json"}, "[]", "[" * 100_000),
        ({"kind": "length", "min": 2, "max": 3}, "one two", "one"),
        ({"kind": "length", "max": 5, "unit": "characters"}, "12345", "123456"),
        ({"kind": "length", "max": 2, "unit": "sentences"}, "One. Two!", "One. Two? Three"),
        ({"kind": "length", "max": 1, "unit": "lines"}, "one", "one\ntwo"),
        ({"kind": "repetition", "n": 2, "at_most": 0.3}, "a b c d", "a b a b a b a b"),
        (
            {"kind": "language", "language": "de"},
            "Das ist ein schöner Tag im Garten.",
            "This is a fine day in the garden.",
        ),
        ({"kind": "equals", "texts": ["Paris"]}, "paris!", "in Paris"),
    ],
)
def test_a_rule_holds_or_is_broken(rule, good, bad):
    assert verdict(rule, good) == ""
    assert verdict(rule, bad) != ""


def test_rules_that_compare_with_references():
    assert verdict({"kind": "equals"}, "The cat", ["a dog", "cat"]) == ""
    assert verdict({"kind": "word_f1", "at_least": 0.5}, "red cat", ["cat sat"]) == ""
    assert "0.50" in verdict({"kind": "word_f1", "at_least": 0.6}, "red cat", ["cat sat"])
    assert verdict({"kind": "similarity", "at_least": 0.5}, "x", ["y"], 0.6) == ""
    assert verdict({"kind": "similarity", "at_least": 0.5}, "x", ["y"], 0.4) != ""
    assert verdict({"kind": "similarity"}, "", ["y"], None) == "is empty"


def test_repetition_by_hand():
    """“a b a b a”: pairs ab, ba, ab, ba; two of the four occurred before."""
    assert repeated_share("a b a b a", 2) == pytest.approx(0.5)
    assert repeated_share("a", 2) == 0


def test_consistency_is_the_mean_f1_over_pairs_of_one_kind():
    answers = {(0, 0): Answered("red cat"), (1, 0): Answered("red dog"), (0, 1): Answered("blue")}
    assert consistency(answers, "paraphrases") == pytest.approx(0.5)
    assert consistency(answers, "seeds") == 0
    assert consistency({(0, 0): Answered("x")}, "seeds") is None


def test_hostile_patterns_cost_a_bounded_time():
    """Backtracking without end is cut off; after some such answers the rule is not tried any more."""
    from collections import Counter

    text = "a" * 5000 + "!"
    hostile = r"^(?:a?|a{2,}|(?:aa)+)+b$"
    for rule in ({"kind": "regex", "pattern": hostile}, {"kind": "json", "schema": {"pattern": hostile}}):
        began = time.monotonic()
        said = verdict(rule, text if rule["kind"] == "regex" else f'"{text}"')
        assert "took longer" in said or "does not" in said
        assert time.monotonic() - began < 5
    slow = Counter({"regex": SLOW_AT_MOST})
    why, _places = broken(rules_read([{"kind": "regex", "pattern": "a"}])[0], {(0, 0): Answered("a")}, [], slow)
    assert why == {"code": "too_slow", "seconds": 0.25}


def test_a_schema_fetches_nothing():
    said = verdict({"kind": "json", "schema": {"$ref": "http://127.0.0.1:9/schema.json"}}, "{}")
    assert "could not be checked" in said


def test_an_item_breaks_a_rule_where_any_of_its_answers_does():
    rule = rules_read([{"kind": "length", "max": 1}])[0]
    answers = {(0, 0): Answered("one"), (0, 1): Answered("one two"), (1, 0): Answered("one two three")}
    why, places = broken(rule, answers, [])
    assert (words(why), places) == ("has 2 words, more than 1", [(0, 1), (1, 0)])


def test_a_reason_is_told_in_the_readers_language_and_an_old_one_as_it_was_kept():
    why = {"code": "more", "count": 2, "unit": "words", "limit": 1}
    similar = {"code": "unlike", "value": 0.4}
    assert words(similar) == "has a similarity of 0.40"
    with translation.override("de"):
        assert words(why) == "hat 2 Wörter, mehr als 1"
        assert "0,40" in words(similar)
        assert words("has 5 words, more than 4") == "has 5 words, more than 4"
        assert all(str(text) for text in REASONS.values())
    assert words({"code": "of a later version"}) == "of a later version"
