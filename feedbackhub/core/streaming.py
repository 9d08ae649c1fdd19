"""Answers that are sent while they are made, so that no file is ever whole in memory."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed(request: HttpRequest, chunks: Iterator[bytes], **named) -> StreamingHttpResponse:
    """The chunks, none of them empty, each sent when it is there; `named` goes to StreamingHttpResponse.

    A server that is asynchronous would read a plain iterator to its end before it sends the first byte.
    """
    given = getattr(request, "_request", request)  # of REST framework's request, Django's
    return StreamingHttpResponse(_async_chunks(chunks) if isinstance(given, ASGIRequest) else chunks, **named)


async def _async_chunks(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = sync_to_async(next, thread_sensitive=False)
    while chunk := await following(chunks, b""):
        yield chunk
