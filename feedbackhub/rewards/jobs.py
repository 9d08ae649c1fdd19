from feedbackhub.runs.models import RunState
from feedbackhub.runs.services import run_supervise

from . import best_of, scoring


def scoring_run(run_id: int) -> None:
    """Let a reward model score outputs, and go on with what waits for it."""
    run = run_supervise(run_id=run_id)
    if run is not None:
        if run.state == RunState.COMPLETED:
            scoring.scoring_store(run=run)
        best_of.sweep()
