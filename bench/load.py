"""Raters over HTTP: a client that costs little, for it shares the cores with the server that it measures."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from statistics import median, quantiles


class Browser:
    """One kept-alive HTTP/1.1 connection with headers of its own; connects again when the server has closed it."""

    def __init__(self, port: int, headers: dict[str, str]):
        self.port = port
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.reader: asyncio.StreamReader | None = None

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """(status, the answer read as JSON, None where it is empty)"""
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self.headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        if self.reader is None or self.reader.at_eof():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(head.encode() + data)
        status, answer = await self._answer()
        return status, json.loads(answer) if answer else None

    async def _answer(self) -> tuple[int, bytes]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        status = int(first.split()[1])
        if headers.get("transfer-encoding") == "chunked":
            answer = await self._chunks()
        else:
            answer = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return status, answer

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
    """Seconds of requests, and how long all of them took together."""

    seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def clock(self) -> "_Clock":
        return _Clock(self.seconds)

    def figures(self) -> dict:
        return {
            "votes": len(self.seconds),
            "votes_a_second": len(self.seconds) / (time.perf_counter() - self.started),
            "median_ms": 1000 * median(self.seconds),
            "p95_ms": 1000 * quantiles(self.seconds, n=20)[-1],
            "max_ms": 1000 * max(self.seconds),
        }


class _Clock:
    def __init__(self, seconds: list[float]):
        self.seconds = seconds

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *error) -> None:
        self.seconds.append(time.perf_counter() - self.start)
