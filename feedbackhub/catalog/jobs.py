"""Catalog's jobs."""

from feedbackhub.runs.models import Run
from feedbackhub.runs.services import run_supervise

from . import generations


def generation_run(run_id: int) -> None:
    """Bring one model's share of a generation to its end and store its answers."""
    generations.generation_begin(run=Run.objects.get(pk=run_id))
    run = run_supervise(run_id=run_id)
    if run is not None:
        generations.generation_store(run=run)


def weight_export_run(run_id: int) -> None:
    """Bring the making of merged weights or a GGUF file to its end; what it made stays in the run's directory."""
    run_supervise(run_id=run_id)
