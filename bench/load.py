"""Raters over HTTP: a client that costs little, for it shares the cores with the server that it measures."""

import asyncio
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    def json(self) -> object:
        return json.loads(self.text) if self.text else None


class Browser:
    """One kept-alive HTTP/1.1 connection with headers of its own and cookies, opened anew where it was closed."""

    def __init__(self, port: int, headers: dict[str, str]):
        self.port = port
        self.headers = [f"{name}: {value}" for name, value in headers.items()]
        self.cookies: dict[str, str] = {}
        self.reader: asyncio.StreamReader | None = None

    async def send(self, method: str, path: str, body: object = None, form: dict | None = None) -> Answer:
        """body: sent as JSON; form: sent as a form. Redirects are not followed."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *self.headers]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        data = b""
        if form is not None:
            lines.append("Content-Type: application/x-www-form-urlencoded")
            data = urlencode(form).encode()
        elif body is not None:
            lines.append("Content-Type: application/json")
            data = json.dumps(body).encode()
        head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
        if self.reader is None or self.reader.at_eof():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(head.encode() + data)
        return await self._answer()

    async def _answer(self) -> Answer:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = [line.split(": ", 1) for line in lines if ": " in line]
        for name, value in named:
            if name.lower() == "set-cookie":
                cookie, _, value = value.partition(";")[0].partition("=")
                self.cookies[cookie] = value
        headers = {name.lower(): value.lower() for name, value in named}
        if headers.get("transfer-encoding") == "chunked":
            text = await self._chunks()
        else:
            text = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(first.split()[1]), text.decode())

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        if self.reader is not None:
            self.writer.close()
        self.reader = None


@dataclass
class Took:
    """Seconds of requests, and from when to when they were sent."""

    seconds: list[float] = field(default_factory=list)
    began: float = math.inf
    ended: float = 0

    def begin(self) -> None:
        self.began = min(self.began, time.perf_counter())

    def end(self) -> None:
        self.ended = max(self.ended, time.perf_counter())

    @contextmanager
    def clock(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - start)

    def figures(self) -> dict:
        return {
            "votes": len(self.seconds),
            "votes_a_second": len(self.seconds) / (self.ended - self.began),
            "median_ms": 1000 * median(self.seconds),
            "p95_ms": 1000 * quantiles(self.seconds, n=20)[-1],
            "max_ms": 1000 * max(self.seconds),
        }
