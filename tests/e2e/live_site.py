"""The whole site as `make run` starts it, in a home of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from ports import free_port

ROOT = Path(__file__).parents[2]
TOKEN = "e2e-admin-token"


def wait_for(condition, *, seconds: float, what: str):
    """The condition's first true value; fails with `what` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


class Site:
    """`manage.py up` and the processes under it."""

    def __init__(self, home: Path):
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (home / "up.log").open("ab")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")},
            "FEEDBACKHUB_HOME": str(home),
            "PORT": str(self.port),
            "VALKEY_PORT": str(free_port()),
            "FEEDBACKHUB_ADMIN_TOKEN": TOKEN,
            "RUN_LEASE_SECONDS": "6",
            "LOG_LEVEL": "INFO",
        }
        self.process = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log
        )
        wait_for(self.answers, seconds=120, what=f"the site to answer; its log is {self.home / 'up.log'}")

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.home / "up.log").read_text()[-4000:]
        try:
            return urllib.request.urlopen(f"{self.url}/healthz", timeout=5).status == 200
        except OSError:
            return False

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(150)

    def processes(self, *words: str) -> list[psutil.Process]:
        """The descendants whose command line holds all these words."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if all(word in " ".join(child.cmdline()) for word in words):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def call(self, method: str, path: str, body: dict | None = None, token: str = TOKEN) -> tuple[int, dict]:
        """One API request. Raises OSError when nothing answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")


class Server:
    """The real server on the test's database, to be killed at any moment."""

    def __init__(self):
        self.port = free_port()
        from django.db import connection

        self.environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
            "ALLOWED_HOSTS": "127.0.0.1",
        }
        self.starts = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "feedbackhub.asgi:application", "--port", str(self.port)]
        command += ["--lifespan", "off", "--log-level", "error", "--no-access-log"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stderr=subprocess.DEVNULL)
        self.starts += 1

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status == 200
        except OSError:
            return False
