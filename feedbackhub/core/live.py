"""Live pages: services publish to a group, consumers push to the browser. Nothing is lost when a push is."""

import logging
from functools import cache

import redis
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)
REFUSED = 4403


def publish(group: str, payload: dict) -> None:
    """Send `payload` to everyone who watches `group`, once the current transaction has committed.

    As the channel layer's group_send does, but without its event loop: a vote would wait for that.
    """

    def send() -> None:
        try:
            message = get_channel_layer().serialize({"type": "push", "payload": payload})
            prefix = settings.CHANNEL_LAYERS["default"]["CONFIG"]["prefix"]
            _connection().publish(f"{prefix}__group__{group}", message)
        except Exception as error:  # a page that misses a push reads the state from the database
            log.warning("could not publish to %s: %s", group, error)

    transaction.on_commit(send)


@cache
def _connection() -> redis.Redis:
    # Once more at once, for a server that was restarted; nobody waits for one that is gone.
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(settings.REDIS_URL, retry=retry, socket_connect_timeout=1, socket_timeout=1)


class PushConsumer(AsyncJsonWebsocketConsumer):
    """Push only. A subclass says which group a connection may watch; None refuses it with close code 4403."""

    async def group(self) -> str | None:
        raise NotImplementedError

    async def connect(self) -> None:
        self.group_name = await self.group()
        await self.accept()
        if self.group_name is None:
            await self.close(code=REFUSED)
            return
        await self.channel_layer.group_add(self.group_name, self.channel_name)
        await self.send_json({"type": "hello"})

    async def disconnect(self, code: int) -> None:
        if getattr(self, "group_name", None):
            await self.channel_layer.group_discard(self.group_name, self.channel_name)

    async def push(self, event: dict) -> None:
        await self.send_json(event["payload"])
