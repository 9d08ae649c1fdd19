"""Scores become preference pairs: by each rater's own grades, by majority of raters."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import JudgmentItem
from feedbackhub.rounds.datasets import dataset_freeze

pytestmark = pytest.mark.django_db

CRITERIA = [
    {"key": "truth", "label": "Truth", "min": 1, "max": 5},
    {"key": "tone", "label": "Tone", "min": 0, "max": 1},
]


@pytest.fixture
def freeze(project, alice):
    project.criteria = CRITERIA
    project.save()
    return lambda **filters: dataset_freeze(project=project, by=alice, kind="preference", filters=filters)


@pytest.fixture
def score(judge):
    """score({output: {criterion: score}}, rater=…)"""

    def make(scores, **fields):
        judgment = judge([list(scores)], kind="scores", **fields)
        for output, given in scores.items():
            JudgmentItem.objects.filter(judgment=judgment, output=output).update(scores=given, tier=None)
        return judgment

    return make


@pytest.fixture
def answered(make_prompt, make_output):
    """answered("What is tea?", "red", "blue"): a prompt's outputs, each by a model of its text's name."""

    def make(text, *names, **fields):
        prompt = make_prompt(text, **fields)
        return [make_output(prompt, name, name) for name in names]

    return make


def test_each_criterion_weighs_the_same_whatever_its_range(freeze, score, answered, bob):
    red, blue = answered("Which?", "red", "blue")
    judgment = score({red: {"truth": 3, "tone": 1}, blue: {"truth": 4, "tone": 0}}, rater=bob)
    (row,) = freeze().rows.all()
    assert row.data["chosen"][0]["content"] == "red"
    assert (row.margin, row.judgments) == (1.0, [judgment.pk])


def test_raters_are_compared_with_themselves_alone(freeze, score, answered, bob, carol, alice):
    red, blue = answered("Which?", "red", "blue")
    votes = [
        score({red: {"truth": 2}, blue: {"truth": 1}}, rater=bob),  # strict
        score({blue: {"truth": 4}}, rater=carol),  # mild, and one answer at a time
        score({red: {"truth": 5}}, rater=carol),
        score({red: {"truth": 3}, blue: {"truth": 4}}, rater=alice),
    ]
    (row,) = freeze().rows.all()
    assert row.data["chosen"][0]["content"] == "red"
    assert row.margin == pytest.approx(1 / 3)
    assert row.judgments == [vote.pk for vote in votes]
    assert freeze(raters=["alice"]).rows.get().data["chosen"][0]["content"] == "blue"


def test_a_later_score_counts_and_what_has_no_criterion_in_common_makes_no_pair(freeze, score, answered, bob):
    red, blue = answered("Which?", "red", "blue")
    score({red: {"truth": 5}, blue: {"truth": 1}}, rater=bob)
    score({red: {"truth": 1}}, rater=bob)
    one, other = answered("Apart?", "one", "other")
    score({one: {"truth": 5}, other: {"tone": 1}}, rater=bob)
    with pytest.raises(DomainError, match="tie: 1"):
        freeze()


def test_of_several_outputs_all_pairs_and_no_test_prompt(freeze, score, answered, bob):
    best, middle, worst = answered("Three?", "best", "middle", "worst")
    score({middle: {"truth": 3}, worst: {"truth": 1}, best: {"truth": 5}}, rater=bob)
    held_out = answered("Held out?", "red", "blue", split="test")
    score(dict(zip(held_out, ({"truth": 1}, {"truth": 5}))), rater=bob)
    dataset = freeze()
    pairs = {(row.data["chosen"][0]["content"], row.data["rejected"][0]["content"]) for row in dataset.rows.all()}
    assert pairs == {("best", "middle"), ("best", "worst"), ("middle", "worst")}
    assert dataset.excluded == {"test_split": 2}
