"""A run goes from draft to its end, and the database knows all that the directory knows."""

import json

import pytest
import stand_in_job

from feedbackhub.core.errors import DomainError
from feedbackhub.runs.directory import log_tail
from feedbackhub.runs.events import event_payload
from feedbackhub.runs.services import run_create, run_queue, run_supervise

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_directory_is_written_before_the_run_is_queued(run_of):
    run = run_of(steps=2)
    spec = json.loads((run.directory / "run.json").read_text())
    assert spec == {"recipe": "sft", "data": {"train": "data/train.jsonl"}, "settings": {"steps": 2}, "seed": 0}
    assert [json.loads(line) for line in (run.directory / "data/train.jsonl").open()] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert run.state == "draft"
    assert [path.name for path in run.directory.parent.iterdir()] == [run.directory.name]


def test_a_directory_left_by_a_lost_database_is_moved_aside(run_of, settings):
    from feedbackhub.runs.models import Run

    taken = settings.RUNS_DIR / f"{(Run.objects.count() and Run.objects.latest('pk').pk) + 1:06d}"
    run = run_of()
    expected = run.directory.parent / f"{run.pk + 1:06d}"
    expected.mkdir()
    (expected / "adapter").mkdir()
    assert run_of().directory == expected
    assert not (expected / "adapter").exists()
    assert len(list(expected.parent.glob(f"{expected.name}.aside-*/adapter"))) == 1, taken


def test_a_data_file_outside_the_directory_is_refused(project, stand_in):
    with pytest.raises(ValueError, match="outside the run directory"):
        run_create(
            project=project, recipe="sft", spec={}, files={"../../etc/rows.jsonl": []}, queue="training", job="x.y"
        )
    assert list(stand_in.RUNS_DIR.iterdir()) == []


def test_queued_supervised_completed(run_of, queue):
    stand_in_job.heard.clear()
    run = run_of(steps=3)
    run_queue(run=run)
    assert run.state == "queued"
    queue()
    run.refresh_from_db()
    assert (run.state, run.progress, run.step, run.max_steps, run.attempts) == ("completed", 1.0, 3, 3, 1)
    assert run.result["metrics"] == {"loss": pytest.approx(1 / 3)}
    assert run.started_at < run.finished_at
    assert (run.lease_token, run.lease_expires_at) == (None, None)
    assert stand_in_job.heard == [(run.pk, "completed")]
    assert [row.outcome for row in run.attempt_rows.all()] == ["completed"]
    lines = (run.directory / "events.jsonl").read_text().splitlines()
    stored = [{"t": event.t, "type": event.type, **event.data} for event in run.events.all()]
    assert stored == [json.loads(line) for line in lines]
    assert "stand-in at work" in log_tail(run.directory, 5)


def test_a_completed_run_is_told_again_but_not_done_again(run_of):
    run = run_of(steps=1)
    run_queue(run=run)
    assert run_supervise(run_id=run.pk).state == "completed"
    writers = (run.directory / "writers.txt").read_text()
    assert run_supervise(run_id=run.pk).state == "completed"
    assert (run.directory / "writers.txt").read_text() == writers
    with pytest.raises(DomainError, match="completed already"):
        run_queue(run=run)


def test_a_failure_is_told_in_the_words_of_the_training_process(run_of):
    run = run_of(steps=3, fail_at=1)
    run_queue(run=run)
    ended = run_supervise(run_id=run.pk)
    assert ended.state == "failed"
    assert ended.error_kind == "base_missing"
    assert ended.error_message == "The base model at /nowhere has no config.json."
    assert ended.attempts == 1, "a failure that explains itself is not tried again"
    run_queue(run=run)
    assert (run.state, run.error_message, run.result) == ("queued", "", None)
    assert run_supervise(run_id=run.pk).state == "completed"


def test_an_interpreter_that_cannot_start_fails_in_words(run_of, settings):
    settings.TRAINING_PYTHON = "/nowhere/python"
    run = run_of()
    run_queue(run=run)
    ended = run_supervise(run_id=run.pk)
    assert (ended.state, ended.error_kind) == ("failed", "not_started")
    assert "/nowhere/python" in ended.error_message


def test_a_missing_directory_fails_in_words(run_of):
    run = run_of()
    (run.directory / "run.json").unlink()
    run_queue(run=run)
    ended = run_supervise(run_id=run.pk)
    assert (ended.state, ended.error_kind) == ("failed", "directory_missing")


def test_the_training_process_sees_none_of_our_secrets(run_of, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "s")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@db/x")
    monkeypatch.setenv("LANGSMITH_API_KEY", "l")
    monkeypatch.setenv("HF_TOKEN", "h")
    monkeypatch.setenv("MIRROR", "https://user:word@mirror.example/simple")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    run = run_of(steps=1)
    run_queue(run=run)
    run_supervise(run_id=run.pk)
    seen = json.loads((run.directory / "environment.json").read_text())
    assert not {"SECRET_KEY", "DATABASE_URL", "LANGSMITH_API_KEY", "HF_TOKEN", "MIRROR"} & set(seen)
    assert seen["OMP_NUM_THREADS"] == "2"
    assert seen["PATH"]


def test_a_line_that_is_no_event_becomes_a_warning(run_of):
    run = run_of(steps=3, torn_line_at=1)
    run_queue(run=run)
    seen = []
    assert run_supervise(run_id=run.pk, on_event=seen.append).state == "completed"
    warnings = [event for event in run.events.all() if event.type == "warning"]
    assert len(warnings) == 1
    assert "this line is no event" in warnings[0].data["message"]
    assert [event_payload(event)["id"] for event in seen] == [event.pk for event in run.events.all()]
