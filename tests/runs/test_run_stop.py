"""Stop and resume; an interruption that nobody asked for is no stop."""

import signal

import pytest
import stand_in_job
from waiting import wait_until

from feedbackhub.core.errors import DomainError
from feedbackhub.runs.directory import lock_holder, lock_is_held
from feedbackhub.runs.models import Run
from feedbackhub.runs.services import run_queue, run_stop, run_supervise, sweep

BEFORE = "interrupted before it could write a checkpoint"
pytestmark = pytest.mark.django_db(transaction=True)


def state(run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def steps(run) -> list[int]:
    path = run.directory / "writers.txt"
    return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []


def test_stopped_with_a_checkpoint_then_resumed_to_the_end(run_of, supervisor_process):
    run = run_of(steps=10, hold_at=3, checkpoint_every=1000)
    run_queue(run=run)
    process = supervisor_process(run)
    wait_until(lambda: len(steps(run)) == 3, what="for the first steps")
    run_stop(run=run)
    assert run.state == "stopping"
    run_stop(run=run)
    assert process.wait(120) == 0
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("stopped", 1)
    assert run.result["status"] == "stopped"
    assert (run.directory / "checkpoint.txt").read_text() == str(run.result["steps"])
    assert steps(run) == [1, 2, 3]
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("completed", 2)
    assert steps(run) == list(range(1, 11)), "no step twice, none left out"


def test_a_crash_after_a_resume_is_not_judged_by_the_earlier_stop(run_of):
    run = run_of(steps=102, seconds=0.05, die_at=100)
    run_queue(run=run)

    def stop(event):
        if event.data.get("step") == 2:
            Run.objects.filter(pk=run.pk, state="running").update(state="stopping")

    assert run_supervise(run_id=run.pk, on_event=stop).state == "stopped"
    assert steps(run)[-1] < 100
    run_queue(run=run)
    ended = run_supervise(run_id=run.pk)
    assert (ended.state, ended.attempts, ended.crashes) == ("completed", 3, 1)


def test_a_waiting_run_stops_at_once_and_its_room_hears_of_it(run_of, queue):
    stand_in_job.heard.clear()
    run = run_of(steps=1)
    run_queue(run=run)
    run_stop(run=run)
    assert run.state == "stopped"
    queue()
    assert set(stand_in_job.heard) == {(run.pk, "stopped")}
    assert not steps(run)


def test_a_run_that_is_not_active_cannot_be_stopped(run_of):
    run = run_of()
    with pytest.raises(DomainError, match="draft; only a waiting or running one"):
        run_stop(run=run)


def test_one_that_does_not_heed_is_killed_after_the_grace(run_of, settings):
    settings.RUN_STOP_GRACE_SECONDS = 1
    run = run_of(steps=600, seconds=0.1, ignore_sigterm=True)
    run_queue(run=run)

    def stop(event):
        if event.data.get("step") == 2:
            Run.objects.filter(pk=run.pk).update(state="stopping")

    ended = run_supervise(run_id=run.pk, on_event=stop)
    assert (ended.state, ended.attempts) == ("stopped", 1)
    assert "SIGKILL" in ended.attempt_rows.get().outcome
    assert not lock_is_held(run.directory)


@pytest.mark.parametrize(("settings_of_it", "outcome"), [({}, "interrupted"), ({"dies_of_sigterm": True}, BEFORE)])
def test_an_interruption_nobody_asked_for_leaves_the_run_waiting(run_of, queue, settings_of_it, outcome):
    """The machine goes down: `manage.py up` stops the training process, and the next start must resume."""
    run = run_of(steps=100, seconds=0.05, **settings_of_it)
    run_queue(run=run)
    sent = []

    def interrupt(event):
        if event.data.get("step") == 3 and not sent:
            sent.append(lock_holder(run.directory).signal(signal.SIGTERM))

    assert run_supervise(run_id=run.pk, on_event=interrupt) is None
    run.refresh_from_db()
    assert (run.state, run.lease_token, run.crashes) == ("queued", None, 0)
    assert run.attempt_rows.get().outcome == outcome
    import django_rq

    django_rq.get_connection("training").flushall()
    sweep()
    queue()
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("completed", 2)
    assert steps(run) == list(range(1, 101))


def test_an_adopted_process_is_stopped_too(run_of, supervisor_process):
    run = run_of(steps=600, seconds=0.1)
    run_queue(run=run)
    first = supervisor_process(run)
    wait_until(lambda: len(steps(run)) >= 2, what="for the first steps")
    first.kill()
    first.wait()
    run_stop(run=run)
    Run.objects.filter(pk=run.pk).update(lease_expires_at="2000-01-01T00:00Z")
    ended = run_supervise(run_id=run.pk)
    assert (ended.state, ended.attempts) == ("stopped", 1)
    assert ended.result["status"] == "stopped"
