"""Every write on a run: created, queued, stopped, supervised, swept. docs/runs.md tells the whole life of one."""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta

import django_rq
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from feedbackhub.core.errors import DomainError
from feedbackhub.core.queue import enqueue

from .directory import directory_place, directory_stage
from .lease import Lease, LeaseLost
from .models import FINISHED, Run, RunEvent, RunState
from .supervision import Supervision, run_group, run_publish

__all__ = ["run_create", "run_group", "run_queue", "run_stop", "run_supervise", "sweep"]
log = logging.getLogger(__name__)
# How long a job may be on its way from the queue into its worker before the sweeper takes it for lost.
HANDOVER_SECONDS = 60


def run_create(
    *, project, recipe: str, spec: dict, files: dict[str, Iterable[dict]], queue: str, job: str, by=None
) -> Run:
    """Write a draft run and its directory (run.json and the data files; the rows are streamed).

    spec: run.json without `recipe`; it must hold no secret, for it is kept and shown.
    files: path inside the directory (`data/train.jsonl`) → rows.
    queue: `default` or `training`. job: dotted path of the job that supervises the run, called with its id.
    """
    spec = {"recipe": recipe, **spec}
    staged = directory_stage(settings.RUNS_DIR, spec=spec, files=files)
    try:
        with transaction.atomic():
            run = Run.objects.create(project=project, recipe=recipe, queue=queue, job=job, spec=spec, created_by=by)
            directory_place(staged, run.directory)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return run


@transaction.atomic
def run_queue(*, run: Run) -> None:
    """Ask for a draft, stopped or failed run: it starts, or resumes from its last checkpoint.

    Raises DomainError (409) when it is active already or has been completed. `run` is refreshed.
    """
    job_id = _job_id(run)
    asked = Run.objects.filter(pk=run.pk, state__in=(RunState.DRAFT, RunState.STOPPED, RunState.FAILED)).update(
        state=RunState.QUEUED,
        job_id=job_id,
        crashes=0,
        error_kind="",
        error_message="",
        result=None,
        finished_at=None,
        lease_token=None,
        lease_expires_at=None,
    )
    run.refresh_from_db()
    if not asked:
        ended = _("This run is %(state)s already: there is nothing to resume.")
        active = _("This run is %(state)s already: stop it first, or wait for its end.")
        words = ended if run.state == RunState.COMPLETED else active
        raise DomainError(words % {"state": run.get_state_display().lower()}, code="conflict", status=409)
    enqueue(run.queue, run.job, run.pk, job_id=job_id)
    run_publish(run)


@transaction.atomic
def run_stop(*, run: Run) -> None:
    """Stop a run: a waiting one at once; a running one writes a checkpoint first (`stopping`, then `stopped`).

    Stopping one that is stopping changes nothing. Raises DomainError (409) when it is not active. `run` is refreshed.
    """
    waiting = Run.objects.filter(pk=run.pk, state=RunState.QUEUED)
    job_id = _job_id(run)
    stopped = waiting.update(state=RunState.STOPPED, finished_at=timezone.now(), job_id=job_id)
    if not stopped:
        Run.objects.filter(pk=run.pk, state=RunState.RUNNING).update(state=RunState.STOPPING)
    run.refresh_from_db()
    if stopped:
        # The room that wanted the result hears of this end as of every other.
        enqueue(run.queue, run.job, run.pk, job_id=job_id)
    elif run.state != RunState.STOPPING:
        words = _("This run is %(state)s; only a waiting or running one can be stopped.")
        message = words % {"state": run.get_state_display().lower()}
        raise DomainError(message, code="conflict", status=409)
    run_publish(run)


def run_supervise(*, run_id: int, on_event: Callable[[RunEvent], None] | None = None) -> Run | None:
    """Bring a run to its end; called inside the job of the room that wants the result.

    Takes the lease, starts the training process or adopts the one at work in the directory, stores its events,
    tries again after a crash, and writes down how it ended.

    on_event: called with each event once it is stored.
    Returns the run once it has ended (`completed`, `stopped` or `failed`), also when it had ended before: the room
    stores the result harmlessly twice. None when another supervisor has it, or it was interrupted and waits again.
    """
    lease = Lease.take(run_id)
    if lease is not None:
        try:
            Supervision(lease, on_event).work()
        except LeaseLost:
            log.warning("run %s: another supervisor has taken over", run_id)
            return None
        except BaseException:
            # Our job is over, the training process is not: the sweeper's next job adopts it.
            lease.expire()
            raise
    return Run.objects.filter(pk=run_id, state__in=FINISHED).first()


def sweep() -> None:
    """Give the queue again what it has lost: waiting runs without a job, running ones whose supervisor is silent."""
    waiting = Run.objects.filter(state=RunState.QUEUED)
    abandoned = Run.objects.filter(state__in=(RunState.RUNNING, RunState.STOPPING), lease_expires_at__lt=timezone.now())
    try:
        for run in list(waiting.order_by("pk")):
            if not _job_waits(run) and not _job_starts(run):
                _requeue(run)
        for run in list(abandoned.order_by("pk")):
            if not _job_waits(run):
                _requeue(run)
    except redis.exceptions.RedisError as error:
        log.warning("the queue does not answer (%s); what waits is queued again once it does", error)


def _job_id(run: Run) -> str:
    """A fresh one each time: a job that is just ending must not take a new one of the same name with it."""
    return f"run-{run.pk}-{uuid.uuid4().hex[:12]}"


def _job(run: Run) -> Job | None:
    queue = django_rq.get_queue(run.queue)
    try:
        return Job.fetch(run.job_id, connection=queue.connection, serializer=queue.serializer)
    except NoSuchJobError:
        return None


def _job_waits(run: Run) -> bool:
    """Whether the run's last job stands in the queue."""
    job = _job(run)
    if job is None or job.get_status() != JobStatus.QUEUED:
        return False
    return django_rq.get_queue(run.queue).get_job_position(run.job_id) is not None or _young(job.enqueued_at)


def _job_starts(run: Run) -> bool:
    """Whether a worker took the job a moment ago, and has not come to take the lease."""
    job = _job(run)
    return job is not None and job.get_status() == JobStatus.STARTED and _young(job.started_at)


def _young(moment) -> bool:
    return moment is not None and timezone.now() - moment < timedelta(seconds=HANDOVER_SECONDS)


def _requeue(run: Run) -> None:
    """A new job for the run, unless its state has changed since it was looked at."""
    with transaction.atomic():
        job_id = _job_id(run)
        if Run.objects.filter(pk=run.pk, state=run.state, lease_token=run.lease_token).update(job_id=job_id):
            log.info("run %s is %s and nobody has it: queued again", run.pk, run.state)
            enqueue(run.queue, run.job, run.pk, job_id=job_id)
