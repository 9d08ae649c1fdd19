"""Ctrl-C and SIGTERM leave no process behind, and lose no training; nor does kill -9."""

import signal
from functools import partial

import psutil
import pytest
from supervised import alive, wait_until

QUEUE_A_RUN = """
from feedbackhub.runs.services import run_create, run_queue
run = run_create(
    project=None, recipe="sft", queue="training", job="stand_in_job.supervise",
    spec={{"data": {{"train": "data/train.jsonl"}}, "settings": {settings}, "seed": 0}},
    files={{"data/train.jsonl": [{{"n": 1}}]}},
)
run_queue(run=run)
print(run.pk)
"""
STATE = "from feedbackhub.runs.models import Run; run = Run.objects.get(); print(run.state, run.attempts, run.crashes)"


def _training(site, runs: int = 1, **settings) -> list[psutil.Process]:
    """Queue a run; the training processes, once `runs` of them have done their first step."""
    site.python(QUEUE_A_RUN.format(settings=settings))
    begun = partial((site.home / "runs").glob, "*/writers.txt")
    wait_until(lambda: len(list(begun())) == runs, what="the first training step", seconds=180)
    return site.training()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_every_process(up, number):
    site = up().ready()
    family = site.family()
    assert len(family) >= 7
    site.process.send_signal(number)
    code, said = site.ended()
    assert code == 0, said
    assert [process for process in family if alive(process)] == []
    assert "killed" not in said


def test_training_writes_a_checkpoint_and_goes_on_after_the_next_start(up, stand_in_training):
    site = up(**stand_in_training).ready()
    _training(site, steps=6000, seconds=0.1, checkpoint_every=6000)
    family = site.family()
    site.process.terminate()
    assert site.ended()[0] == 0
    assert [process for process in family if alive(process)] == []
    [checkpoint] = (site.home / "runs").glob("*/checkpoint.txt")
    stopped_at = int(checkpoint.read_text())
    assert stopped_at > 0
    assert site.python(STATE).split() == ["queued", "1", "0"]

    def steps() -> list[int]:
        return [int(line.split()[1]) for line in (checkpoint.parent / "writers.txt").read_text().splitlines()]

    again = up(home=site.home, **stand_in_training).ready()
    wait_until(lambda: len(steps()) > stopped_at + 5, what="the run to go on")
    done = steps()
    assert done == list(range(1, len(done) + 1)), "steps were done twice or left out"
    assert again.python(STATE).split() == ["running", "2", "0"]


def test_training_that_does_not_stop_is_killed_in_the_end(up, stand_in_training):
    site = up(**stand_in_training, RUN_STOP_GRACE_SECONDS="1").ready()
    _training(site, steps=6000, seconds=0.1, ignore_sigterm=True)
    family = site.family()
    site.process.terminate()
    code, said = site.ended()
    assert code == 0
    assert [process for process in family if alive(process)] == []
    assert "killed, for they did not stop in time: training run" in said


def test_a_second_ctrl_c_does_not_wait(up, stand_in_training):
    site = up(**stand_in_training, RUN_STOP_GRACE_SECONDS="300").ready()
    _training(site, steps=6000, seconds=0.1, ignore_sigterm=True)
    family = site.family()
    site.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in site.said(), what="it to be stopping")
    site.process.send_signal(signal.SIGINT)
    site.ended()
    assert [process for process in family if alive(process)] == []


def test_kill_9_leaves_nothing_but_the_training(up, stand_in_training):
    site = up(**stand_in_training).ready()
    training = _training(site, steps=6000, seconds=0.1)
    family = [process for process in site.family() if process not in training]
    site.process.kill()
    site.process.wait()
    wait_until(lambda: not any(map(alive, family)), seconds=180, what="the others to end by themselves")
    assert all(map(alive, training)), "training is adopted by the next start, not thrown away"


def test_the_next_start_ends_what_kill_9_left_and_adopts_the_training(up, stand_in_training):
    site = up(**stand_in_training).ready()
    [training] = _training(site, steps=6000, seconds=0.1)
    left = site.children()
    left["sweeper"].kill()  # … which would have cleaned up
    site.process.kill()
    site.process.wait()
    again = up(home=site.home, **stand_in_training)
    again.ready()
    assert not any(map(alive, left.values()))
    assert "an earlier one was killed and had left" in again.said()
    watched = "from feedbackhub.runs.models import RunEvent; print(RunEvent.objects.count())"
    seen = int(again.python(watched))
    wait_until(lambda: int(again.python(watched)) > seen, seconds=180, what="the training to be watched again")
    assert alive(training)
    assert again.python(STATE).split() == ["running", "1", "0"]


def test_workers_on_their_own_stop_what_they_started(up, stand_in_training):
    site = up(**stand_in_training).ready()
    [theirs] = _training(site, steps=6000, seconds=0.1)
    workers = site.workers("training=1")
    [ours] = [process for process in _training(site, runs=2, steps=6000, seconds=0.1) if process != theirs]
    family = [psutil.Process(workers.pid), *psutil.Process(workers.pid).children(recursive=True), ours]
    workers.terminate()
    assert workers.wait(180) == 0, (site.home / "workers.log").read_text()
    assert [process for process in family if alive(process)] == []
    assert (site.home / "runs" / "000002" / "checkpoint.txt").exists()
    assert alive(theirs)


def test_an_unknown_queue_is_named(up):
    site = up()
    assert site.workers("trainings").wait(180) == 1
    said = (site.home / "workers.log").read_text()
    assert 'There is no queue "trainings"; there are default, training, chat.' in said
