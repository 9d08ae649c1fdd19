"""Several processes that make one training, as a launcher starts them."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from ports import free_port
from training_cast import FORKS

from training.run import run


def _one(folder, rank: int, count: int, port: int, before) -> None:
    if before:
        before()
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.exit(run(folder))


class Launched:
    """A run directory at work in `count` processes; as a context, none of them outlives it.

    last: what the last one does before all else.
    """

    def __init__(self, folder, count: int = 2, last: Callable | None = None):
        port = free_port()
        self.folder = folder
        before = [None] * (count - 1) + [last]
        self.processes = [
            FORKS.Process(target=_one, args=(folder, rank, count, port, before[rank])) for rank in range(count)
        ]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.kill()

    def wait_for_step(self, step: int) -> None:
        path = self.folder / "events.jsonl"
        deadline = time.monotonic() + 120
        while not path.exists() or f'"step": {step},' not in path.read_text():
            assert time.monotonic() < deadline, "that step did not come"
            assert all(process.is_alive() for process in self.processes), "a process ended before that step"
            self.processes[0].join(0.005)

    def ended(self) -> list[int]:
        """Their exit codes."""
        for process in self.processes:
            process.join(120)
        return [process.exitcode for process in self.processes]
