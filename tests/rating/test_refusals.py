"""A judgment that is wrong is refused by the name of its field, and leaves nothing behind."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Assignment, Judgment
from feedbackhub.rating.services import judgment_record

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "17"),
        ("key", 17),
        ("key", None),
        ("ranking", None),
        ("ranking", []),
        ("ranking", "AB"),
        ("ranking", [[0, 0]]),
        ("ranking", [["one"], ["two"]]),
        ("shown", None),
        ("shown", [1]),
        ("shown", "12"),
        ("duration_ms", None),
        ("duration_ms", -1),
        ("duration_ms", "900"),
        ("duration_ms", True),
        ("duration_ms", 1e300),
        ("duration_ms", float("nan")),
        ("none_acceptable", 1),
        ("strength", "very"),
        ("strength", ["slight"]),
        ("thumbs", [1]),
        ("thumbs", {"999999": 1}),
        ("scores", {"999999": {}}),
        ("scores", 5),
        ("correction", {"999999": "better"}),
        ("correction", "better"),
        ("flags", "unsafe"),
        ("flags", ["x" * 61]),
        ("flags", [1]),
        ("flags", ["f"] * 21),
        ("comment", "x" * 10_001),
        ("comment", 3),
        ("supersedes", "1"),
        ("supersedes", 2**70),
        ("supersedes", 999_999),
        ("colour", "red"),
    ],
)
def test_the_field_is_named(tasks, leased, said, bob, field, value):
    tasks(1)
    lease = leased(bob)
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload={**said(lease), field: value})
    assert refused.value.status == 400
    assert set(refused.value.fields) == {field}
    assert Judgment.objects.count() == 0
    assert Assignment.objects.get().state == "leased"


def test_every_wrong_field_is_named_at_once(tasks, leased, said, bob):
    tasks(1)
    lease = leased(bob)
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload={**said(lease), "key": "x", "comment": 3, "colour": 1})
    assert set(refused.value.fields) == {"key", "comment", "colour"}


@pytest.mark.parametrize("payload", [None, [], "judgment", 3])
def test_only_an_object_is_a_judgment(tasks, leased, bob, payload):
    tasks(1)
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=leased(bob).task, payload=payload)
    assert refused.value.status == 400


def test_a_ranking_holds_every_output_once(tasks, leased, said, bob):
    tasks(1, "red", "green", "blue", kind="ranking")
    lease = leased(bob)
    one, two, three = (output.pk for output in lease.outputs)
    for ranking in ([[one], [two]], [[one], [two], [three], [one]], [[one, two, three], []], [[one], [two], [two]]):
        with pytest.raises(DomainError) as refused:
            judgment_record(rater=bob, task=lease.task, payload=said(lease, ranking=ranking))
        assert set(refused.value.fields) == {"ranking"}
    assert judgment_record(rater=bob, task=lease.task, payload=said(lease, ranking=[[three, one], [two]])).created


def test_who_was_never_shown_the_task_cannot_judge_it(tasks, leased, said, bob, carol):
    tasks(1)
    lease = leased(bob)
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=carol, task=lease.task, payload=said(lease))
    assert "shown" in refused.value.fields


def test_the_order_shown_must_be_the_order_served(tasks, leased, said, bob):
    tasks(1)
    lease = leased(bob)
    turned = [output.pk for output in reversed(lease.outputs)]
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload=said(lease, shown=turned))
    assert set(refused.value.fields) == {"shown"}


def test_thumbs_say_up_or_down_of_each_output(tasks, leased, said, bob):
    tasks(1, "red", kind="thumbs")
    lease = leased(bob)
    (output,) = lease.outputs
    for thumbs in (None, {}, {str(output.pk): 0}, {str(output.pk): True}, {str(output.pk): "up"}):
        with pytest.raises(DomainError) as refused:
            judgment_record(rater=bob, task=lease.task, payload=said(lease, thumbs=thumbs))
        assert set(refused.value.fields) == {"thumbs"}
    judgment = judgment_record(rater=bob, task=lease.task, payload=said(lease, thumbs={str(output.pk): -1})).judgment
    assert judgment.items.get().thumbs == -1
    assert judgment.items.get().tier is None


def test_scores_cover_every_criterion_within_its_bounds(tasks, leased, said, bob, project):
    project.criteria = [{"key": "truth", "label": "Truthful", "min": 1, "max": 5}]
    project.save()
    tasks(1, "red", kind="scores")
    lease = leased(bob)
    (output,) = lease.outputs
    for marks in ({}, {"truth": 0}, {"truth": 6}, {"truth": "5"}, {"truth": 3, "style": 3}, {"truth": float("inf")}):
        with pytest.raises(DomainError) as refused:
            judgment_record(rater=bob, task=lease.task, payload=said(lease, scores={str(output.pk): marks}))
        assert set(refused.value.fields) == {"scores"}
    scores = {str(output.pk): {"truth": 2.5}}
    assert judgment_record(rater=bob, task=lease.task, payload=said(lease, scores=scores)).judgment.counted


@pytest.mark.parametrize("field", ["strength", "none_acceptable"])
def test_what_is_said_of_comparisons_is_not_said_of_thumbs(tasks, leased, said, bob, field):
    tasks(1, "red", kind="thumbs")
    lease = leased(bob)
    value = {"strength": "clear", "none_acceptable": True}[field]
    thumbs = {str(lease.outputs[0].pk): 1}
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload=said(lease, thumbs=thumbs, **{field: value}))
    assert set(refused.value.fields) == {field}


def test_half_a_character_is_no_error(tasks, leased, said, bob):
    """JSON can hold a lone surrogate; no database can."""
    tasks(1)
    lease = leased(bob)
    judgment = judgment_record(rater=bob, task=lease.task, payload=said(lease, comment="so \ud83d so")).judgment
    judgment.refresh_from_db()
    assert judgment.comment == "so ? so"
