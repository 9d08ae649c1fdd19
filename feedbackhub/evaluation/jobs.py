"""The evaluation room's job."""

from feedbackhub.runs.models import Run
from feedbackhub.runs.services import run_supervise

from . import services


def evaluation_run(run_id: int) -> None:
    """Bring one model's share of an evaluation to its end and store what was measured."""
    services.evaluation_begin(run=Run.objects.get(pk=run_id))
    run = run_supervise(run_id=run_id)
    if run is not None:
        services.evaluation_store(run=run)
