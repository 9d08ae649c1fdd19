"""What was tuned here in one piece: merged weights, or a GGUF file. Made by a run, kept until it is removed."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import ACTIVE, Run, RunState

from .generations import base_spec, weights_check
from .models import ModelVersion, WeightExport
from .weight_files import AT_ONCE, file_name, weights_folder, zipped

JOB = "feedbackhub.catalog.jobs.weight_export_run"
# What the run writes into its directory (training/export.py).
NAMES = {"merged": "merged", "gguf": "model.gguf"}
Format = WeightExport.Format


def exports_of(project: Project) -> QuerySet[WeightExport]:
    """The project's exports with model and run at hand."""
    return WeightExport.objects.filter(project=project).select_related("model", "run", "project")


def export_get(*, project: Project, pk: int) -> WeightExport:
    """Raises NotFound."""
    found = exports_of(project).filter(pk=pk).first()
    if found is None:
        raise NotFound(_('There is no export %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def formats_of(model: ModelVersion) -> list[str]:
    """What can be made of a model version: nothing unless it was tuned here, and no merged weights of whole ones."""
    if weights_folder(model) is None or model.role != ModelVersion.Purpose.POLICY:
        return []
    return [Format.MERGED, Format.GGUF] if model.adapter else [Format.GGUF]


@transaction.atomic
def export_make(*, project: Project, model: ModelVersion, format: str, by=None) -> WeightExport:
    """Queue a run that makes it; one that was stopped or has failed begins anew.

    Raises DomainError: nothing of the kind can be made of the model; 409 while it is made, or when it is there.
    """
    _format_check(project, model, format)
    # Of two who ask at once one makes it: the model version's row is the lock.
    ModelVersion.objects.select_for_update().get(pk=model.pk)
    known = exports_of(project).filter(model=model, format=format).first()
    if known is None:
        spec = {"base": base_spec(model), "settings": {"format": format}, "title": model.name}
        run = runs.run_create(project=project, recipe="export", spec=spec, files={}, queue="training", job=JOB, by=by)
        known = WeightExport.objects.create(project=project, model=model, format=format, run=run, created_by=by)
    elif known.run.state in ACTIVE:
        raise DomainError(_("This is being made already: wait for it, or stop it."), code="conflict", status=409)
    elif known.run.state == RunState.COMPLETED:
        raise DomainError(
            _("This is made already: download it, or remove it and make it again."), code="conflict", status=409
        )
    runs.run_queue(run=known.run)
    return known


def _format_check(project: Project, model: ModelVersion, format: str) -> None:
    if format not in Format.values:
        _refuse("format", _('"%(format)s" is none of %(all)s.') % {"format": format, "all": ", ".join(Format.values)})
    named = {"model": model.name}
    if model.project_id not in (None, project.pk):
        _refuse("model", _('model "%(model)s" belongs to another project.') % named)
    if model.role != ModelVersion.Purpose.POLICY:
        _refuse("model", _('model "%(model)s" is a reward model: its heads have no place in such files.') % named)
    if weights_folder(model) is None:
        _refuse("model", _('model "%(model)s" was not tuned here, so there is nothing to make of it.') % named)
    if format not in formats_of(model):
        words = _(
            'The weights of "%(model)s" are whole already: there is no adapter to merge. Download them as they are.'
        )
        _refuse("format", words % named)
    weights_check(model, "model")


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})


def export_stop(*, export: WeightExport) -> None:
    """Stop the making; nothing of it stays. Raises DomainError (409) when it has ended."""
    runs.run_stop(run=export.run)


@transaction.atomic
def export_remove(*, export: WeightExport) -> None:
    """Remove it and its run with all files. Raises DomainError (409) while it is made, or a model is made of it."""
    run = Run.objects.select_for_update().get(pk=export.run_id)
    if run.state in ACTIVE:
        raise DomainError(_("This is being made: stop it first."), code="conflict", status=409)
    directory = run.directory
    if user := ModelVersion.objects.filter(base__startswith=f"{directory}/").first():
        words = _('The model "%(model)s" is registered from these files: they have to stay.')
        raise DomainError(words % {"model": user.name}, code="conflict", status=409)
    export.delete()
    run.delete()
    transaction.on_commit(partial(shutil.rmtree, directory, ignore_errors=True))


def export_path(export: WeightExport) -> Path:
    """The folder or file that was made. Raises NotFound before it is there, and when somebody has taken it away."""
    path = export.run.directory / NAMES[export.format]
    if export.run.state != RunState.COMPLETED:
        raise NotFound(
            _('This is not there yet: its making is "%(state)s".') % {"state": export.run.get_state_display().lower()}
        )
    if not path.exists():
        raise NotFound(_("Its files are gone from the disk: remove it and make it again."))
    return path


def export_download(export: WeightExport) -> tuple[str, str, int | None, Iterator[bytes]]:
    """(file name, media type, bytes if known before, chunks). Raises NotFound."""
    path, name = export_path(export), file_name(export.model)
    if export.format == Format.MERGED:
        return f"{name}-merged.zip", "application/zip", None, zipped(path, f"{name}-merged")
    return f"{name}.gguf", "application/octet-stream", path.stat().st_size, _chunks(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(AT_ONCE):
            yield chunk
