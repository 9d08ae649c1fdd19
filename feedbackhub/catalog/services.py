"""The room's writes, gathered for those above. Each subject has its own file."""

from .generations import generation_create, generation_progress, generation_resume, generation_stop, sweep
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

__all__ = [
    "ImportedOutput",
    "PromptRow",
    "embedded_model",
    "generation_create",
    "generation_progress",
    "generation_resume",
    "generation_stop",
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
