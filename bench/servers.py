"""The real servers that a benchmark needs, each for as long as its `with` lasts."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests import postgres
from tests.ports import free_port


@contextmanager
def running(command: list, *, ready: str = "", **options) -> Iterator[subprocess.Popen]:
    """A process, from when the address `ready` answers."""
    process = subprocess.Popen(list(map(str, command)), **options)
    try:
        if ready:
            answers(ready, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """A Valkey; its URL."""
    from feedbackhub.core.valkey import valkey_command, valkey_wait

    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with running(valkey_command(port=port, directory=folder)) as process:
        valkey_wait(url, process=process)
        yield url


def postgresql(folder: Path) -> AbstractContextManager[str]:
    """A PostgreSQL with its own defaults, fsync among them; its DATABASE_URL."""
    return postgres.running(folder, free_port())


def feedbackhub(port: int) -> AbstractContextManager:
    """The site on this home and database, served as `manage.py up` serves it."""
    from feedbackhub.core.management.commands.up import web_command

    command = web_command("127.0.0.1", port)
    return running(command, ready=f"http://127.0.0.1:{port}/healthz", env=dict(os.environ))


def answers(url: str, process: subprocess.Popen, seconds: float = 120) -> None:
    """Return once `url` answers, whatever it says; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                raise TimeoutError(f"the server of {url} has ended with exit code {process.returncode}") from None
            time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer after {seconds} s")


def venv(folder: Path, *packages: str) -> Path:
    """A virtual environment with these packages, made once; its bin folder."""
    done = folder / "installed"
    if not done.exists() or done.read_text() != " ".join(packages):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)
        done.write_text(" ".join(packages))
    return folder / "bin"
