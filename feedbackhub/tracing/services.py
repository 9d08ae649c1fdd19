"""The LangSmith outbox. A vote's feedback is a row of the vote's own transaction; a job delivers it later.

Rows are written whether or not a key is set: without one they wait, the ledger shows what would be sent, and
setting a key sends them. Nothing in a rater's request ever talks to LangSmith.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from feedbackhub.core.compiled import insert
from feedbackhub.core.queue import enqueue
from feedbackhub.projects.models import Project

from .feedback import FeedbackRun, feedbacks_of
from .models import Delivery, DeliveryState, TracedRun

ATTEMPTS_AT_MOST = 20
WITHDRAWN = "withdrawn"


def enabled() -> bool:
    """Whether deliveries leave this machine: only where a key is set."""
    return bool(settings.LANGSMITH_API_KEY)


def session_name(project: Project) -> str:
    """The LangSmith project that this project's runs belong to."""
    return project.langsmith_project or settings.LANGSMITH_PROJECT


@transaction.atomic(savepoint=False)
def runs_traced(*, project: Project, runs: list[FeedbackRun]) -> None:
    """Let LangSmith know these outputs as runs, once each however often it is asked."""
    _enqueue_rows(_runs_of(project, runs))


def _runs_of(project: Project, runs: list[FeedbackRun]) -> Iterator[Delivery]:
    # In one order whoever saw them in which: two raters of one task would else wait for each other in a circle.
    runs = sorted(runs, key=lambda run: run.run_uuid)
    name = session_name(project)
    traced = [
        TracedRun(project=project, run_uuid=run.run_uuid, session_name=name, start_time=run.start_time) for run in runs
    ]
    new = set(insert(traced, or_ignore=True, returning="run_uuid"))
    for run in runs:
        if run.run_uuid not in new:
            continue
        yield Delivery(
            project=project,
            operation=Delivery.Operation.RUN_CREATE,
            target_id=run.run_uuid,
            dedupe_key=f"run:{run.run_uuid}",
            subject=f"output by {run.name}"[:80],
            payload={
                "name": run.name,
                "inputs": run.inputs,
                "outputs": run.outputs,
                "start_time": run.start_time.isoformat(),
                "end_time": run.end_time.isoformat(),
            },
        )


@transaction.atomic(savepoint=False)
def feedback_enqueue(
    *,
    project: Project,
    judgment_key: str,
    subject: str,
    kind: str,
    runs: list[FeedbackRun],
    none_acceptable: bool = False,
    comment: str = "",
    edits: bool = False,
) -> None:
    """Queue the feedback of a judgment.

    judgment_key: the key of the first judgment of its chain of edits, so that an edit changes the same feedback.
    subject: the row it tells of, as `judgment:17`; a second call for the same subject queues nothing.
    edits: the judgment supersedes an earlier one: change (PATCH) what LangSmith has.
    """
    operation = Delivery.Operation.FEEDBACK_UPDATE if edits else Delivery.Operation.FEEDBACK_CREATE
    feedbacks = (
        Delivery(
            project=project,
            operation=operation,
            target_id=target,
            dedupe_key=f"{subject}:{target}",
            subject=subject,
            payload=payload,
        )
        for target, payload in feedbacks_of(
            judgment_key=judgment_key, kind=kind, runs=runs, none_acceptable=none_acceptable, comment=comment
        )
    )
    _enqueue_rows(chain(_runs_of(project, runs), feedbacks))


@transaction.atomic
def feedback_withdraw(*, project: Project, judgment_key: str, subject: str, kind: str, runs: list[FeedbackRun]) -> None:
    """Queue the taking back of a judgment's feedback. Its score cannot be cleared, so its value says `withdrawn`."""
    feedbacks = feedbacks_of(judgment_key=judgment_key, kind=kind, runs=runs, none_acceptable=False, comment="")
    _enqueue_rows(
        Delivery(
            project=project,
            operation=Delivery.Operation.FEEDBACK_UPDATE,
            target_id=target,
            dedupe_key=f"{subject}:{target}",
            subject=subject,
            payload={"run_id": payload["run_id"], "key": payload["key"], "value": WITHDRAWN},
        )
        for target, payload in feedbacks
    )


def _enqueue_rows(rows: Iterable[Delivery]) -> None:
    now = timezone.now()
    rows = list(rows)
    for row in rows:
        row.next_attempt_at = now
    insert(rows, or_ignore=True)
    if rows and enabled():
        enqueue("default", "feedbackhub.tracing.jobs.deliver", job_id="tracing-deliver")


# --- What became of a delivery -----------------------------------------------------------------------------


def deliveries_claim(*, limit: int, now: datetime | None = None) -> list[Delivery]:
    """Up to `limit` deliveries that are due, oldest first, claimed for two minutes so that no other job sends them.

    A delivery waits for the earlier ones to the same target, and a feedback for its run.
    """
    now = now or timezone.now()
    due = Delivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now).order_by("id")
    claimed, blocked = [], set()
    for delivery in due[: 4 * limit]:
        needs = {delivery.target_id, uuid.UUID(delivery.payload["run_id"])} if "run_id" in delivery.payload else set()
        earlier = Delivery.objects.filter(target_id__in=needs, id__lt=delivery.id, state=DeliveryState.PENDING).exclude(
            id__in=[one.id for one in claimed]
        )
        if needs & blocked or earlier.exists():
            blocked.add(delivery.target_id)
            continue
        taken = Delivery.objects.filter(
            pk=delivery.pk, state=DeliveryState.PENDING, next_attempt_at=delivery.next_attempt_at
        ).update(next_attempt_at=now + timedelta(minutes=2))
        if taken:
            claimed.append(delivery)
        if len(claimed) == limit:
            break
    return claimed


def delivery_done(*, delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.DELIVERED, delivered_at=timezone.now(), last_error="", attempts=delivery.attempts + 1
    )


def delivery_missed(*, delivery: Delivery, error: str, final: bool) -> None:
    """Keep why it failed; try again later (5 s, doubling, at most an hour) unless `final` or tried often enough."""
    attempts = delivery.attempts + 1
    given_up = final or attempts >= ATTEMPTS_AT_MOST
    pause = timedelta(seconds=min(5 * 2 ** (attempts - 1), 3600))
    Delivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.FAILED if given_up else DeliveryState.PENDING,
        attempts=attempts,
        next_attempt_at=timezone.now() + pause,
        last_error=error[:2000],
    )


@transaction.atomic
def deliveries_retry(*, project: Project) -> int:
    """Give every given-up delivery of the project another life; returns how many."""
    count = Delivery.objects.filter(project=project, state=DeliveryState.FAILED).update(
        state=DeliveryState.PENDING, attempts=0, next_attempt_at=timezone.now()
    )
    if count and enabled():
        enqueue("default", "feedbackhub.tracing.jobs.deliver", job_id="tracing-deliver")
    return count


def session_id_store(*, session_name: str, session_id: uuid.UUID) -> None:
    TracedRun.objects.filter(session_name=session_name, session_id=None).update(session_id=session_id)


def sweep() -> None:
    """Queue a delivery job when something is due: after a backoff, a lost queue, or a key that was just set."""
    due = Delivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=timezone.now())
    if enabled() and due.exists():
        enqueue("default", "feedbackhub.tracing.jobs.deliver", job_id="tracing-deliver")
