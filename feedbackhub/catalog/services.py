"""The room's writes, gathered for those above. Each subject has its own file."""

from . import generations, identity
from .generations import generation_create, generation_progress, generation_resume, generation_stop
from .media import MediaRefused, media_by_source, media_keep, media_limit
from .model_versions import (
    embedded_model,
    model_create,
    model_get_or_create_imported,
    model_update,
    models_get_or_create_imported,
)
from .outputs import ImportedOutput, ordinals, outputs_bulk_create
from .prompts import PromptRow, prompt_get_or_create, prompts_bulk_get_or_create
from .selectors import model_by_name, models_of


def sweep() -> None:
    """What ended runs have written is stored; outputs of before are looked at for what they reveal."""
    generations.sweep()
    identity.sweep()


__all__ = [
    "ImportedOutput",
    "MediaRefused",
    "PromptRow",
    "embedded_model",
    "generation_create",
    "generation_progress",
    "generation_resume",
    "generation_stop",
    "media_by_source",
    "media_keep",
    "media_limit",
    "model_by_name",
    "model_create",
    "model_get_or_create_imported",
    "model_update",
    "models_get_or_create_imported",
    "models_of",
    "ordinals",
    "outputs_bulk_create",
    "prompt_get_or_create",
    "prompts_bulk_get_or_create",
    "sweep",
]
