"""Child processes: started, their output told apart, started again when they die, and ended with all they forked.

Each child leads a session of its own. Ctrl-C in a terminal therefore reaches nobody but the supervisor, and whatever a
child forks can be found by its session also when its parent is gone (an RQ worker's job outlives a killed worker).
Training processes lead sessions of their own on purpose (they outlive workers); they are found by their command line.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

POLL_SECONDS = 0.1
BACKOFF_AT_MOST = 30.0
STEADY_SECONDS = 30.0  # a child that lived this long is not failing: its next restart is quick again
KILL_SECONDS = 5.0
JOB_SECONDS = 10.0  # for a worker's job to write down what became of its training process
COLOURS = (36, 33, 32, 35, 34, 31)
NAME_WIDTH = 8


class Console:
    """One stdout for all: whole lines, each after the name of whoever says it."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        self.coloured = self.stream.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._names: dict[str, int] = {}

    def say(self, name: str, line: str) -> None:
        with self._lock:
            colour = self._names.setdefault(name, COLOURS[len(self._names) % len(COLOURS)])
            label = f"{name:<{NAME_WIDTH}} │"
            if self.coloured:
                label = f"\x1b[{colour}m{label}\x1b[0m"
            # A closed terminal must not stop the reading: a child that cannot write stands still.
            with suppress(OSError, ValueError):
                self.stream.write(f"{label} {line.rstrip()}\n")
                self.stream.flush()


# --- Sessions: a child and all that it forked ------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """The session that a child leads: its process id, and when that process was created (Unix seconds)."""

    name: str
    pid: int
    created: float

    def members(self) -> list[psutil.Process]:
        """Its living processes. Empty when its number was given to another process since."""
        with suppress(psutil.Error):
            if abs(psutil.Process(self.pid).create_time() - self.created) > 1.0:
                return []
        return [process for process in psutil.process_iter() if _session_of(process) == self.pid]


def _session_of(process: psutil.Process) -> int | None:
    try:
        number = os.getsid(process.pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else number
    except (OSError, psutil.Error):
        return None


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _leader_or_members(session: Session) -> list[psutil.Process]:
    members = session.members()
    return [process for process in members if process.pid == session.pid] or members


def sessions_end(sessions: list[Session], *, seconds: float, hurry: threading.Event | None = None) -> list[str]:
    """End these sessions: SIGTERM to their leaders, and SIGKILL to what is left after `seconds` or when `hurry` is set.

    Returns the names of those that had to be killed.
    """
    for session in sessions:
        _signal(_leader_or_members(session), signal.SIGTERM)
    left = _sessions_wait(sessions, seconds=seconds, hurry=hurry)
    _sessions_kill(left)
    return [session.name for session in left]


def _sessions_wait(sessions: list[Session], *, seconds: float, hurry: threading.Event | None) -> list[Session]:
    """Those that still have members after `seconds`, or when `hurry` is set."""
    deadline = time.monotonic() + seconds
    while (left := [session for session in sessions if session.members()]) and time.monotonic() < deadline:
        if hurry is not None and hurry.is_set():
            break
        time.sleep(POLL_SECONDS)
    return left


def _sessions_kill(sessions: list[Session]) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while (left := [one for session in sessions for one in session.members()]) and time.monotonic() < deadline:
        _signal(left, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def training_sessions(runs: Path, *, under: list[Session] | None = None) -> list[Session]:
    """The training processes at work in a run directory under `runs`, each with all that it forked.

    under: only those that processes of these sessions have started.
    """
    wanted = f"training run {runs}{os.sep}"
    starters = None if under is None else {session.pid for session in under}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if wanted not in " ".join(process.cmdline()) or _session_of(process) != process.pid:
                continue
            if starters is None or starters & {_session_of(parent) for parent in process.parents()}:
                found.append(Session("training run", process.pid, process.create_time()))
    return found


def training_end(
    training: Callable[[], list[Session]], workers: list[Session], *, seconds: float, hurry: threading.Event
) -> list[str]:
    """End training processes and the workers that watch them, who want to write down how each one ended.

    A training process checkpoints on SIGTERM; after `seconds` in all it is killed, and resumes from its last
    checkpoint. A worker whose job is no training (an import) gets a few seconds; the sweeper queues that job again.

    training: says which ones there are now. Returns the names of what had to be killed.
    """
    for session in workers:
        _signal(_leader_or_members(session), signal.SIGTERM)  # to the worker, not its job: it takes no new one
    asked: set[Session] = set()
    deadline = time.monotonic() + seconds
    while (active := training()) and time.monotonic() < deadline and not hurry.is_set():
        for session in set(active) - asked:  # a worker may have started another just now
            _signal(_leader_or_members(session), signal.SIGTERM)
            asked.add(session)
        time.sleep(POLL_SECONDS)
    _sessions_kill(active)
    left = _sessions_wait(workers, seconds=JOB_SECONDS, hurry=hurry)
    _sessions_kill(left)
    return [session.name for session in [*active, *left]]


# --- One child -------------------------------------------------------------------------------------------------------


@dataclass
class Child:
    """A process that is to be there: started, and started again with growing pauses whenever it ends."""

    name: str
    command: list[str]
    environment: dict[str, str]
    console: Console
    directory: Path
    on_start: Callable[[], None] = lambda: None
    data: Path | None = None  # its own folder, made anew whenever it is gone
    alone: bool = False  # what a dead one has forked is ended before the next is started: it would hold the port
    process: subprocess.Popen | None = None
    sessions: list[Session] = field(default_factory=list)  # this one's and, while anything of them lives, earlier ones
    failures: int = 0
    _started_at: float = 0.0
    _due_at: float = 0.0

    def start(self) -> None:
        if self.data:
            self.data.mkdir(parents=True, exist_ok=True)
        if self.alone:
            _sessions_kill(self.sessions)
        self.process = subprocess.Popen(
            self.command,
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        created = psutil.Process(self.process.pid).create_time()
        self.sessions = [session for session in self.sessions if session.members()]
        self.sessions.append(Session(self.name, self.process.pid, created))
        threading.Thread(target=self._forward, args=(self.process.stdout,), daemon=True).start()
        self.on_start()

    def _forward(self, lines) -> None:
        for line in lines:
            self.console.say(self.name, line)

    def tend(self) -> None:
        """Start it when it is due; notice its end."""
        if self.process is None:
            if time.monotonic() >= self._due_at:
                self.start()
            return
        if (code := self.process.poll()) is None:
            return
        if time.monotonic() - self._started_at > STEADY_SECONDS:
            self.failures = 0
        pause = min(BACKOFF_AT_MOST, 0.5 * 2**self.failures)
        self.failures += 1
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.console.say("up", f"{self.name} {how}; starting it again in {pause:g} s")
        self.process, self._due_at = None, time.monotonic() + pause


# --- One supervisor a home -------------------------------------------------------------------------------------------


class Taken(Exception):
    """Another supervisor is at work on this home. `record` is what it wrote: pid, url, sessions."""

    def __init__(self, record: dict):
        super().__init__(record)
        self.record = record


class Home:
    """The right to supervise one FEEDBACKHUB_HOME: a lock on up.json, which also names what was started.

    The lock goes when its holder does, however that ends; the sessions named in the file are what it left behind.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("a+")
        self.record: dict = {}

    def take(self) -> list[Session]:
        """Take the right. Returns the sessions that an earlier holder left; raises Taken."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(self._read()) from None
        return [Session(**session) for session in self._read().get("sessions", [])]

    def _read(self) -> dict:
        try:
            record = json.loads(self.path.read_text())
            return record if isinstance(record, dict) else {}
        except (OSError, ValueError):
            return {}

    def write(self, *, url: str, sessions: Iterable[Session]) -> None:
        """Name what is running, for whoever must clean up after us."""
        content = json.dumps({"pid": os.getpid(), "url": url, "sessions": [asdict(session) for session in sessions]})
        self._file.seek(0)
        self._file.truncate()
        self._file.write(content + "\n")
        self._file.flush()

    def clear(self) -> None:
        """Nothing of ours is left. The file stays: whoever removes it could lock out nobody."""
        self._file.seek(0)
        self._file.truncate()
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def leftovers_end(sessions: list[Session], *, hurry: threading.Event | None = None) -> list[str]:
    """End what a supervisor left that was killed: the queue's server last. Training processes go on, to be adopted.

    Returns the names of what was found.
    """
    ours = os.getsid(0)
    alive = [session for session in sessions if session.pid != ours and session.members()]
    sessions_end([session for session in alive if session.name != "valkey"], seconds=10, hurry=hurry)
    sessions_end([session for session in alive if session.name == "valkey"], seconds=10, hurry=hurry)
    return [session.name for session in alive]
