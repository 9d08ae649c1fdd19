"""Who gets which task, for how long, and what becomes of a judgment that comes late."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Assignment, Serving, Skip
from feedbackhub.rating.selectors import progress
from feedbackhub.rating.services import (
    judgment_record,
    leases_reclaim,
    sweep,
    tallies_check,
    task_priority_set,
    task_release,
    task_skip,
)

pytestmark = pytest.mark.django_db


def test_a_held_task_is_given_again_with_its_order_and_expiry(tasks, leased, bob):
    tasks(3)
    first, again = leased(bob), leased(bob)
    assert again.task == first.task
    assert [output.pk for output in again.outputs] == [output.pk for output in first.outputs]
    assert again.lease_expires_at == first.lease_expires_at


def test_tasks_come_in_order_of_priority_and_age(tasks, leased, bob, judged):
    made = tasks(4)
    task_priority_set(task=made[2], priority=5)
    served = [judged(bob).judgment.task for _ in range(4)]
    assert served == [made[2], made[0], made[1], made[3]]


def test_an_urgent_task_comes_next_even_to_a_rater_who_is_past_it(tasks, leased, bob, judged):
    made = tasks(4)
    judged(bob)
    judged(bob)
    task_priority_set(task=made[3], priority=1)
    assert leased(bob).task == made[3]


def test_what_lies_behind_a_rater_is_served_when_nothing_lies_ahead(tasks, leased, bob, carol, judged):
    made = tasks(3)
    held_by_carol = leased(carol)
    assert held_by_carol.task == made[0]
    judged(bob)
    judged(bob)
    assert leased(bob) is None
    task_release(rater=carol, task=made[0])
    assert leased(bob).task == made[0]


def test_ahead_leases_more_up_to_three(tasks, leased, bob):
    made = tasks(5)
    held = leased(bob)
    second = leased(bob, after=held.task.pk)
    assert leased(bob, after=held.task.pk).task == second.task, "asking again must not lease another"
    third = leased(bob, after=second.task.pk)
    assert {held.task, second.task, third.task} == set(made[:3])
    assert leased(bob, after=third.task.pk).task == second.task
    assert Assignment.objects.filter(rater=bob, state="leased").count() == 3


def test_after_a_judged_task_comes_the_one_held_next(tasks, leased, judged, bob):
    tasks(3)
    first = leased(bob)
    second = leased(bob, after=first.task.pk)
    judged(bob, lease=first)
    assert leased(bob, after=first.task.pk).task == second.task


def test_two_raters_never_hold_the_same_single_judgment(tasks, leased, bob, carol):
    tasks(1)
    assert leased(bob) is not None
    assert leased(carol) is None


def test_overlap_gives_a_task_to_several_and_to_each_once(tasks, leased, judged, alice, bob, carol):
    tasks(1, judgments_wanted=2)
    judged(bob)
    assert leased(bob) is None
    assert leased(carol) is not None
    assert leased(alice) is None


def test_an_expired_lease_goes_to_another_rater(tasks, leased, expire, bob, carol):
    tasks(1)
    expire(leased(bob))
    assert leased(carol) is not None
    assert leased(bob) is None


def test_an_expired_lease_that_nobody_took_begins_again(tasks, leased, expire, bob):
    tasks(1)
    lease = leased(bob)
    expire(lease)
    again = leased(bob)
    assert again.task == lease.task
    assert again.lease_expires_at >= lease.lease_expires_at


def test_the_sweeper_opens_expired_leases_and_no_others(tasks, leased, expire, bob, carol):
    tasks(2)
    expire(leased(bob))
    leased(carol)
    sweep()
    assert sorted(Assignment.objects.values_list("state", flat=True)) == ["leased", "open"]


@pytest.mark.parametrize("reclaimed", [False, True])
def test_a_late_judgment_counts_where_the_task_still_needs_it(tasks, leased, said, expire, bob, reclaimed, project):
    tasks(1)
    lease = leased(bob)
    expire(lease)
    if reclaimed:
        assert leases_reclaim() == 1
    judgment = judgment_record(rater=bob, task=lease.task, payload=said(lease)).judgment
    assert judgment.counted
    assert Assignment.objects.get().state == "done"
    assert tallies_check(project=project) == []


def test_a_late_judgment_takes_the_place_that_another_let_expire(tasks, leased, said, expire, bob, carol):
    tasks(1)
    late = leased(bob)
    expire(late)
    expire(leased(carol))
    assert judgment_record(rater=bob, task=late.task, payload=said(late)).judgment.counted
    assert Assignment.objects.get().rater == bob


def test_a_late_judgment_of_a_task_that_is_full_is_history(tasks, leased, judged, said, expire, bob, carol, outcomes):
    tasks(1)
    late = leased(bob)
    expire(late)
    judged(carol, "blue", "red")
    recorded = judgment_record(rater=bob, task=late.task, payload=said(late, "red", "blue"))
    assert recorded.created
    assert not recorded.judgment.counted
    assert outcomes() == {("red", "blue"): (0, 1, 0, 0)}


def test_a_late_judgment_waits_for_no_lease_of_somebody_else(tasks, leased, said, expire, bob, carol):
    tasks(1)
    late = leased(bob)
    expire(late)
    carols = leased(carol)
    assert not judgment_record(rater=bob, task=late.task, payload=said(late)).judgment.counted
    assert judgment_record(rater=carol, task=carols.task, payload=said(carols)).judgment.counted


def test_who_judged_late_is_not_asked_again(tasks, leased, judged, said, expire, bob, carol):
    from feedbackhub.rating.services import judgment_undo

    tasks(1)
    late = leased(bob)
    expire(late)
    carols = judged(carol).judgment
    judgment_record(rater=bob, task=late.task, payload=said(late))
    judgment_undo(rater=carol, judgment=carols)
    task_release(rater=carol, task=late.task)
    assert leased(bob) is None


def test_skipping_gives_the_task_to_others_for_good(tasks, leased, bob, carol):
    (task,) = tasks(1)
    leased(bob)
    task_skip(rater=bob, task=task, reason="not my field")
    task_skip(rater=bob, task=task)
    assert leased(bob) is None
    assert leased(carol).task == task
    assert Skip.objects.get().reason == "not my field"


def test_releasing_gives_the_task_to_anyone(tasks, leased, bob):
    (task,) = tasks(1)
    before = leased(bob)
    task_release(rater=bob, task=task, reason="lunch")
    assert Assignment.objects.get().state == "open"
    assert Serving.objects.get().release_reason == "lunch"
    again = leased(bob)
    assert [output.pk for output in again.outputs] == [output.pk for output in before.outputs]


@pytest.mark.parametrize("put_away", [task_skip, task_release])
def test_what_one_has_judged_is_not_put_away(tasks, judged, bob, put_away):
    (task,) = tasks(1)
    judged(bob)
    with pytest.raises(DomainError) as refused:
        put_away(rater=bob, task=task)
    assert refused.value.status == 409


def test_progress_counts_what_is_left_for_this_rater(tasks, leased, judged, bob, carol, project):
    made = tasks(5, judgments_wanted=2)
    judged(bob)
    leased(bob)
    task_skip(rater=bob, task=made[4])
    assert (progress(project, bob).done, progress(project, bob).left) == (1, 3)
    assert (progress(project, carol).done, progress(project, carol).left) == (0, 5)


def test_leasing_takes_as_many_queries_however_many_tasks_there_are(
    tasks, answers, leased, judged, bob, project, django_assert_max_num_queries
):
    from feedbackhub.rating.services import tasks_create

    project.gold_percent = 0  # no lots drawn for checks
    project.save()
    tasks(3)
    judged(bob)
    with django_assert_max_num_queries(36) as few:
        judged(bob)
    models = answers(300, "red", "blue")
    tasks_create(project=project, models=list(models.values()))
    with django_assert_max_num_queries(len(few)):
        judged(bob)
