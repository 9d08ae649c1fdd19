"""The job of a room that wants a run's end and notes how often it heard of it."""

from feedbackhub.runs.services import run_supervise

heard: list[tuple[int, str]] = []


def supervise(run_id: int) -> None:
    if run := run_supervise(run_id=run_id):
        heard.append((run_id, run.state))
