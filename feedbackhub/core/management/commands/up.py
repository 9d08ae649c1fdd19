"""`manage.py up`: the whole site on one machine. Ctrl-C or SIGTERM ends it, and every process that it started."""

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from feedbackhub.core.management.commands.workers import worker_command, worker_environment
from feedbackhub.core.supervise import (
    Child,
    Console,
    Home,
    Session,
    Taken,
    leftovers_end,
    sessions_end,
    training_end,
    training_sessions,
)
from feedbackhub.core.valkey import valkey_command, valkey_wait

WORKERS = {"worker-1": "default", "worker-2": "default", "training": "training", "chat": "chat"}
TICK_SECONDS = 0.2
READY_SECONDS = 60
WEB_STARTS_AT_MOST = 3  # before it has answered once


class Command(BaseCommand):
    help = "Start everything on this machine: Valkey, migrations, base model, demo project, workers, sweeper, server."
    requires_system_checks = ()  # the server's own process checks; here they would only delay the start

    def handle(self, *args, **options):
        self.console = Console(self.stdout._out)
        self.over = threading.Event()  # somebody wants an end
        self.hurry = threading.Event()  # … and asked a second time
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup keeps it alive
                signal.signal(number, self._wish)
        self.host = os.environ.get("FEEDBACKHUB_HOST", "127.0.0.1")
        self.port = _port_number(os.environ.get("PORT", "8000"))
        self.url = f"http://{'127.0.0.1' if self.host in ('0.0.0.0', '::') else self.host}:{self.port}/"
        self.environment = worker_environment()
        self.children: list[Child] = []
        self.home = Home(settings.FEEDBACKHUB_HOME / "up.json")
        self._home_take()
        try:
            _port_check(self.host, self.port)
            self._up()
        finally:
            self._down()
            self.home.clear()
            self.home.close()

    def _wish(self, number, frame) -> None:
        if self.over.is_set():
            self.hurry.set()
        self.over.set()

    def _say(self, line: str) -> None:
        self.console.say("up", line)

    # --- Before anything is started --------------------------------------------------------------------------------

    def _home_take(self) -> None:
        """Take the right to this home, and end what was left of a supervisor that was killed."""
        deadline = time.monotonic() + 30
        while True:
            try:
                left = self.home.take()
                break
            except Taken as taken:
                pid, url = taken.record.get("pid"), taken.record.get("url", "another address")
                # A killed one's sweeper holds the home for the seconds in which it cleans up.
                if pid and not psutil.pid_exists(pid) and time.monotonic() < deadline:
                    time.sleep(TICK_SECONDS)
                    continue
                raise CommandError(
                    f"FeedbackHub is running already on {settings.FEEDBACKHUB_HOME} (process {pid}, {url}). Stop that "
                    "one first, or set FEEDBACKHUB_HOME to another folder."
                ) from None
        if found := leftovers_end(left, hurry=self.hurry):
            self._say(f"an earlier one was killed and had left {', '.join(sorted(found))}: stopped")
        _valkey_port_file().unlink(missing_ok=True)

    # --- Up ----------------------------------------------------------------------------------------------------------

    def _up(self) -> None:
        self._queue_up()
        self._database_up()
        self._base_model_up()
        self._demo_up()
        if self.over.is_set():
            return
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # WhiteNoise warns when it is not there
        web = self._child("web", *web_command(self.host, self.port), alone=True)
        sign_ins = self._sign_ins()
        if not self._ready(web):
            return
        # Only now: beside the server they would make whoever waits for it wait longer.
        for name, queue in WORKERS.items():
            self._child(name, *worker_command(queue))
        self._child("sweeper", *_manage("sweep", "--supervised-by", str(os.getpid())))
        for line in (f"FeedbackHub is ready at {self.url}", *sign_ins, "Ctrl-C stops it."):
            self._say(line)
        # Checking whether the demo's passwords still hold takes a second: not when the first person comes.
        threading.Thread(target=_visit, args=(f"{self.url}sign-in/",), daemon=True).start()
        while not self.over.wait(TICK_SECONDS):
            self._tend()

    def _child(self, name: str, *command: str, **options) -> Child:
        where = (self.environment, self.console, settings.BASE_DIR)
        child = Child(name, list(command), *where, on_start=self._record, **options)
        self.children.append(child)
        child.start()
        return child

    def _record(self) -> None:
        self.home.write(url=self.url, sessions=self._sessions())

    def _sessions(self, *names: str) -> list[Session]:
        return [session for child in self.children if not names or child.name in names for session in child.sessions]

    def _tend(self) -> None:
        for child in self.children:
            child.tend()

    def _queue_up(self) -> None:
        """Valkey on a port of its own, unless REDIS_URL names a server."""
        if url := os.environ.get("REDIS_URL"):
            try:
                valkey_wait(url, seconds=5)
            except TimeoutError as error:
                raise CommandError(f"The server that REDIS_URL names does not answer: {error}") from None
            return
        port = _valkey_port(_port_number(os.environ.get("VALKEY_PORT", "6390"), "VALKEY_PORT"))
        url = self.environment["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        data = settings.FEEDBACKHUB_HOME / "valkey"
        try:
            command = valkey_command(port=port, directory=data)
        except FileNotFoundError as error:
            raise CommandError(str(error)) from None
        log = settings.FEEDBACKHUB_HOME / "valkey.log"
        valkey = self._child("valkey", *command, "--logfile", str(log), data=data)
        _valkey_port_file().write_text(f"{port}\n")
        try:
            valkey_wait(url, process=valkey.process)
        except TimeoutError as error:
            raise CommandError(f"Valkey did not start ({error}); {log} says why.") from None

    def _database_up(self) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self._say("bringing the database up to date")
            self._step("migrate", _manage("migrate", "--verbosity", "0"))
        connection.close()

    def _base_model_up(self) -> None:
        # The folder appears whole, by rename, with this file in it.
        if (settings.EMBEDDED_MODEL_DIR / "SOURCE.json").exists() or self.over.is_set():
            return
        self._say("fetching the embedded base model (98 MB, once)")
        command = [sys.executable, "-m", "training", "fetch-base", str(settings.EMBEDDED_MODEL_DIR)]
        try:
            self._step("fetch-base", command)
        except CommandError as error:
            if not _projects_exist():
                raise
            self._say(f"{error} The site starts without the base model.")

    def _demo_up(self) -> None:
        """The demo project, for a site without projects."""
        if not self.over.is_set() and not _projects_exist():
            self._say("loading the demo project")
            self._step("demo", _manage("demo"), quiet=True)
        connection.close()

    def _sign_ins(self) -> list[str]:
        lines = io.StringIO()
        call_command("demo", "--sign-ins", stdout=lines)
        connection.close()
        return lines.getvalue().splitlines()

    def _step(self, name: str, command: list[str], quiet: bool = False) -> None:
        """One step of the start, in a process of its own that uses our terminal (progress bars)."""
        process = subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdout=subprocess.DEVNULL if quiet else None,
            start_new_session=True,
        )
        while process.poll() is None:
            if self.over.wait(TICK_SECONDS / 2):
                sessions_end([Session(name, process.pid, psutil.Process(process.pid).create_time())], seconds=10)
                process.wait()
        if process.returncode and not self.over.is_set():
            raise CommandError(f"{name} failed with exit code {process.returncode}; its lines above say why.")

    def _ready(self, web: Child) -> bool:
        """Tend until the server answers and the queue with it. False when somebody wants an end before that."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.over.wait(TICK_SECONDS / 2):
            self._tend()
            if _answers(self.url):
                return True
            if web.failures >= WEB_STARTS_AT_MOST:
                raise CommandError("The web server does not start; its lines above say why.")
            if time.monotonic() > deadline:
                self._say(f"{self.url}healthz does not answer 200 yet; it will be waited for")
                deadline = float("inf")
        return False

    # --- Down --------------------------------------------------------------------------------------------------------

    def _down(self) -> None:
        """Server first, so that nothing new comes in; then the sweeper, workers with training; the queue last."""
        if self.children:
            self._say("stopping")
        killed = sessions_end(self._sessions("web", "sweeper"), seconds=10, hurry=self.hurry)
        if workers := self._sessions(*WORKERS):
            training = partial(training_sessions, settings.RUNS_DIR)
            killed += training_end(training, workers, seconds=settings.RUN_STOP_GRACE_SECONDS, hurry=self.hurry)
        killed += sessions_end(self._sessions("valkey"), seconds=10, hurry=self.hurry)
        _valkey_port_file().unlink(missing_ok=True)
        for child in self.children:
            if child.process is not None:
                child.process.wait()
        if killed:
            self._say(f"killed, for they did not stop in time: {', '.join(killed)}")
        if self.children:
            self._say("stopped")


def _manage(*words: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]


def web_command(host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", "feedbackhub.asgi:application", "--host", host, "--port", str(port)),
        *("--lifespan", "off", "--log-level", "warning", "--no-server-header", "--timeout-graceful-shutdown", "5"),
        # Longer than most people think about a vote: the next one finds its connection open.
        *("--timeout-keep-alive", "75"),
        *(("--workers", str(settings.WEB_PROCESSES)) if settings.WEB_PROCESSES > 1 else ()),
    ]


def _projects_exist() -> bool:
    # By name: rooms above this one are not imported from here.
    return apps.get_model("projects", "Project").objects.exists()


def _valkey_port_file() -> Path:
    """Where settings find the port of a running Valkey, so that `manage.py shell` and the like use the same queue."""
    return settings.FEEDBACKHUB_HOME / "valkey.port"


def _port_number(text: str, name: str = "PORT") -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise CommandError(f'{name} is "{text}"; it must be a number from 1 to 65535.')


def _bind(host: str, port: int) -> int:
    """Bind and let go again; returns the port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        return listener.getsockname()[1]


def _port_check(host: str, port: int) -> None:
    try:
        _bind(host, port)
    except OSError as error:
        reason = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise CommandError(
            f"Port {port} on {host} {reason}. Choose another one, for example: PORT={port + 1} make run"
        ) from None


def _valkey_port(wanted: int) -> int:
    """`wanted` if it is free, else the next one that is.

    Not one of the system's choosing: those serve outgoing connections too, and a restart could find it taken.
    """
    for port in range(wanted, min(wanted + 100, 65536)):
        with suppress(OSError):
            return _bind("127.0.0.1", port)
    raise CommandError(f"No port from {wanted} on is free for Valkey. Set VALKEY_PORT to another one.")


def _answers(url: str) -> bool:
    """Whether /healthz says 200."""
    return _visit(f"{url}healthz") == 200


def _visit(url: str) -> int | None:
    """The status of a page, asked for under a host name that the site goes by; None when nothing answers."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    request = urllib.request.Request(url, headers={"Host": hosts[0]} if hosts else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
