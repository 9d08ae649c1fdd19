"""A network between browser and server that loses, doubles and reorders requests, by a seed."""

import asyncio
import random
import threading
from collections import Counter

SLOWEST_S = 30


class ChaosProxy:
    """Passes HTTP requests to `port`, one a connection; what happens to a POST is drawn.

    pass · twice (two at once) · again_later (a copy arrives after later ones) · lose_answer (done, but nobody hears) ·
    lose_request · overtaken (nobody hears, and it arrives after later ones: the browser has sent it again by then)
    """

    WEIGHTS = {"pass": 62, "twice": 10, "again_later": 10, "lose_answer": 6, "lose_request": 6, "overtaken": 6}

    def __init__(self, port: int, seed: int):
        self.upstream, self.random = port, random.Random(seed)
        self.is_down = False
        self.done: Counter[str] = Counter()
        self._held: list[tuple[int, bytes]] = []  # (POSTs still to let pass, request)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SLOWEST_S)

    def deliver_all(self) -> None:
        """What is still held back arrives now."""
        self._run(self._deliver(everything=True))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _request(reader)
            if request and not self.is_down:
                writer.write(await self._pass(request))
                await writer.drain()
        except (OSError, EOFError):
            pass  # the server is dead, or the browser gone: the connection just ends
        finally:
            writer.close()

    async def _pass(self, request: bytes) -> bytes:
        """The answer to give; empty cuts the connection."""
        if not request.startswith(b"POST"):
            return await self._ask(request)
        what = self.random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
        later = self.random.randint(1, 4)
        self.done[what] += 1
        if what in ("again_later", "overtaken"):
            self._held.append((later, request))
        if what in ("lose_request", "overtaken"):
            return b""
        if what == "twice":
            answers = await asyncio.gather(self._ask(request), self._ask(request), return_exceptions=True)
            answer = next((one for one in answers if isinstance(one, bytes)), b"")
        else:
            answer = await self._ask(request)
        await self._deliver()
        return b"" if what == "lose_answer" else answer

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), SLOWEST_S)
        finally:
            writer.close()

    async def _deliver(self, *, everything: bool = False) -> None:
        """Count a POST that has passed; what was waiting for it arrives."""
        self._held = [(left - 1, request) for left, request in self._held]
        due = [request for left, request in self._held if everything or left <= 0]
        self._held = [(left, request) for left, request in self._held if not everything and left > 0]
        for request in due:
            try:
                await self._ask(request)
                self.done["late"] += 1
            except OSError:
                self._held.append((1, request))


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A whole request, asking for its connection to be closed; empty when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lines = [line for line in head.rstrip().split(b"\r\n") if not line.lower().startswith(b"connection:")]
    length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
    return b"\r\n".join([*lines, b"Connection: close", b"", b""]) + await reader.readexactly(length)
