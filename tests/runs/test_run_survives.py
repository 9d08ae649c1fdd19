"""kill -9 of the training process, of the supervisor, of the queue; two supervisors; never a second writer."""

import os
import signal
import time
from datetime import timedelta
from threading import Timer

import psutil
import pytest
from django.utils import timezone
from waiting import wait_until

from feedbackhub.runs import child
from feedbackhub.runs.directory import group_kill, lock_holder, lock_is_held
from feedbackhub.runs.models import Run
from feedbackhub.runs.services import run_queue, run_supervise, sweep

pytestmark = pytest.mark.django_db(transaction=True)


def writers(run) -> list[tuple[int, int]]:
    """(process id, step) of every step that was written."""
    path = run.directory / "writers.txt"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def assert_stored_once(run) -> None:
    size = (run.directory / "events.jsonl").stat().st_size
    assert run.events_offset == size
    assert run.events.count() == len((run.directory / "events.jsonl").read_text().splitlines())


def test_a_killed_training_process_is_resumed_from_its_checkpoint(run_of):
    run = run_of(steps=6, die_at=3)
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 2)
    assert [step for _, step in writers(run)] == [1, 2, 3, 4, 5, 6]
    first, second = run.attempt_rows.order_by("number")
    assert (first.exit_code, first.outcome) == (
        -9,
        "crashed: was killed by signal 9 (SIGKILL; the machine may be out of memory)",
    )
    assert (second.exit_code, second.outcome) == (0, "completed")
    assert_stored_once(run)


def test_one_that_always_dies_fails_in_words_after_the_last_attempt(run_of, settings):
    settings.RUN_ATTEMPTS_AT_MOST = 2
    run = run_of(steps=6, die_always=True)
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts, run.error_kind) == ("failed", 2, "crashed")
    assert "killed by signal 9" in run.error_message
    assert "2 times in a row" in run.error_message
    assert "the last words" in run.error_message
    run_queue(run=run)
    assert run.crashes == 0, "somebody who asks again gets all attempts again"


def test_a_dead_process_whose_workers_keep_the_lock_does_not_hang_the_run(run_of):
    run = run_of(steps=4, die_at=2, stubborn_child=True)
    run_queue(run=run)
    assert run_supervise(run_id=run.pk).state == "completed"
    assert not lock_is_held(run.directory)


def test_what_was_killed_may_take_its_time_to_be_gone(run_of, monkeypatch):
    """A try has ended when nobody holds its directory any more."""
    monkeypatch.setattr(child, "group_kill", lambda pid: Timer(0.5, group_kill, [pid]).start())
    run = run_of(steps=4, die_at=2, stubborn_child=True)
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 2)
    assert not lock_is_held(run.directory)


def test_a_killed_supervisor_is_followed_by_one_that_adopts_the_living_process(run_of, supervisor_process):
    run = run_of(steps=20, seconds=0.1, hold_at=5)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(writers(run)) == 5 and run.events.count() >= 3, what="for the first steps")
    pid = lock_holder(run.directory).pid
    first.kill()
    first.wait()
    leased = Run.objects.filter(pk=run.pk)
    assert leased.update(lease_expires_at=timezone.now() + timedelta(minutes=5)) == 1
    assert run_supervise(run_id=run.pk) is None, "its lease has not ended yet"
    leased.update(lease_expires_at="2000-01-01T00:00Z")
    assert psutil.pid_exists(pid), "the training process must not notice"
    (run.directory / "go").touch()
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 1)
    assert writers(run) == [(pid, step) for step in range(1, 21)], "one process wrote every step, once"
    assert_stored_once(run)


def test_a_run_that_ended_while_nobody_watched_is_read_not_repeated(run_of, supervisor_process):
    run = run_of(steps=8, hold_at=2)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(writers(run)) == 2, what="for the first steps")
    first.kill()
    first.wait()
    (run.directory / "go").touch()
    wait_until(lambda: (run.directory / "result.json").exists() and not lock_is_held(run.directory))
    wait_until(lambda: Run.objects.get(pk=run.pk).lease_expires_at.timestamp() < time.time())
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 1)
    assert len({pid for pid, _ in writers(run)}) == 1
    assert_stored_once(run)


def test_a_failure_while_nobody_watched_is_not_tried_again(run_of, supervisor_process):
    run = run_of(steps=8, hold_at=2, fail_at=5)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(writers(run)) == 2, what="for the first steps")
    first.kill()
    first.wait()
    (run.directory / "go").touch()
    wait_until(lambda: (run.directory / "result.json").exists() and not lock_is_held(run.directory))
    Run.objects.filter(pk=run.pk).update(lease_expires_at="2000-01-01T00:00Z")
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.error_kind, run.attempts) == ("failed", "base_missing", 1)
    assert_stored_once(run)


def test_supervisor_and_training_process_both_killed(run_of, supervisor_process):
    run = run_of(steps=10, hold_at=3)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(writers(run)) == 3, what="for the first steps")
    pid = lock_holder(run.directory).pid
    first.kill()
    os.kill(pid, signal.SIGKILL)
    first.wait()
    (run.directory / "go").touch()
    wait_until(lambda: Run.objects.get(pk=run.pk).lease_expires_at.timestamp() < time.time())
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 2)
    assert sorted({step for _, step in writers(run)}) == list(range(1, 11))
    assert len(writers(run)) <= 11, "at most the step that the kill cut off was done again"
    assert_stored_once(run)


def test_orphans_that_keep_the_lock_after_everyone_else_was_killed(run_of, supervisor_process):
    run = run_of(steps=10, hold_at=3, stubborn_child=True)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(writers(run)) == 3, what="for the first steps")
    first.kill()
    os.kill(lock_holder(run.directory).pid, signal.SIGKILL)
    first.wait()
    (run.directory / "go").touch()
    assert lock_is_held(run.directory)
    Run.objects.filter(pk=run.pk).update(lease_expires_at="2000-01-01T00:00Z")
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 2)
    assert not lock_is_held(run.directory)


def test_of_several_supervisors_one_gets_the_run(run_of, supervisor_process):
    run = run_of(steps=10, seconds=0.1)
    run_queue(run=run)
    for process in [supervisor_process(run) for _ in range(4)]:
        assert process.wait(120) == 0
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("completed", 1)
    assert len({pid for pid, _ in writers(run)}) == 1
    assert_stored_once(run)


def test_a_supervisor_that_lost_its_lease_writes_nothing_and_leaves_the_process_alone(run_of, monkeypatch):
    from feedbackhub.runs.lease import Lease

    run = run_of(steps=40, seconds=0.1)
    run_queue(run=run)
    thief = []

    def steal(event):
        if event.data.get("step") == 2 and not thief:
            Run.objects.filter(pk=run.pk).update(lease_expires_at="2000-01-01T00:00Z")
            thief.append(Lease.take(run.pk))

    assert run_supervise(run_id=run.pk, on_event=steal) is None
    pid = lock_holder(run.directory).pid
    assert psutil.pid_exists(pid)
    stored = run.events.count()
    thief[0].expire()
    ended = run_supervise(run_id=run.pk)
    assert ended.state == "completed"
    assert ended.events.count() > stored
    assert {pid for pid, _ in writers(run)} == {pid}
    assert_stored_once(ended)


def test_a_wiped_queue_is_rebuilt_from_the_database(run_of, queue):
    import django_rq

    runs = [run_of(steps=1), run_of(steps=1)]
    for run in runs:
        run_queue(run=run)
    django_rq.get_connection("training").flushall()
    queue()
    assert {Run.objects.get(pk=run.pk).state for run in runs} == {"queued"}
    sweep()
    sweep()
    assert len(django_rq.get_queue("training")) == 2, "what waits already is not queued twice"
    queue()
    assert {Run.objects.get(pk=run.pk).state for run in runs} == {"completed"}


def test_the_sweeper_finds_a_run_whose_supervisor_fell_silent(run_of, queue):
    run = run_of(steps=2)
    run_queue(run=run)
    from feedbackhub.runs.lease import Lease

    lease = Lease.take(run.pk)
    import django_rq

    django_rq.get_connection("training").flushall()
    sweep()
    assert len(django_rq.get_queue("training")) == 0, "its lease counts still"
    lease.expire()
    sweep()
    queue()
    run.refresh_from_db()
    assert run.state == "completed"


def test_an_unreachable_queue_delays_and_loses_nothing(run_of, queue, monkeypatch):
    import django_rq

    run = run_of(steps=1)
    with monkeypatch.context() as patch:
        pool = django_rq.get_connection("training").connection_pool
        patch.setitem(pool.connection_kwargs, "port", 1)
        pool.disconnect()
        run_queue(run=run)
        sweep()
    pool.disconnect()
    assert Run.objects.get(pk=run.pk).state == "queued"
    sweep()
    queue()
    assert Run.objects.get(pk=run.pk).state == "completed"
