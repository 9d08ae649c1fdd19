"""Live pages: services publish to a group, consumers push to the browser. Nothing is lost when a push is."""

import logging

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)
REFUSED = 4403


def publish(group: str, payload: dict) -> None:
    """Send `payload` to everyone who watches `group`, once the current transaction has committed."""

    def send() -> None:
        try:
            async_to_sync(get_channel_layer().group_send)(group, {"type": "push", "payload": payload})
        except Exception as error:  # a page that misses a push reads the state from the database
            log.warning("could not publish to %s: %s", group, error)

    transaction.on_commit(send)


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
