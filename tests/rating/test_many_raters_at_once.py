"""Eight raters with connections of their own: every task gets the judgments it wants, and none more."""

import random
import threading
import uuid
from collections import Counter

import pytest
from django.db import connection

from feedbackhub.rating.models import Assignment, Judgment
from feedbackhub.rating.services import (
    judgment_record,
    judgment_undo,
    leases_reclaim,
    tallies_check,
    task_next,
    task_release,
    task_skip,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def raters(project):
    from feedbackhub.projects.services import member_add

    return [member_add(project=project, username=f"rater{n}", role="rater")[0].user for n in range(8)]


def at_once(work, *arguments) -> None:
    """Run work(argument) for each in a thread of its own; the first error is raised."""
    errors = []

    def run(argument) -> None:
        try:
            work(argument)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def payload(lease, generator=random) -> dict:
    shown = [output.pk for output in lease.outputs]
    winner = generator.choice(shown)
    ranking = [[winner], [pk for pk in shown if pk != winner]]
    return {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 1}


@pytest.mark.parametrize("overlap", [1, 3])
def test_two_hundred_tasks_are_drained(tasks, project, raters, overlap):
    made = tasks(200, judgments_wanted=overlap)

    def drain(rater) -> None:
        while lease := task_next(project=project, rater=rater):
            assert judgment_record(rater=rater, task=lease.task, payload=payload(lease)).judgment.counted

    at_once(drain, *raters)
    judged = Counter(Judgment.objects.values_list("task", flat=True))
    assert judged == {task.pk: overlap for task in made}
    assert Judgment.objects.values("task", "rater").distinct().count() == 200 * overlap
    assert set(Assignment.objects.values_list("state", flat=True)) == {"done"}
    assert tallies_check(project=project) == []


def test_whatever_raters_do_the_tallies_agree_and_no_task_is_judged_too_often(tasks, project, raters):
    """Skips, releases, undos, late judgments and replays, all at once."""
    tasks(60, judgments_wanted=2)

    def work(rater) -> None:
        generator = random.Random(rater.pk)
        mine = []
        for _ in range(60):
            lease = task_next(project=project, rater=rater)
            if lease is None:
                return
            action = generator.random()
            if action < 0.1:
                task_skip(rater=rater, task=lease.task)
            elif action < 0.2:
                task_release(rater=rater, task=lease.task)
            else:
                if action < 0.35:
                    Assignment.objects.filter(pk=lease.assignment.pk).update(lease_expires_at="2020-01-01T00:00Z")
                    leases_reclaim(project=project)
                said = payload(lease, generator)
                mine.append(judgment_record(rater=rater, task=lease.task, payload=said).judgment)
                assert not judgment_record(rater=rater, task=lease.task, payload=said).created
            if mine and generator.random() < 0.15:
                judgment_undo(rater=rater, judgment=mine.pop())

    at_once(work, *raters)
    assert tallies_check(project=project) == []
    in_force = Judgment.objects.filter(counted=True, withdrawn=False, superseded_by=None)
    counts = Counter(in_force.values_list("task", flat=True))
    assert max(counts.values()) <= 2
    done = Counter(Assignment.objects.filter(state="done").values_list("task", flat=True))
    assert counts == done


def test_the_same_key_sent_eight_times_at_once_makes_one(tasks, project, bob, leased):
    tasks(1)
    lease = leased(bob)
    said = payload(lease)
    recorded = []
    at_once(lambda _: recorded.append(judgment_record(rater=bob, task=lease.task, payload=said)), *range(8))
    assert [one.created for one in recorded].count(True) == 1
    assert len({one.judgment.pk for one in recorded}) == 1
    assert tallies_check(project=project) == []


def test_two_tabs_of_one_rater_hold_one_task(tasks, project, bob):
    tasks(20, judgments_wanted=3)
    got = []
    at_once(lambda _: got.append(task_next(project=project, rater=bob)), *range(8))
    assert len({lease.task.pk for lease in got}) == 1
    assert Assignment.objects.filter(rater=bob).count() == 1
