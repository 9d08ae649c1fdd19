"""An admin makes work void, opens tasks again and hands leases on: with a reason, and undoable."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Assignment, Judgment
from feedbackhub.rating.selectors import judgments_in_force
from feedbackhub.rating.services import (
    intervention_undo,
    judgment_record,
    judgment_undo,
    lease_reassign,
    tallies_check,
    task_reopen,
    task_skip,
    work_void,
)
from feedbackhub.tracing.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def void(alice, project):
    return lambda rater, **options: work_void(
        by=alice, project=project, rater=rater, reason="clicks blindly", **options
    )


def test_void_work_counts_nowhere_and_its_tasks_are_asked_again(
    tasks, judged, leased, bob, carol, void, outcomes, project
):
    made = tasks(2)
    for _ in made:
        judged(bob, "red", "blue")
    done = void(bob)
    assert (done.count, outcomes(), judgments_in_force(project).count()) == (2, {}, 0)
    assert Judgment.objects.filter(rater=bob).count() == 2, "nothing is deleted"
    assert leased(bob) is None, "nobody gets a task twice"
    assert leased(carol).task == made[0]
    assert tallies_check(project=project) == []
    assert Delivery.objects.filter(payload__value="withdrawn").count() == 4


def test_undone_it_counts_again(tasks, judged, bob, void, alice, outcomes, project):
    tasks(2)
    for _ in range(2):
        judged(bob, "red", "blue")
    assert intervention_undo(by=alice, intervention=void(bob)) == 2
    assert outcomes() == {("red", "blue"): (2, 0, 0, 0)}
    assert Assignment.objects.filter(rater=bob, state="done").count() == 2
    assert tallies_check(project=project) == []
    with pytest.raises(DomainError, match="undone already"):
        intervention_undo(by=alice, intervention=Judgment.objects.first().project.interventions.get())


def test_where_others_have_judged_instead_it_stays_void(tasks, judged, bob, carol, void, alice, outcomes, project):
    tasks(2)
    for _ in range(2):
        judged(bob, "red", "blue")
    done = void(bob)
    judged(carol, "blue", "red")
    assert intervention_undo(by=alice, intervention=done) == 1
    assert outcomes() == {("red", "blue"): (1, 1, 0, 0)}
    assert not Assignment.objects.filter(state="open").exists()
    assert tallies_check(project=project) == []


def test_only_since_a_moment(tasks, judged, bob, void, outcomes):
    tasks(2)
    old = judged(bob, "red", "blue").judgment
    Judgment.objects.filter(pk=old.pk).update(occurred_at=timezone.now() - timedelta(days=2))
    judged(bob, "red", "blue")
    assert void(bob, since=timezone.now() - timedelta(days=1)).count == 1
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_an_edit_or_undo_of_void_work_brings_nothing_back(
    tasks, judged, said, leased, bob, void, alice, outcomes, project
):
    tasks(2)
    lease = leased(bob)
    first = judged(bob, "red", "blue", lease=lease).judgment
    second = judged(bob, "red", "blue").judgment
    done = void(bob)
    judgment_record(rater=bob, task=lease.task, payload=said(lease, "blue", "red", supersedes=first.pk))
    judgment_undo(rater=bob, judgment=second)
    assert outcomes() == {}
    assert intervention_undo(by=alice, intervention=done) == 1
    assert outcomes() == {("red", "blue"): (0, 1, 0, 0)}, "what was said last, and nothing of what was taken back"
    assert tallies_check(project=project) == []


def test_a_task_is_opened_again_and_closed(tasks, judged, leased, bob, carol, eve, alice, outcomes, project):
    (task,) = tasks(1, judgments_wanted=2)
    judged(bob, "red", "blue")
    judged(carol, "blue", "red")
    done = task_reopen(by=alice, task=task, reason="the prompt was cut off")
    assert (done.count, outcomes()) == (2, {})
    assert leased(bob) is None
    assert leased(alice).task == task
    assert intervention_undo(by=alice, intervention=done) == 1, "one of two places is taken"
    assert tallies_check(project=project) == []


def test_a_lease_is_handed_on_and_back(tasks, leased, bob, carol, alice):
    (task,) = tasks(1)
    leased(bob)
    done = lease_reassign(by=alice, task=task, rater=bob, given_to=carol, reason="Bob is ill")
    assert leased(bob) is None
    assert leased(carol).task == task
    intervention_undo(by=alice, intervention=done)
    assert leased(carol) is None
    assert leased(bob).task == task


def test_taken_back_for_anyone_and_given_to_one(tasks, leased, judged, bob, carol, alice):
    (task,) = tasks(1)
    leased(bob)
    lease_reassign(by=alice, task=task, rater=bob, reason="stuck")
    given = lease_reassign(by=alice, task=task, given_to=carol, reason="she knows the subject")
    judged(carol, "red", "blue")
    with pytest.raises(DomainError, match="moved on"):
        intervention_undo(by=alice, intervention=given)


def test_refusals(tasks, leased, judged, bob, carol, dave, alice, void):
    (task,) = tasks(1, judgments_wanted=2)
    with pytest.raises(DomainError, match="Nothing that counts"):
        void(bob)
    with pytest.raises(DomainError, match="does not hold"):
        lease_reassign(by=alice, task=task, rater=bob, reason="stuck")
    leased(bob)
    with pytest.raises(DomainError, match="does not rate"):
        lease_reassign(by=alice, task=task, rater=bob, given_to=dave, reason="stuck")
    task_skip(rater=carol, task=task)
    with pytest.raises(DomainError, match="twice"):
        lease_reassign(by=alice, task=task, rater=bob, given_to=carol, reason="stuck")
    judged(bob)
    with pytest.raises(DomainError, match="Say why"):
        task_reopen(by=alice, task=task, reason=" ")
    assert not task.interventions.exists()


def test_a_rater_sees_in_the_history_what_was_made_void(tasks, judged, bob, void, client_of, project):
    tasks(1)
    judgment = judged(bob, "red", "blue").judgment
    void(bob)
    browser, base = client_of(bob), f"/p/{project.slug}/rate/history/"
    page = browser.get(base).content.decode()
    assert ">void<" in page
    assert f"{judgment.pk}/edit/" not in page
    assert browser.get(f"{base}{judgment.pk}/edit/").status_code == 404
