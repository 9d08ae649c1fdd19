"""Imports' jobs."""

from . import services


def import_run(import_id: int) -> None:
    """Read an import to its end, unless another worker has it."""
    services.import_run(import_id)
