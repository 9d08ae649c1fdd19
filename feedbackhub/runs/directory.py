"""A run directory on disk: written whole or not at all; who holds it; what its training process left in it."""

import fcntl
import json
import logging
import os
import shutil
import signal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from feedbackhub.core.json_reading import json_read

log = logging.getLogger(__name__)
STATUSES = ("completed", "stopped", "failed")
LOG_BYTES_AT_MOST = 256 * 1024


def directory_stage(root: Path, *, spec: dict, files: dict[str, Iterable[dict]]) -> Path:
    """Write run.json and the data files into a hidden directory beside their later place; rows are streamed.

    files: path inside the directory (`data/train.jsonl`) → rows.
    """
    staged = root / f".staged-{uuid.uuid4().hex}"
    staged.mkdir(parents=True)
    try:
        for name, rows in files.items():
            path = staged / name
            if not path.resolve().is_relative_to(staged.resolve()):
                raise ValueError(f'data file "{name}" lies outside the run directory')
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (staged / "run.json").write_text(json.dumps(spec, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return staged


def directory_place(staged: Path, directory: Path) -> None:
    """Move a staged directory to its place in one rename.

    A directory may stand there already: of a transaction that was rolled back after it, or of an earlier database
    in the same FEEDBACKHUB_HOME. It is nobody's, but may hold somebody's adapter: it is moved aside, not deleted.
    """
    if directory.exists():
        directory.rename(directory.with_name(f"{directory.name}.aside-{uuid.uuid4().hex[:8]}"))
    staged.rename(directory)


@dataclass(frozen=True)
class Holder:
    """The process that wrote itself into the lock file: it lives still, and the number was not given to another."""

    pid: int

    def signal(self, number: int) -> bool:
        """Send it a signal; False when it has just ended or belongs to another user."""
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def lock_is_held(directory: Path) -> bool:
    """Whether a process holds the directory's lock right now."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_written(directory: Path) -> tuple[int, float] | None:
    """(pid, Unix seconds) from the lock file that its holder wrote, or None."""
    try:
        written = json_read((directory / "lock").read_text())
        return int(written["pid"]), float(written["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock_holder(directory: Path) -> Holder | None:
    """The living process named in the lock file, or None.

    A process that was created after the lock was written is another one that got the same number.
    """
    if (written := _lock_written(directory)) is None:
        return None
    pid, started = written
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + 1.0
    except psutil.NoSuchProcess:
        return None
    return Holder(pid) if alive else None


def group_kill(leader: int) -> None:
    """SIGKILL what is left of a training process's own session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def orphans_kill(directory: Path) -> None:
    """End what a dead holder forked: its workers share the lock's open file, and would hold it for ever."""
    if (written := _lock_written(directory)) is None:
        return
    pid, _ = written
    try:
        dead = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        # While a member of its group lives, the kernel gives the number to no other process.
        dead = True
    if dead:
        group_kill(pid)


def result_read(directory: Path) -> dict | None:
    """result.json, or None when there is none that can be read as one."""
    try:
        result = json_read((directory / "result.json").read_text(), parse_constant=lambda name: None)
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("status") in STATUSES else None


def result_discard(directory: Path) -> None:
    """Remove an earlier try's result, so that the next one found is the next try's."""
    (directory / "result.json").unlink(missing_ok=True)


def rows_read(path: Path) -> Iterator[dict]:
    """The object of each line of a .jsonl file that a run wrote; what a kill has left of a line is passed over."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json_read(line, parse_constant=lambda name: None)
            except ValueError:
                row = None
            if isinstance(row, dict):
                yield row
            else:
                log.warning("%s, line %s is no JSON object: passed over", path, number)


def log_tail(directory: Path, lines: int) -> str:
    """The last `lines` lines of log.txt (at most 256 KiB), or "" when nothing was logged yet."""
    try:
        with (directory / "log.txt").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES_AT_MOST))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
