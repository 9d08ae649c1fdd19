from feedbackhub.runs.services import run_supervise

from . import serving


def chat_run(run_id: int) -> None:
    """Keep a chat's models loaded until nobody asks; store each answer as it is told."""
    run = run_supervise(run_id=run_id, on_event=serving.heard)
    if run is not None:
        serving.settle(run=run)
