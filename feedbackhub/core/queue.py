"""Queueing. A job is only ever a hint that a row wants work: it carries ids, runs again harmlessly, and may be lost."""

import logging

import django_rq
import redis

log = logging.getLogger(__name__)


def enqueue(queue: str, function: str, *args, job_id: str | None = None) -> None:
    """Queue `function` (dotted path) with JSON-able `args`, after the current transaction has committed.

    queue: `default` or `training`.
    job_id: give the same one for the same work. A queue that is down is logged, not raised: the sweeper will
    enqueue the work again once it is back.
    """
    from django.db import transaction

    def send() -> None:
        try:
            django_rq.get_queue(queue, commit_mode="auto").enqueue(function, args=args, job_id=job_id, result_ttl=0)
        except redis.exceptions.RedisError as error:
            log.warning("could not queue %s%s (%s); the sweeper will", function, args, error)

    transaction.on_commit(send)
