"""Every rule that rejects a line, with the line's number and the reason in words."""

import pytest

from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.rating.models import Judgment

pytestmark = pytest.mark.django_db
USER = [{"role": "user", "content": "Why?"}]
VOTE = {"model_a": "a", "model_b": "b", "winner": "tie"}
PAIR = {"prompt": "Why?", "chosen": "Light.", "rejected": "No."}

REJECTED = [
    ("prompts", "{", "not JSON: "),
    ("prompts", '{"prompt": NaN}', "not JSON: NaN is no JSON number"),
    ("prompts", "[1, 2]", "the line is a list, not an object"),
    ("prompts", "7", "the line is 7, not an object"),
    ("prompts", "[" * 100_000, "not JSON: nested too deeply"),
    ("prompts", {}, "neither messages nor prompt says what is to be answered"),
    ("prompts", {"prompt": " \n"}, "prompt is empty"),
    ("prompts", {"prompt": 5}, "prompt must be a text, not 5"),
    ("prompts", {"prompt": "\ud83d"}, "prompt holds half a character (a lone surrogate) at position 1"),
    ("prompts", {"messages": []}, "messages: messages must be a list with at least one"),
    ("prompts", {"messages": [{"role": "robot", "content": "x"}]}, "messages: message 1: role must be one of"),
    ("prompts", {"messages": [*USER, {"role": "assistant", "content": "x"}]}, "nothing left to answer"),
    ("prompts", {"prompt": "x", "split": "holdout"}, 'split "holdout" is none of train, validation, test'),
    ("prompts", {"prompt": "x", "references": [1]}, "references 1 must be a text, not 1"),
    ("prompts", {"prompt": "x", "references": ["a", " "]}, "references 2 is empty"),
    ("prompts", {"prompt": "x", "references": {"a": 1}}, "references must be a list of texts"),
    ("prompts", {"prompt": "x", "category": "c" * 81}, "category is longer than 80 characters"),
    ("prompts", {"prompt": "x", "id": True}, "id must be a text, not true"),
    ("outputs", {"prompt": "x"}, "outputs is missing"),
    ("outputs", {"prompt": "x", "outputs": []}, "outputs must be a list with at least one {model, text}"),
    ("outputs", {"prompt": "x", "outputs": ["a"]}, 'outputs 1 must be {model, text}, not "a"'),
    ("outputs", {"prompt": "x", "outputs": [{"text": "t"}]}, "outputs 1: model is missing"),
    (
        "outputs",
        {"prompt": "x", "outputs": [{"model": "m", "text": "t"}, {"model": "m"}]},
        "outputs 2: text is missing",
    ),
    ("outputs", {"prompt": "x", "outputs": [{"model": "m", "text": ""}]}, "outputs 1: text is empty"),
    ("outputs", {"prompt": "x", "outputs": [{"model": "m" * 121, "text": "t"}]}, "model is longer than 120 characters"),
    ("votes", {"model_a": "a", "winner": "tie"}, "model_b is missing"),
    ("votes", {"model_a": "a", "model_b": "b"}, "winner is missing"),
    ("votes", {**VOTE, "winner": "modelA"}, 'winner "modelA" is none of model_a, model_b, tie, both_bad'),
    ("votes", {**VOTE, "winner": 1}, "winner 1 is none of"),
    ("votes", {**VOTE, "model_b": " a "}, 'model "a" against itself'),
    ("votes", {**VOTE, "chars_a": -1}, "chars_a must be a number of characters, not -1"),
    ("votes", {**VOTE, "chars_b": True}, "chars_b must be a number of characters, not true"),
    ("votes", {**VOTE, "chars_b": 2**31}, "chars_b must be a number of characters"),
    ("votes", {**VOTE, "timestamp": "yesterday"}, 'timestamp "yesterday" is neither unix seconds nor ISO 8601'),
    ("votes", {**VOTE, "timestamp": 1704067200000}, "(unix seconds, not milliseconds?)"),
    ("votes", {**VOTE, "timestamp": True}, "timestamp true is neither unix seconds nor ISO 8601"),
    ("votes", {**VOTE, "timestamp": "0001-01-01T00:00:00+23:00"}, "is neither unix seconds nor ISO 8601"),
    ("votes", {**VOTE, "timestamp": "1e400"}, "is not between 1970 and 2200"),
    ("votes", {**VOTE, "prompt": ""}, "prompt is empty"),
    ("votes", {**VOTE, "prompt": "x", "output_a": ""}, "output_a is empty"),
    ("preferences", {"chosen": "a", "rejected": "b"}, "neither messages nor prompt"),
    ("preferences", {"prompt": "x", "rejected": "b"}, "chosen is missing"),
    ("preferences", {"prompt": "x", "chosen": "b", "rejected": " "}, "rejected is empty"),
    ("preferences", {"prompt": "x", "chosen": "b", "rejected": " b\n"}, "chosen and rejected are the same text"),
    (
        "preferences",
        {"prompt": "x", "chosen": 1, "rejected": "b"},
        "chosen must be a text or a list of messages, not 1",
    ),
    ("preferences", {**PAIR, "chosen": USER}, "chosen: the last message must be the assistant's"),
    ("preferences", {**PAIR, "chosen_model": "m" * 121}, "chosen_model is longer than 120 characters"),
]


@pytest.mark.parametrize(("kind", "line", "error"), REJECTED)
def test_a_bad_line_is_told_and_the_good_ones_are_kept(imported, rejections, kind, line, error):
    good = {
        "prompts": {"prompt": "Good"},
        "outputs": {"prompt": "Good", "outputs": [{"model": "a", "text": "t"}]},
        "votes": VOTE,
        "preferences": PAIR,
    }[kind]
    report = imported(kind, [good, line, good])
    assert report.status == "done"
    assert (report.read, report.rejected_count) == (3, 1)
    found = rejections(report)
    assert list(found) == [2]
    assert error in found[2]
    assert Prompt.objects.count() + Judgment.objects.count() > 0


def test_nothing_of_a_rejected_line_is_made(imported):
    lines = [
        {"prompt": "x", "outputs": [{"model": "m", "text": "t"}, {"model": "n", "text": ""}]},
        {"prompt": "y", "outputs": []},
    ]
    report = imported("outputs", lines)
    assert report.created == {"prompts": 0, "models": 0, "outputs": 0}
    assert not Prompt.objects.exists()
    assert not Output.objects.exists()
    assert not ModelVersion.objects.filter(kind="imported").exists()


def test_lines_are_counted_from_1_and_blank_ones_count_as_lines(imported, rejections):
    report = imported("prompts", ["", '{"prompt": "a"}', "   ", '{"prompt": ""}', '{"prompt": "b"}'])
    assert rejections(report) == {4: "prompt is empty"}
    assert report.created == {"prompts": 2}


def test_the_error_names_the_sources_own_field(imported, rejections):
    report = imported("prompts", [{"question": ""}], field_map={"prompt": "question"})
    assert rejections(report) == {1: 'prompt ("question") is empty'}


def test_nul_characters_are_dropped(imported):
    imported("prompts", [{"prompt": "a\x00b", "category": "c\x00", "references": ["r\x00"]}])
    prompt = Prompt.objects.get()
    assert (prompt.text, prompt.category, prompt.references) == ("ab", "c", ["r"])


def test_bytes_that_are_not_utf8_reject_their_line(imported, rejections):
    report = imported("prompts", b'{"prompt": "caf\xe9"}\n{"prompt": "caf\xc3\xa9"}\n')
    assert rejections(report) == {1: "not UTF-8: byte 16 of the line is 0xe9"}
    assert Prompt.objects.get().text == "café"
