"""A settlement stands for the votes of its pair in a dataset; a weighed rater's votes count less there."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.selectors import board
from feedbackhub.rating.adjudication import settlement_undo, task_settle
from feedbackhub.rating.decisions import rater_decide
from feedbackhub.rating.models import Task, TaskOutput
from feedbackhub.rounds.datasets import dataset_freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def freeze(project, alice):
    return lambda kind="preference", **filters: dataset_freeze(project=project, by=alice, kind=kind, filters=filters)


@pytest.fixture
def task_of(project):
    """task_of(red, blue): the task that asked about these outputs."""

    def make(*outputs, kind="pairwise"):
        task = Task.objects.create(
            project=project, prompt=outputs[0].prompt, kind=kind, outputs_key=f"{outputs}", judgments_wanted=2
        )
        TaskOutput.objects.bulk_create(TaskOutput(task=task, output=output) for output in outputs)
        return task

    return make


@pytest.fixture
def weigh(project, alice):
    def make(rater, weight):
        rater_decide(project=project, rater=rater, action="weigh", weight=weight, by=alice, reason="Gold items.")

    return make


def chosen(dataset):
    return [row.data["chosen"][0]["content"].split()[0] for row in dataset.rows.all()]


def test_what_is_settled_takes_the_place_of_split_votes(freeze, pair, judge, task_of, alice, bob, carol):
    red, blue = pair()
    task = task_of(red, blue)
    votes = [judge([[red], [blue]], task=task, rater=bob), judge([[blue], [red]], task=task, rater=carol)]
    before = board(project=task.project)
    with pytest.raises(DomainError) as refusal:
        freeze()
    assert refusal.value.extra["excluded"] == {"no_majority": 1}
    settlement = task_settle(task=task, by=alice, verdict=f"{blue.pk}>{red.pk}")
    dataset = freeze()
    (row,) = dataset.rows.all()
    assert (chosen(dataset), row.judgments, row.margin) == (["blue"], [settlement.pk], 1.0)
    assert dataset.counts["sources"] == {"adjudication": 1}
    assert board(project=task.project)["rows"] == before["rows"]
    with pytest.raises(DomainError):
        freeze(sources=["rater"])
    settlement_undo(settlement=settlement, by=alice)
    with pytest.raises(DomainError):
        freeze()
    assert all(not hasattr(vote, "superseded_by") for vote in votes)


def test_a_settled_tie_leaves_the_majoritys_row_out(freeze, pair, judge, task_of, alice, bob):
    red, blue = pair()
    task = task_of(red, blue)
    judge([[red], [blue]], task=task, rater=bob)
    other = pair("another")
    judge([[other[0]], [other[1]]])
    task_settle(task=task, by=alice, verdict="tie")
    dataset = freeze()
    assert (dataset.counts["rows"], dataset.excluded) == (1, {"tie": 1})


def test_a_settled_thumb_is_the_label(freeze, make_prompt, make_output, judge, task_of, alice, bob, carol):
    output = make_output(make_prompt("Q"), "an answer")
    task = task_of(output, kind="thumbs")
    for rater, thumb in ((bob, 1), (carol, 1)):
        judge(thumbs={output: thumb}, task=task, rater=rater)
    task_settle(task=task, by=alice, verdict="-1")
    (row,) = freeze("unpaired").rows.all()
    assert row.data["label"] is False


def test_a_test_prompts_settlement_does_not_bring_it_in(freeze, make_prompt, make_output, judge, task_of, alice):
    prompt = make_prompt("held out", split="test")
    red, blue = make_output(prompt, "red"), make_output(prompt, "blue", "blue")
    task = task_of(red, blue)
    judge([[red], [blue]], task=task)
    task_settle(task=task, by=alice, verdict=f"{red.pk}>{blue.pk}")
    with pytest.raises(DomainError) as refusal:
        freeze()
    assert refusal.value.extra["excluded"] == {"test_split": 1}


def test_a_weighed_rater_counts_with_the_weight(freeze, pair, judge, weigh, bob, carol):
    red, blue = pair()
    judge([[red], [blue]], rater=bob)
    judge([[blue], [red]], rater=carol)
    weigh(bob, 0.5)
    dataset = freeze()
    (row,) = dataset.rows.all()
    assert chosen(dataset) == ["blue"]
    assert row.margin == pytest.approx(0.5 / 1.5)
    assert dataset.counts["weights"] == {"bob": 0.5}


def test_a_row_that_rests_on_less_than_half_a_vote_is_left_out(freeze, pair, judge, weigh, bob, carol):
    for text, raters in (("alone", [bob]), ("together", [bob, carol]), ("with another", [bob, None])):
        red, blue = pair(text)
        for rater in raters:
            judge([[red], [blue]], rater=rater)
    weigh(bob, 0.3)
    weigh(carol, 0.3)
    dataset = freeze()
    assert (dataset.counts["rows"], dataset.excluded) == (2, {"votes_weigh_too_little": 1})
    weigh(bob, 0.5)
    assert freeze().counts["rows"] == 3
    weigh(bob, 0)
    weigh(carol, 0)
    assert freeze().excluded == {"votes_weigh_too_little": 2}


def test_without_weights_a_dataset_says_nothing_of_them(freeze, pair, judge, weigh, bob):
    red, blue = pair()
    judge([[red], [blue]], rater=bob)
    before = freeze()
    assert "weights" not in before.counts
    weigh(bob, 1)
    assert freeze().content_hash == before.content_hash


def test_thumbs_and_corrections_are_weighed_too(freeze, make_prompt, make_output, judge, weigh, bob, carol):
    output = make_output(make_prompt("Q"), "an answer")
    judge(thumbs={output: 1}, rater=bob, corrections={output: "a better answer"})
    judge(thumbs={output: -1}, rater=carol)
    weigh(bob, 0.25)
    (row,) = freeze("unpaired").rows.all()
    assert (row.data["label"], row.margin) == (False, pytest.approx(0.75 / 1.25))
    with pytest.raises(DomainError) as refusal:
        freeze("sft")
    assert refusal.value.extra["excluded"]["votes_weigh_too_little"] == 1
