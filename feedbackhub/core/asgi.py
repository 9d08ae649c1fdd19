"""Requests in threads that stay.

Django's own handler makes a thread for each request, and with it a database connection, and goes to that thread and
back for each middleware. All our views and middlewares are synchronous: here a request goes to one of a few lasting
threads once, and finds its connection, with the statements that PostgreSQL has prepared for it, open.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import IO

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse

# Altogether, in WEB_PROCESSES: each keeps a connection to the database open, and PostgreSQL gives out 100.
THREADS = 64
THREADS_AT_MOST = 32  # in one process
# How long one thread may keep the others from running. Whoever waits for a database gives way at each statement, and
# would at Python's 5 ms wait long for their next turn, with rows locked.
SWITCH_SECONDS = 0.0005


class BodyRead:
    """An ASGI receive whose request's body has been read."""

    def __init__(self, receive: Callable, body: IO[bytes]):
        self.receive, self.body = receive, body

    async def __call__(self) -> dict:
        return await self.receive()


class ThreadsHandler(ASGIHandler):
    """As many requests at once as there are threads; the others wait, first come first served."""

    def __init__(self):
        super().__init__()
        self.idle: asyncio.LifoQueue[ThreadPoolExecutor] = asyncio.LifoQueue()
        for number in range(min(THREADS_AT_MOST, max(1, THREADS // settings.WEB_PROCESSES))):
            self.idle.put_nowait(ThreadPoolExecutor(1, thread_name_prefix=f"request-{number}"))

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope, receive, send) -> None:
        try:
            body = await super().read_body(receive)  # before a thread is taken: whoever sends slowly holds none
        except RequestAborted:
            return
        thread = await self.idle.get()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle(scope, BodyRead(receive, body), send)
        finally:
            self.idle.put_nowait(thread)

    async def read_body(self, receive: BodyRead) -> IO[bytes]:
        return receive.body

    async def get_response_async(self, request: HttpRequest) -> HttpResponse:
        return await sync_to_async(self.get_response)(request)


def application() -> ThreadsHandler:
    django.setup(set_prefix=False)
    sys.setswitchinterval(SWITCH_SECONDS)
    handler = ThreadsHandler()
    import_module(settings.ROOT_URLCONF)  # else loaded with the first request
    # What is loaded by now stays: the collector, which holds everybody up, need not go through it again and again.
    gc.collect()
    gc.freeze()
    return handler
