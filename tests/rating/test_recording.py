"""A judgment is recorded once, counts where it should, and moves the tallies."""

import uuid

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Assignment, Judgment, RankingTally
from feedbackhub.rating.services import judgment_record, judgment_undo, tallies_check

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_differs_in_the_end(project):
    yield
    assert tallies_check(project=project) == []


def test_a_win_is_tallied_whatever_the_side(tasks, judged, bob, outcomes):
    tasks(20)
    for _ in range(20):
        judged(bob, "red", "blue")
    assert outcomes() == {("red", "blue"): (20, 0, 0, 0)}
    sides = {item.position for judgment in Judgment.objects.all() for item in judgment.items.filter(tier=0)}
    assert sides == {0, 1}, "the winner was always shown on the same side"


def test_ties_and_both_bad_have_columns_of_their_own(tasks, judged, bob, outcomes):
    tasks(3)
    judged(bob, ("red", "blue"))
    judged(bob, ("red", "blue"), none_acceptable=True)
    judged(bob, "blue", "red")
    assert outcomes() == {("red", "blue"): (0, 1, 1, 1)}


def test_a_ranking_counts_as_its_pairs_and_as_a_pattern(tasks, judged, bob, outcomes, project):
    tasks(2, "red", "green", "blue", kind="ranking")
    judged(bob, "blue", ("red", "green"))
    judged(bob, ("red", "green", "blue"), none_acceptable=True)
    assert outcomes() == {
        ("red", "green"): (0, 0, 1, 1),
        ("red", "blue"): (0, 1, 0, 1),
        ("green", "blue"): (0, 1, 0, 1),
    }
    (pattern,) = RankingTally.objects.filter(project=project)
    ids = {item.model.name: item.model_id for item in Judgment.objects.first().items.select_related("model")}
    assert pattern.pattern == f"{ids['blue']}>{ids['red']}={ids['green']}"
    assert pattern.count == 1


def test_tallies_are_kept_by_category_and_source(tasks, judged, bob, carol, outcomes, project):
    from feedbackhub.rating.models import PairTally

    carol.is_simulated = True
    carol.save()
    tasks(1, category="short", judgments_wanted=2)
    judged(bob, "red", "blue")
    judged(carol, "red", "blue")
    rows = PairTally.objects.filter(project=project).order_by("source")
    assert [(row.category, row.source, row.wins_a) for row in rows] == [
        ("short", "rater", 1),
        ("short", "simulated", 1),
    ]


def test_the_same_key_makes_one(tasks, leased, said, bob, outcomes):
    tasks(1)
    lease = leased(bob)
    payload = said(lease, "red", "blue")
    first = judgment_record(rater=bob, task=lease.task, payload=payload)
    again = judgment_record(rater=bob, task=lease.task, payload=payload)
    assert first.created
    assert not again.created
    assert again.judgment == first.judgment
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_the_same_key_for_something_else_is_refused(tasks, leased, said, bob, outcomes):
    tasks(1)
    lease = leased(bob)
    payload = said(lease, "red", "blue")
    judgment_record(rater=bob, task=lease.task, payload=payload)
    other = said(lease, "blue", "red", key=payload["key"])
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload=other)
    assert (refused.value.status, refused.value.code) == (409, "key_reused")
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_two_raters_may_use_the_same_key(tasks, judged, bob, carol):
    tasks(1, judgments_wanted=2)
    key = str(uuid.uuid4())
    assert judged(bob, key=key).created
    assert judged(carol, key=key).created


def test_a_second_judgment_of_the_same_task_is_history(tasks, leased, judged, bob, outcomes):
    """Two tabs show the same task and both are sent, each with a key of its own."""
    tasks(1, judgments_wanted=2)
    lease = leased(bob)
    assert judged(bob, "red", "blue", lease=lease).judgment.counted
    assert not judged(bob, "red", "blue", lease=lease).judgment.counted
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_an_edit_replaces_the_vote(tasks, leased, judged, bob, outcomes):
    tasks(1)
    lease = leased(bob)
    first = judged(bob, "red", "blue", lease=lease).judgment
    second = judged(bob, "blue", "red", lease=lease, supersedes=first.pk).judgment
    assert outcomes() == {("red", "blue"): (0, 1, 0, 0)}
    assert second.counted
    with pytest.raises(DomainError) as refused:
        judged(bob, ("red", "blue"), lease=lease, supersedes=first.pk)
    assert refused.value.status == 409
    assert "supersedes" in refused.value.fields


def test_nobody_edits_what_is_not_theirs(tasks, leased, judged, bob, carol):
    tasks(1, judgments_wanted=2)
    bobs = judged(bob).judgment
    with pytest.raises(DomainError) as refused:
        judged(carol, supersedes=bobs.pk)
    assert refused.value.status == 400
    assert "supersedes" in refused.value.fields


def test_an_undo_takes_the_vote_back_and_gives_the_task_back_first(tasks, leased, judged, bob, outcomes):
    tasks(3)
    judgment = judged(bob, "red", "blue").judgment
    leased(bob)
    withdrawal = judgment_undo(rater=bob, judgment=judgment)
    assert outcomes() == {}
    assert leased(bob).task == judgment.task
    assert judgment_undo(rater=bob, judgment=judgment) == withdrawal
    judged(bob, "blue", "red")
    assert outcomes() == {("red", "blue"): (0, 1, 0, 0)}


def test_an_edited_judgment_is_undone_by_its_edit(tasks, leased, judged, bob, outcomes):
    tasks(1)
    lease = leased(bob)
    first = judged(bob, "red", "blue", lease=lease).judgment
    edit = judged(bob, "blue", "red", lease=lease, supersedes=first.pk).judgment
    with pytest.raises(DomainError, match=str(edit.pk)):
        judgment_undo(rater=bob, judgment=first)
    judgment_undo(rater=bob, judgment=edit)
    assert outcomes() == {}


def test_nobody_undoes_what_is_not_theirs(tasks, judged, bob, carol, outcomes):
    tasks(1)
    judgment = judged(bob, "red", "blue").judgment
    with pytest.raises(DomainError) as refused:
        judgment_undo(rater=carol, judgment=judgment)
    assert refused.value.status == 404
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_what_was_said_is_kept(tasks, leased, said, bob, project):
    tasks(1)
    lease = leased(bob)
    first, second = (output.pk for output in lease.outputs)
    payload = said(
        lease,
        strength="slight",
        comment="Closer to\x00 the source.",
        flags=["off-topic", "off-topic"],
        correction={str(first): "An even better one."},
        thumbs={str(second): -1},
    )
    judgment = judgment_record(rater=bob, task=lease.task, payload=payload).judgment
    judgment.refresh_from_db()
    assert (judgment.strength, judgment.flags, judgment.duration_ms) == ("slight", ["off-topic"], 900)
    assert judgment.comment == "Closer to the source."
    assert judgment.guidelines_version == project.guidelines_version
    one, other = judgment.items.order_by("position")
    assert (one.output_id, one.tier, one.correction, one.thumbs) == (first, 0, "An even better one.", None)
    assert (other.output_id, other.tier, other.correction, other.thumbs) == (second, 1, "", -1)
    assert one.chars == len("red answers 0") or one.chars == len("blue answers 0")
    assert Assignment.objects.get().state == "done"


def test_the_outbox_is_written_with_the_vote(tasks, leased, judged, bob):
    from feedbackhub.tracing.models import Delivery

    tasks(1)
    lease = leased(bob)
    first = judged(bob, "red", "blue", lease=lease).judgment
    told = Delivery.objects.filter(operation="feedback_create")
    assert sorted(row.payload["value"] for row in told) == ["loss", "win"]
    edit = judged(bob, ("red", "blue"), lease=lease, supersedes=first.pk).judgment
    changed = Delivery.objects.filter(operation="feedback_update")
    assert {row.target_id for row in changed} == {row.target_id for row in told}
    judgment_undo(rater=bob, judgment=edit)
    withdrawn = changed.filter(payload__value="withdrawn")
    assert {row.target_id for row in withdrawn} == {row.target_id for row in told}
