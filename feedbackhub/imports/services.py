"""An import's life: uploaded and queued; read batch by batch under a lease; done, or failed in words.

A batch's rows, its rejections and the progress commit together, so whoever takes over after a killed worker goes on
with the first line that was not dealt with: nothing is lost and nothing is doubled.
"""

import hashlib
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import IO

import django_rq
import redis
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.core.queue import enqueue
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment, JudgmentItem

from .fields import LineError, map_check, template_check
from .getting import Getter
from .media_lines import wanted_of
from .models import Import, ImportRejection
from .readers import FileError, Record, archive_open, extension_of, records
from .storing import STORE, Batch, line_read

log = logging.getLogger(__name__)
JOB = "feedbackhub.imports.jobs.import_run"
FILE_BYTES_AT_MOST = 4 * 1024**3
# Lines a transaction: short enough that a rater's vote never waits long for SQLite's one write lock.
BATCH = 1000
BATCH_WITH_MEDIA = 50
REJECTIONS_KEPT = 10_000
LEASE_SECONDS = 60
ATTEMPTS_AT_MOST = 5
# How long a job may be on its way from the queue into its worker before the sweeper takes it for lost.
HANDOVER = timedelta(seconds=60)
Status = Import.Status
OPEN = (Status.PENDING, Status.RUNNING)


@dataclass(frozen=True)
class Checked:
    """A record with the line that it holds, or why it holds none."""

    record: Record
    line: object | None
    error: str


class LeaseLost(Exception):
    """Somebody else reads this import now."""


def import_create(
    *,
    project: Project,
    by: User,
    kind: str,
    file: IO[bytes],
    filename: str,
    field_map: dict | None = None,
    template: str = "",
) -> Import:
    """Store the upload and queue its reading.

    Raises DomainError at once: an unknown kind or extension, a map or template that cannot be right, an empty file
    (400); a file that is too large (413).
    """
    if kind not in Import.Kind.values:
        message = f'kind "{kind}" is none of {", ".join(Import.Kind.values)}.'
        raise DomainError(message, fields={"kind": message})
    filename = _filename_check(filename)
    field_map, template = map_check(kind, field_map), template_check(template or "")
    settings.IMPORTS_DIR.mkdir(parents=True, exist_ok=True)
    stored, size, digest = _file_store(file)
    try:
        with transaction.atomic():
            report = Import.objects.create(
                project=project,
                kind=kind,
                filename=filename,
                size=size,
                content_digest=digest,
                field_map=field_map,
                template=template,
                created_by=by,
            )
            os.replace(stored, report.path)
            enqueue("default", JOB, report.pk, job_id=_job_id(report))
    except BaseException:
        stored.unlink(missing_ok=True)
        raise
    return report


def _filename_check(filename: str) -> str:
    """The name without folders, as it is shown; nothing is ever stored under it."""
    name = (filename or "").replace("\\", "/").rsplit("/", 1)[-1].replace("\x00", "")
    extension = extension_of(name)
    return name if len(name) <= 255 else name[: 255 - len(extension)] + extension


def _file_store(file: IO[bytes]) -> tuple[Path, int, str]:
    """(path, bytes, SHA-256) of the upload, written to disk under a name of our own."""
    descriptor, name = tempfile.mkstemp(dir=settings.IMPORTS_DIR, prefix="upload-")
    digest, size = hashlib.sha256(), 0
    try:
        with os.fdopen(descriptor, "wb") as stored:
            while chunk := file.read(1024 * 1024):
                size += len(chunk)
                if size > FILE_BYTES_AT_MOST:
                    message = _("The file is larger than %(most)s GiB; split it into several.") % {
                        "most": f"{FILE_BYTES_AT_MOST / 1024**3:g}"
                    }
                    raise DomainError(message, code="too_large", fields={"file": message}, status=413)
                digest.update(chunk)
                stored.write(chunk)
            stored.flush()
            os.fsync(stored.fileno())
        if not size:
            raise DomainError(_("The file is empty."), fields={"file": _("The file is empty.")})
    except BaseException:
        os.unlink(name)
        raise
    return Path(name), size, digest.hexdigest()


# --- Reading ---------------------------------------------------------------------------------------------------------


def import_run(import_id: int, on_progress: Callable[[Import], None] | None = None) -> Import | None:
    """Read an import to its end, from where it stands.

    on_progress: called with the import after each batch.
    Returns the import once it has ended (also when it had before); None when another worker has it.
    """
    token = uuid.uuid4()
    report = _lease_take(import_id, token)
    if report is None:
        return Import.objects.filter(pk=import_id).exclude(status__in=OPEN).first()
    try:
        _read(report, on_progress)
    except LeaseLost:
        log.warning("import %s: another worker has taken over", import_id)
        return None
    except FileError as error:
        return _finish(report, Status.FAILED, str(error))
    except BaseException as error:
        _lease_give_back(report, error)
        raise
    _tables_look()
    return _finish(report, Status.DONE)


def _lease_take(import_id: int, token: uuid.UUID) -> Import | None:
    """The import with its lease ours; None when it has ended or another worker holds it.

    One that was begun too often without getting any further fails here.
    """
    now = timezone.now()
    free = Import.objects.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=now), status__in=OPEN, pk=import_id)
    with transaction.atomic():
        report = free.select_for_update().first()
        if report is None:
            return None
        if report.attempts >= ATTEMPTS_AT_MOST:
            report.status, report.finished_at = Status.FAILED, now
            report.error = (
                f"Given up after {report.attempts} attempts that ended after line {report.read} of the file. "
                f"{report.error or 'The worker was lost each time.'}"
            )
            report.save(update_fields=["status", "finished_at", "error"])
            return None
        report.status, report.lease_token, report.lease_expires_at = Status.RUNNING, token, _lease_end()
        report.attempts += 1
        report.save(update_fields=["status", "lease_token", "lease_expires_at", "attempts"])
    return report


def _lease_end():
    return timezone.now() + timedelta(seconds=LEASE_SECONDS)


def _lease_renew(report: Import) -> None:
    ours = Import.objects.filter(pk=report.pk, lease_token=report.lease_token, status=Status.RUNNING)
    if not ours.update(lease_expires_at=_lease_end()):
        raise LeaseLost


def _lease_give_back(report: Import, error: BaseException) -> None:
    """What stopped us is written down, and the sweeper may queue the import again at once."""
    words = f"The last attempt ended with {type(error).__name__}: {error}"
    ours = Import.objects.filter(pk=report.pk, lease_token=report.lease_token, status=Status.RUNNING)
    ours.update(lease_token=None, lease_expires_at=timezone.now(), error=words[:2000])


def _read(report: Import, on_progress: Callable[[Import], None] | None) -> None:
    with ExitStack() as stack:
        archive = None
        if extension_of(report.filename) == ".zip":
            archive = stack.enter_context(closing(archive_open(report.path)))
        getter = Getter(report.project, archive, lambda: _lease_renew(report))
        for batch in _batches(islice(records(report.path, report.filename), report.read, None)):
            for part in _portions(_checked(report, batch)):
                _batch_store(report, part, getter)
                if on_progress:
                    on_progress(report)


def _checked(report: Import, found: list[Record]) -> list[Checked]:
    checked = []
    for record in found:
        try:
            if record.error:
                raise LineError(record.error)
            line = line_read(report.kind, record.row, report.field_map, report.template)
            checked.append(Checked(record, line, ""))
        except LineError as error:
            checked.append(Checked(record, None, str(error)))
    return checked


def _portions(batch: list[Checked]) -> Iterator[list[Checked]]:
    """The batch in pieces whose files are got in a while that one does not mind losing."""
    size = BATCH_WITH_MEDIA if any(one.line is not None and wanted_of(one.line) for one in batch) else BATCH
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def _batches(stream: Iterator[Record]) -> Iterator[list[Record]]:
    """Lists of at most BATCH records; those before a damaged place come before its FileError."""
    batch: list[Record] = []
    try:
        for record in stream:
            batch.append(record)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except FileError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _batch_store(report: Import, found: list[Checked], getter: Getter) -> None:
    """One batch: its files got outside the transaction; stored with its rejections and the progress inside it."""
    rejected = {one.record.line: one.error for one in found if one.line is None}
    rejected.update(getter.fill({one.record.line: one.line for one in found if one.line is not None}))
    lines = [(one.record.line, one.line) for one in found if one.record.line not in rejected]
    with transaction.atomic():
        if not Import.objects.select_for_update().filter(pk=report.pk, lease_token=report.lease_token).exists():
            raise LeaseLost
        # One import at a time writes into a project, so that two never wait for each other's rows crosswise.
        project = Project.objects.select_for_update(no_key=True).get(pk=report.project_id)
        batch = Batch(project=project, content_digest=report.content_digest, received_at=report.created_at)
        STORE[report.kind](batch, lines)
        rejected.update(batch.rejected)
        _rejections_store(report, rejected)
        report.read += len(found)
        report.bytes_read = found[-1].record.bytes_read
        report.created = {name: report.created.get(name, 0) + made for name, made in batch.created.items()}
        report.rejected_count += len(rejected)
        report.lease_expires_at = _lease_end()
        report.attempts, report.error = 0, ""
        progress = ["read", "bytes_read", "created", "rejected_count", "lease_expires_at", "attempts", "error"]
        report.save(update_fields=progress)


def _rejections_store(report: Import, rejected: dict[int, str]) -> None:
    room = max(0, REJECTIONS_KEPT - report.rejected_count)
    kept: Iterator[tuple[int, str]] = islice(sorted(rejected.items()), room)
    ImportRejection.objects.bulk_create(
        (ImportRejection(report=report, line=line, error=error) for line, error in kept), batch_size=500
    )


def _finish(report: Import, status: str, error: str = "") -> Import | None:
    ours = Import.objects.filter(pk=report.pk, lease_token=report.lease_token, status=Status.RUNNING)
    changed = ours.update(
        status=status, error=error, finished_at=timezone.now(), lease_token=None, lease_expires_at=None
    )
    report.refresh_from_db()
    return report if changed else None


def _tables_look() -> None:
    """Let PostgreSQL count what has come. Autovacuum does it a minute later, and until then may hold a table for empty:
    it looked while the first batch was not committed. Then whoever reads votes compares each row with each other one.
    """
    # Not in a transaction that may be undone: the counts, which PostgreSQL writes at once, would stay.
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        tables = (connection.ops.quote_name(model._meta.db_table) for model in (Prompt, Output, Judgment, JudgmentItem))
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(tables)}")


# --- The queue can be lost -------------------------------------------------------------------------------------------


def sweep() -> None:
    """Queue again what waits without a job, and what was being read by a worker whose lease is over."""
    lease_over = Q(lease_expires_at=None) | Q(lease_expires_at__lt=timezone.now())
    try:
        for report in Import.objects.filter(lease_over, status__in=OPEN).order_by("pk"):
            if not _job_waits(report):
                log.info("import %s is %s and nobody has it: queued again", report.pk, report.status)
                enqueue("default", JOB, report.pk, job_id=_job_id(report))
    except redis.exceptions.RedisError as error:
        log.warning("the queue does not answer (%s); what waits is queued again once it does", error)


def _job_id(report: Import) -> str:
    """Another one each time it gets further or is tried again: a job that is just ending takes no new one with it."""
    return f"import-{report.pk}-{report.read}-{report.attempts}"


def _job_waits(report: Import) -> bool:
    """Whether the job that should take this import stands in the queue, or was taken from it a moment ago."""
    queue = django_rq.get_queue("default")
    job_id = _job_id(report)
    try:
        job = Job.fetch(job_id, connection=queue.connection, serializer=queue.serializer)
    except NoSuchJobError:
        return False
    status = job.get_status()
    if status == JobStatus.QUEUED:
        return queue.get_job_position(job_id) is not None
    return status == JobStatus.STARTED and job.started_at is not None and timezone.now() - job.started_at < HANDOVER
