"""`manage.py up` as a person starts it, in a home of its own."""

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


def wait_until(condition, *, seconds: float = 120, what: str):
    """The condition's first true value; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.05)
    return value


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Up:
    """One `manage.py up`. Everything that it or its children start is in `family()`."""

    def __init__(self, home: Path, **environment: str):
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "up.log"
        unwanted = ("REDIS_URL", "DATABASE_URL", "TEST_DATABASE")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in unwanted},
            "FEEDBACKHUB_HOME": str(home),
            "PORT": str(self.port),
            "VALKEY_PORT": str(free_port()),
            "LOG_LEVEL": "INFO",
            **environment,
        }
        self.process: subprocess.Popen | None = None

    def start(self) -> "Up":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        return self

    def ready(self) -> "Up":
        if self.process is None:
            self.start()
        wait_until(lambda: "FeedbackHub is ready" in self.said(), seconds=180, what=f"the site to be ready: {self.log}")
        return self

    def said(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_text()

    def ended(self) -> tuple[int, str]:
        """(exit code, all that it said) of one that ends by itself."""
        code = self.process.wait(180)
        return code, self.log.read_text()

    def healthy(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/healthz", timeout=5).status == 200
        except OSError:
            return False

    def call(self, path: str, token: str) -> tuple[int, dict]:
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Token {token}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, {}

    def children(self) -> dict[str, psutil.Process]:
        """The living children by name."""
        sessions = json.loads((self.home / "up.json").read_text() or "{}").get("sessions", [])
        found = {}
        for session in sessions:
            if psutil.pid_exists(session["pid"]) and alive(process := psutil.Process(session["pid"])):
                found[session["name"]] = process
        return found

    def family(self) -> list[psutil.Process]:
        """The supervisor, its descendants, and training processes of this home whoever their parent is by now."""
        supervisor = psutil.Process(self.process.pid)
        return list({supervisor, *supervisor.children(recursive=True), *self.training()})

    def training(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if f"training run {self.home / 'runs'}" in " ".join(process.info["cmdline"] or []) and alive(process):
                found.append(process)
        return found

    def python(self, code: str) -> str:
        """What `code` prints, run in a process of its own on this home's database and queue."""
        command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
        environment = {**self.environment, "LOG_LEVEL": "WARNING"}
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    def workers(self, *queues: str) -> subprocess.Popen:
        """`manage.py workers`, beside this one on the same home."""
        command = [sys.executable, "manage.py", "workers", *queues]
        with (self.home / "workers.log").open("wb") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def clean_up(self) -> None:
        """After a test, whatever came of it."""
        if self.process is None:
            return
        left = self.family() if self.process.poll() is None else self.training()
        left += list(self.children().values())
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in filter(alive, left):
            process.kill()
