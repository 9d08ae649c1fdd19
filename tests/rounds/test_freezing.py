"""Freezing takes every judgment in force, aggregates, leaves out with a reason, and never takes a test prompt."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rounds.datasets import dataset_freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def freeze(project, alice):
    def make(kind="preference", **filters):
        return dataset_freeze(project=project, by=alice, kind=kind, filters=filters)

    return make


def rows(dataset):
    return [(row.data["chosen"][0]["content"], row.data["rejected"][0]["content"]) for row in dataset.rows.all()]


def test_a_comparison_becomes_a_conversational_pair_with_its_vote(freeze, pair, judge):
    red, blue = pair("What is tea?")
    judgment = judge([[blue], [red]])
    (row,) = freeze().rows.all()
    assert row.data == {
        "prompt": [{"role": "user", "content": "What is tea?"}],
        "chosen": [{"role": "assistant", "content": "blue on What is tea?"}],
        "rejected": [{"role": "assistant", "content": "red on What is tea?"}],
    }
    assert row.judgments == [judgment.pk]
    assert row.margin == 1.0


def test_a_ranking_becomes_its_pairs_but_for_the_ties(freeze, make_prompt, make_output, judge):
    prompt = make_prompt("Rank")
    best, tied, too, worst = (make_output(prompt, text, text) for text in ("best", "tied", "too", "worst"))
    judge([[best], [tied, too], [worst]])
    dataset = freeze()
    expected = {("best", "tied"), ("best", "too"), ("best", "worst"), ("tied", "worst"), ("too", "worst")}
    assert set(rows(dataset)) == expected
    assert dataset.excluded == {"tie": 1}


def test_ties_and_both_bad_are_left_out_and_counted(freeze, pair, judge):
    judge([list(pair("a tie"))])
    judge([list(pair("both bad"))], none_acceptable=True)
    kept = pair("kept")
    judge([[kept[0]], [kept[1]]])
    dataset = freeze()
    assert dataset.excluded == {"tie": 1, "both_bad": 1}
    assert dataset.counts["rows"] == 1


def test_several_raters_on_one_pair_are_one_row_by_majority_with_the_margin(freeze, pair, judge):
    red, blue = pair()
    votes = [judge([[red], [blue]]), judge([[blue], [red]]), judge([[red], [blue]])]
    (row,) = freeze().rows.all()
    assert row.data["chosen"][0]["content"].startswith("red")
    assert row.margin == pytest.approx(1 / 3)
    assert row.judgments == [vote.pk for vote in votes]


def test_raters_who_are_even_leave_no_row(freeze, pair, judge):
    red, blue = pair()
    judge([[red], [blue]])
    judge([[blue], [red]])
    with pytest.raises(DomainError, match="no majority: 1") as refused:
        freeze()
    assert refused.value.extra["excluded"] == {"no_majority": 1}
    assert refused.value.status == 400


def test_a_test_prompt_is_never_included(freeze, pair, judge):
    held_out = pair("held out", split="test")
    judge([[held_out[0]], [held_out[1]]])
    kept = pair("kept", split="validation")
    judge([[kept[0]], [kept[1]]])
    dataset = freeze()
    assert dataset.excluded == {"test_split": 1}
    assert dataset.counts["validation"] == 1
    assert dataset.counts["train"] == 0


def test_what_is_withdrawn_superseded_or_late_does_not_count(freeze, pair, judge):
    red, blue = pair("edited")
    first = judge([[red], [blue]])
    judge([[blue], [red]], supersedes=first)
    late = pair("late")
    judge([[late[0]], [late[1]]], counted=False)
    undone = pair("undone")
    judge([[undone[0]], [undone[1]]], supersedes=judge([[undone[0]], [undone[1]]]), withdrawn=True)
    assert rows(freeze()) == [("blue on edited", "red on edited")]


def test_votes_without_texts_and_answers_that_are_the_same_are_counted(freeze, pair, judge, make_prompt, make_output):
    known = pair("known")
    judge([[known[0]], [known[1]]])
    judge([[known[0]], [known[1]]], prompt=None)
    prompt = make_prompt("same")
    judge([[make_output(prompt, "same", "red")], [make_output(prompt, " same", "blue")]])
    assert freeze().excluded == {"answers_missing": 1, "identical_answers": 1}


def test_the_hash_is_of_the_content_and_the_frozen_rows_stay(freeze, pair, judge):
    red, blue = pair()
    judge([[red], [blue]])
    first, again = freeze(), freeze()
    assert first.content_hash == again.content_hash
    other = pair("another")
    judge([[other[0]], [other[1]]])
    assert freeze().content_hash != first.content_hash
    assert first.rows.count() == 1


def test_filters_choose_by_source_category_model_and_margin(freeze, pair, judge):
    food = pair("food", category="food")
    judge([[food[0]], [food[1]]], source="simulated")
    work = pair("work", category="work")
    judge([[work[0]], [work[1]]])
    judge([[work[0]], [work[1]]])
    judge([[work[1]], [work[0]]])
    assert rows(freeze(categories=["food"])) == [("red on food", "blue on food")]
    assert rows(freeze(sources=["rater"])) == [("red on work", "blue on work")]
    assert freeze(min_margin=0.9).excluded == {"margin_too_small": 1}
    with pytest.raises(DomainError, match="no usable row"):
        freeze(models=["red"])


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        ({"colour": ["red"]}, 'filter "colour"'),
        ({"sources": ["gossip"]}, "gossip"),
        ({"min_margin": 2}, "min_margin"),
        ({"models": "red"}, "models must be a list"),
    ],
)
def test_a_wrong_filter_is_named(freeze, filters, named):
    with pytest.raises(DomainError, match=named):
        freeze(**filters)


def test_an_unknown_kind_is_named(freeze):
    with pytest.raises(DomainError, match='kind "gossip"'):
        freeze("gossip")


def test_an_empty_project_is_told_what_to_do(freeze):
    with pytest.raises(DomainError, match="rate some pairs or import preferences"):
        freeze()


def test_thumbs_become_unpaired_rows_by_majority(freeze, pair, judge):
    up, down = pair()
    judge(thumbs={up: 1})
    judge(thumbs={up: 1})
    judge(thumbs={up: -1})
    judge(thumbs={down: -1})
    labels = {row.data["completion"][0]["content"]: row.data["label"] for row in freeze("unpaired").rows.all()}
    assert labels == {"red on What is tea?": True, "blue on What is tea?": False}


def test_corrections_come_before_references_as_demonstrations(freeze, make_prompt, make_output, judge):
    corrected = make_prompt("corrected", references=["the reference"])
    make_prompt("referenced", references=["another reference"])
    make_prompt("bare")
    make_prompt("held out", split="test", references=["secret"])
    output = make_output(corrected, "so so")
    judge(thumbs={output: 1}, corrections={output: "the ideal"})
    dataset = freeze("sft")
    answers = [row.data["messages"][-1] for row in dataset.rows.all()]
    assert answers == [
        {"role": "assistant", "content": "the ideal"},
        {"role": "assistant", "content": "another reference"},
    ]
    assert dataset.excluded == {"no_demonstration": 1, "test_split": 1}
