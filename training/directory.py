"""A run directory from the training process's side: its lock, its events, its log, its result, and the wish to stop."""

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from .errors import Held, Stopped, TrainingError
from .processes import ALONE, Processes, say
from .tensorboard import scalars_append


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of it, also after a power loss."""
    written = path.with_name(f"{path.name}.tmp")
    with written.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    written.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the renames in a directory last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: object) -> str:
    """One line of JSON; a number that is none (NaN, infinity) becomes null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value):
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


class RunDirectory:
    """One run directory, held by this process between `hold` and `release`.

    Everything that a recipe tells the world goes through here: status, metric, sample, warning, checkpoint, log.
    writes: whether this process is the one that writes files into it.
    """

    writes = True

    def __init__(self, path: Path):
        self.path = path.absolute()
        self.processes: Processes = ALONE
        self.stop_wanted = False
        self.attempt = 1
        self._lock: int | None = None
        self._status: dict = {}
        self._log_to_file = True

    # --- Holding it ----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Take the directory's lock; raises Held when another process has it. The process's end frees it too."""
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Held from None
        self._lock = lock
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "started": time.time()}).encode(), 0)
        self._log_to_file = not _is_stderr(self.path / "log.txt")
        self._mend_events()
        self.attempt = 1 + max((e["attempt"] for e in self.events() if isinstance(e.get("attempt"), int)), default=0)

    def release(self) -> None:
        """Give the directory back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def signals_watched(self) -> Iterator[None]:
        """Within it SIGTERM and Ctrl-C are a wish to stop, looked at by `check_stop`; a second Ctrl-C interrupts."""

        def wish(number, frame) -> None:
            # A launcher passes on the Ctrl-C that the terminal has sent to all of them already.
            if number == signal.SIGINT and self.stop_wanted and self.processes.count == 1:
                raise KeyboardInterrupt
            self.stop_wanted = True

        before = {number: signal.signal(number, wish) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check_stop(self) -> None:
        """Raise Stopped when somebody wants the run to stop. Called where all that must be kept is on disk."""
        if self.stop_wanted:
            raise Stopped

    # --- For a rehearsal (estimate.py), which overrides these -----------------------------------------------------

    def rows_fitted(self, name: str, rows: int, fitting) -> None:
        """Told how many of a file's rows had to be cut or dropped."""

    def training_begins(self, training) -> None:
        """Told before the first step, when everything is loaded."""

    # --- Reading it ----------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """run.json. Raises TrainingError when it is missing or no object."""
        path = self.path / "run.json"
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            message = f"{self.path} has no run.json. A run directory needs one; docs/training.md shows it."
            raise TrainingError("bad_run", message) from None
        except ValueError as error:
            raise TrainingError("bad_run", f"{path} is not JSON: {error}.") from None
        if not isinstance(spec, dict):
            raise TrainingError("bad_run", f"{path} must hold one JSON object.")
        return spec

    def result(self) -> dict | None:
        """result.json of an earlier attempt, if there is one."""
        try:
            return json.loads((self.path / "result.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def events(self) -> list[dict]:
        """The events so far; a torn line is passed over."""
        found = []
        with contextlib.suppress(FileNotFoundError), (self.path / "events.jsonl").open(encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [event for event in found if isinstance(event, dict)]

    # --- Writing it ----------------------------------------------------------------------------------------------

    def _mend_events(self) -> None:
        """End a line that a kill has torn, so that the next event has a line of its own; nothing is removed."""
        path = self.path / "events.jsonl"
        if path.exists() and path.stat().st_size and path.read_bytes()[-1:] != b"\n":
            with path.open("ab") as file:
                file.write(b"\n")

    def emit(self, type: str, **data) -> None:
        """Append an event."""
        line = to_json({"t": time.time(), "type": type, **data}) + "\n"
        descriptor = os.open(self.path / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())  # one write: a reader never sees half a line
        finally:
            os.close(descriptor)

    def status(self, phase: str | None = None, *, message: str | None = None, **changes) -> None:
        """Say where the run stands. What is not given stays as it was last said.

        phase: loading, sampling, training, evaluating, generating, saving. changes: status, step, max_steps,
        progress (0…1), eta_seconds.
        """
        known = {"status": "running", "phase": "loading", "step": 0, "max_steps": None, "progress": 0.0}
        self._status = {**known, "eta_seconds": None, **self._status, **changes}
        if phase and phase != self._status["phase"]:
            self.log(f"{phase}{': ' + message if message else ''}")
        elif message:
            self.log(message)
        self._status["phase"] = phase or self._status["phase"]
        if self.stop_wanted and self._status["status"] == "running":
            self._status["status"] = "stopping"
        self.emit("status", **self._status, attempt=self.attempt, message=message)

    def metric(self, *, step: int, epoch: float, split: str, values: dict) -> None:
        self.emit("metric", step=step, epoch=round(epoch, 4), split=split, values=values)
        scalars_append(self.path / "tensorboard", step, {f"{split}/{name}": value for name, value in values.items()})
        figures = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if isinstance(value, int | float))
        self.log(f"step {step:5}  {split:10}  {figures}")

    def warn(self, message: str) -> None:
        self.emit("warning", message=message)
        self.log(f"warning: {message}")

    def log(self, text: str) -> None:
        """A line for people: in log.txt and on stderr (once, where stderr is log.txt)."""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {text}"
        print(line, file=sys.stderr, flush=True)
        if self._log_to_file:
            with (self.path / "log.txt").open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def finish(self, result: dict) -> None:
        """Write result.json, whole, as the last thing."""
        write_whole(self.path / "result.json", json.dumps(_plain(result), ensure_ascii=False, indent=2) + "\n")


class Companion(RunDirectory):
    """A run directory that another process of the same run holds: it is read, and nothing is written."""

    writes = False

    def hold(self) -> None:
        """The main process does."""

    def emit(self, type: str, **data) -> None:
        pass

    def metric(self, *, step: int, epoch: float, split: str, values: dict) -> None:
        pass

    def log(self, text: str) -> None:
        """Only what nobody foresaw."""
        if text.startswith("Traceback"):
            say(text)

    def finish(self, result: dict) -> None:
        pass


def _is_stderr(path: Path) -> bool:
    """Whether stderr goes to this very file (a supervisor may have sent it there)."""
    try:
        return os.path.samestat(os.fstat(2), path.stat())
    except OSError:
        return False
