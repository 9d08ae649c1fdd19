from feedbackhub.runs.models import RunState
from feedbackhub.runs.services import run_supervise

from . import doubt, searches, services


def round_run(run_id: int) -> None:
    """Bring a round's run to its end and register what it made."""
    run = run_supervise(run_id=run_id)
    if run is not None and run.state == RunState.COMPLETED:
        services.round_complete(run=run)


def measure(run_id: int) -> None:
    """Bring a measurement to its end; whoever asked for it reads the run's result. A search of settings goes on at
    once, where the sweeper would let the device wait."""
    run = run_supervise(run_id=run_id)
    if run is not None:
        searches.searches_advance(waiting_for=run)


def scoring_run(run_id: int) -> None:
    """Let a reward model look at open pairs, and put those before others that it is unsure of."""
    run = run_supervise(run_id=run_id)
    if run is not None and run.state == RunState.COMPLETED:
        doubt.scoring_apply(run=run)
