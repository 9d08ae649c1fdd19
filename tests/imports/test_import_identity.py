"""The same file twice makes nothing new; what is the same vote, and what contradicts it."""

import pytest

from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.rating.models import Judgment, JudgmentItem

pytestmark = pytest.mark.django_db

FILES = {
    "prompts": [{"prompt": "Why?"}, {"prompt": "How?"}, {"prompt": "why?"}],
    "outputs": [
        {
            "prompt": "Why?",
            "outputs": [{"model": "a", "text": "x"}, {"model": "a", "text": "x"}, {"model": "b", "text": "x"}],
        },
        {"prompt": "How?", "outputs": [{"model": "a", "text": "x"}]},
        {"prompt": "Why?", "outputs": [{"model": "a", "text": "z"}]},
    ],
    "votes": [
        {"model_a": "a", "model_b": "b", "winner": "tie"},
        {"model_a": "a", "model_b": "b", "winner": "tie"},
        {"id": 0, "model_a": "a", "model_b": "b", "winner": "tie", "judge": "ann"},
        {
            "id": 1,
            "model_a": "a",
            "model_b": "c",
            "winner": "model_a",
            "prompt": "Why?",
            "output_a": "x",
            "output_b": "y",
        },
    ],
    "preferences": [
        {"prompt": "Why?", "chosen": "x", "rejected": "y"},
        {"prompt": "Why?", "chosen": "x", "rejected": "y"},
        {"prompt": "How?", "chosen": "x", "rejected": "y", "chosen_model": "a", "rejected_model": "b", "id": 3},
    ],
}


def counts() -> dict:
    return {table.__name__: table.objects.count() for table in (Prompt, ModelVersion, Output, Judgment, JudgmentItem)}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["lines.jsonl", "renamed.jsonl"])
def test_imported_twice_is_imported_once(imported, kind, name):
    first = imported(kind, FILES[kind])
    once = counts()
    again = imported(kind, FILES[kind], name)
    assert counts() == once
    assert sum(first.created.values()) > 0
    assert again.created == dict.fromkeys(first.created, 0)
    assert (again.status, again.read, again.rejected_count) == ("done", first.read, 0)


def test_the_same_content_packed_is_the_same_where_lines_have_ids(imported, files):
    with_ids = [{**vote, "id": number} for number, vote in enumerate(FILES["votes"])]
    imported("votes", with_ids)
    assert imported("votes", files.zipped(with_ids), "lines.jsonl.gz").created["votes"] == 0


def test_votes_without_an_id_are_known_by_file_and_line(imported):
    lines = FILES["votes"][:2]
    assert imported("votes", lines).created["votes"] == 2
    assert imported("votes", [*lines, lines[0]]).created["votes"] == 3


VOTE = {"id": 0, "judge": "ann", "question_id": 5, "model_a": "a", "model_b": "b", "winner": "model_a"}


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1},
        {"judge": "bob"},
        {"judge": None},
        {"question_id": 6},
        {"question_id": None, "prompt": "p"},
        {"model_b": "c"},
    ],
)
def test_another_id_judge_question_or_model_is_another_vote(imported, change):
    report = imported("votes", [VOTE, {**VOTE, **change}])
    assert (report.created["votes"], report.rejected_count) == (2, 0)


@pytest.mark.parametrize(
    "change", [{}, {"id": "0"}, {"chars_a": 5}, {"model_a": "b", "model_b": "a", "winner": "model_b"}]
)
def test_the_same_vote_is_not_made_again(imported, change):
    report = imported("votes", [VOTE, {**VOTE, **change}])
    assert (report.created["votes"], report.rejected_count) == (1, 0)


@pytest.mark.parametrize("winner", ["model_b", "tie", "both_bad"])
@pytest.mark.parametrize("together", [True, False])
def test_the_same_vote_with_another_winner_is_rejected(imported, rejections, winner, together):
    other = {**VOTE, "winner": winner}
    if together:
        report, line = imported("votes", [VOTE, other]), 2
    else:
        imported("votes", [VOTE])
        report, line = imported("votes", [other]), 1
    assert rejections(report) == {line: "the same judgment was imported before with another winner"}
    assert Judgment.objects.count() == 1


def test_a_contradicting_vote_leaves_no_output_behind(imported):
    texts = {"prompt": "Why?", "output_a": "x", "output_b": "y"}
    imported("votes", [{**VOTE, **texts}, {**VOTE, **texts, "winner": "tie", "output_a": "never"}])
    assert sorted(output.text for output in Output.objects.all()) == ["x", "y"]


def test_a_tie_and_both_bad_contradict_each_other(imported, rejections):
    report = imported("votes", [{**VOTE, "winner": "tie"}, {**VOTE, "winner": "both_bad"}])
    assert list(rejections(report)) == [2]


def test_a_preference_turned_round_is_rejected(imported, rejections):
    line = {"id": 1, "prompt": "Why?", "chosen": "x", "rejected": "y"}
    report = imported("preferences", [line, {**line, "chosen": "y", "rejected": "x"}])
    assert rejections(report) == {2: "the same judgment was imported before with another winner"}


def test_two_sources_may_disagree(imported):
    line = {"id": 1, "prompt": "Why?", "chosen": "x", "rejected": "y", "source": "ann"}
    report = imported("preferences", [line, {**line, "chosen": "y", "rejected": "x", "source": "bob"}])
    assert report.created["preferences"] == 2


def test_the_same_file_in_another_project_is_imported_there(imported, root, alice):
    import io

    from feedbackhub.imports.services import import_create, import_run
    from feedbackhub.projects.services import project_create

    imported("votes", FILES["votes"])
    garden = project_create(by=root, slug="garden", name="Garden")
    content = b'{"model_a": "a", "model_b": "b", "winner": "tie", "id": 0, "judge": "ann"}\n'
    report = import_create(project=garden, by=root, kind="votes", file=io.BytesIO(content), filename="v.jsonl")
    assert import_run(report.pk).created == {"prompts": 0, "models": 2, "outputs": 0, "votes": 1}
