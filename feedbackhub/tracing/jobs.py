"""Delivery to LangSmith, by its own client. The client's background queues lose silently, so they are all off."""

import logging
import uuid
from datetime import datetime

from django.conf import settings
from langsmith import Client
from langsmith import utils as langsmith
from urllib3.util import Retry

from . import services
from .models import Delivery, TracedRun

log = logging.getLogger(__name__)
BATCH = 100


def _client() -> Client:
    return Client(
        api_url=settings.LANGSMITH_ENDPOINT,
        api_key=settings.LANGSMITH_API_KEY,
        auto_batch_tracing=False,
        retry_config=Retry(total=0),
        timeout_ms=(5_000, 20_000),
        omit_traced_runtime_info=True,
    )


def deliver() -> None:
    """Send what is due until nothing is, or until a connection fails."""
    if not services.enabled():
        return
    client = _client()
    while claimed := services.deliveries_claim(limit=BATCH):
        for delivery in claimed:
            _deliver_one(client, delivery)


def _deliver_one(client: Client, delivery: Delivery) -> None:
    try:
        {
            Delivery.Operation.RUN_CREATE: _run_create,
            Delivery.Operation.FEEDBACK_CREATE: _feedback_create,
            Delivery.Operation.FEEDBACK_UPDATE: _feedback_update,
        }[delivery.operation](client, delivery)
    except langsmith.LangSmithConflictError:
        services.delivery_done(delivery=delivery)  # it has arrived before
    except Exception as error:
        final = _is_final(error)
        log.warning("LangSmith did not take %s (%s)%s", delivery, error, "; given up" if final else "")
        services.delivery_missed(delivery=delivery, error=f"{type(error).__name__}: {error}", final=final)
    else:
        services.delivery_done(delivery=delivery)


def _is_final(error: Exception) -> bool:
    """Refused for what it says (400, 413, 422), which will not change; everything else may pass."""
    response = getattr(error.__cause__ or error.__context__, "response", None)
    return getattr(response, "status_code", None) in (400, 413, 422)


def _traced(run_uuid: str | uuid.UUID) -> TracedRun | None:
    return TracedRun.objects.filter(run_uuid=run_uuid).first()


def _session_id(client: Client, traced: TracedRun) -> uuid.UUID:
    """LangSmith's id of the project, asked for once a project name."""
    if traced.session_id is None:
        known = TracedRun.objects.filter(session_name=traced.session_name, session_id__isnull=False).first()
        traced.session_id = known.session_id if known else client.create_project(traced.session_name, upsert=True).id
        services.session_id_store(session_name=traced.session_name, session_id=traced.session_id)
    return traced.session_id


def _run_create(client: Client, delivery: Delivery) -> None:
    traced, payload = _traced(delivery.target_id), delivery.payload
    start = datetime.fromisoformat(payload["start_time"])
    client.create_run(
        payload["name"],
        payload["inputs"],
        "llm",
        project_name=traced.session_name,
        id=delivery.target_id,
        session_id=_session_id(client, traced),
        trace_id=delivery.target_id,
        dotted_order=f"{start:%Y%m%dT%H%M%S%f}Z{delivery.target_id}",
        start_time=start,
        end_time=datetime.fromisoformat(payload["end_time"]),
        outputs=payload["outputs"],
    )


def _feedback_create(client: Client, delivery: Delivery) -> None:
    payload = dict(delivery.payload)
    traced = _traced(payload["run_id"])
    client.create_feedback(
        **payload,
        feedback_id=delivery.target_id,
        session_id=_session_id(client, traced),
        start_time=traced.start_time,
        stop_after_attempt=1,
    )


def _feedback_update(client: Client, delivery: Delivery) -> None:
    payload = delivery.payload
    client.update_feedback(
        delivery.target_id,
        score=payload.get("score"),
        value=payload.get("value"),
        comment=payload.get("comment"),
    )
