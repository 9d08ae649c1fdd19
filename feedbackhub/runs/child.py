"""The training process: started in a session of its own, without our secrets; or found at work and adopted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

from feedbackhub.core.endpoints import is_operators

from .directory import group_kill, lock_holder, lock_is_held, orphans_kill

HELD_BY_ANOTHER = 3
DYING_SECONDS = 10  # what the killed may take to be gone
SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|^DATABASE_URL|^REDIS_URL|^(LANGSMITH|LANGCHAIN|OPENAI|ANTHROPIC|DJANGO)_"
)
URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def child_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment for a training process: ours without anything that looks like a secret, by name or by value."""
    return {
        name: value
        for name, value in environment.items()
        if not SECRET_NAME.search(name.upper()) and not URL_WITH_PASSWORD.search(value)
    }


def key_for(directory: Path) -> dict[str, str]:
    """The endpoint's key for a run whose base is the operator's own endpoint; nothing for any other."""
    base = json.loads((directory / "run.json").read_text(encoding="utf-8")).get("base")
    url = base.get("endpoint") if isinstance(base, dict) else None
    return {"OPENAI_API_KEY": settings.OPENAI_API_KEY} if url and is_operators(url) and settings.OPENAI_API_KEY else {}


class Child:
    """The training process of one run directory, ours or adopted.

    An adopted one was started by a supervisor that is gone: it is watched through the directory's lock, and its
    exit code stays unknown.
    """

    def __init__(self, directory: Path, process: subprocess.Popen | None):
        self.directory = directory
        self.process = process
        self.exit_code: int | None = None

    @classmethod
    def start(cls, directory: Path) -> "Child":
        """Start `python -m training run DIR`; OSError when the interpreter cannot be started."""
        command = [settings.TRAINING_PYTHON or sys.executable, "-m", "training", "run", str(directory)]
        with (directory / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env={**child_environment(dict(os.environ)), **key_for(directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: neither Ctrl-C nor the end of the worker's process group reaches it.
                start_new_session=True,
            )
        return cls(directory, process)

    @classmethod
    def adopt(cls, directory: Path) -> "Child":
        return cls(directory, None)

    @property
    def adopted(self) -> bool:
        return self.process is None

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for its end (an adopted one is only looked at). True when it has ended.

        One that finds the directory held by another process turns into that one.
        """
        if self.process is None:
            orphans_kill(self.directory)
            return not lock_is_held(self.directory)
        try:
            self.exit_code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        if self.exit_code == HELD_BY_ANOTHER and lock_is_held(self.directory):
            self.process, self.exit_code = None, None
            return False
        group_kill(self.process.pid)
        self._lock_wait()
        return True

    def _lock_wait(self) -> None:
        """Until the killed have let go of the directory: who looks next would take them for a process to follow."""
        until = time.monotonic() + DYING_SECONDS
        while lock_is_held(self.directory) and time.monotonic() < until:
            time.sleep(0.01)

    def terminate(self) -> bool:
        """Ask it to write a checkpoint and stop. False when an adopted one cannot be told apart yet."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            return True
        holder = lock_holder(self.directory)
        return holder is not None and holder.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and whatever it started, without asking."""
        if self.process is not None:
            group_kill(self.process.pid)
        elif holder := lock_holder(self.directory):
            holder.signal(signal.SIGKILL)
