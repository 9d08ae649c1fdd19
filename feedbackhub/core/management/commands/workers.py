"""`manage.py workers`: RQ workers under supervision, for a machine or container that has only those."""

import os
import signal
import sys
import threading
from functools import partial

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from feedbackhub.core.supervise import Child, Console, training_end, training_sessions

TICK_SECONDS = 0.2


def worker_command(queue: str) -> list[str]:
    """The command line of one RQ worker; jobs are JSON, never pickles."""
    return [
        *(sys.executable, str(settings.BASE_DIR / "manage.py"), "rqworker", queue),
        *("--serializer", "rq.serializers.JSONSerializer", "--verbosity", "0"),
    ]


def worker_environment() -> dict[str, str]:
    """Our environment as workers and servers need it."""
    environment = {
        **os.environ,
        "FEEDBACKHUB_HOME": str(settings.FEEDBACKHUB_HOME),
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
        "PYTHONUNBUFFERED": "1",
    }
    if sys.platform == "darwin":
        # RQ forks; Apple's Objective-C runtime ends a forked process that was not told to expect it.
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return environment


class Command(BaseCommand):
    help = "RQ workers: restarted when they die; on SIGTERM training writes a checkpoint before they end."
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("queues", nargs="+", metavar="QUEUE[=N]", help="for example: default=2 training")

    def handle(self, *args, queues: list[str], **options):
        counts = dict(map(_queue_count, queues))
        console, over, hurry = Console(self.stdout._out), threading.Event(), threading.Event()
        environment = worker_environment()
        children = [
            Child(f"{queue}-{number}", worker_command(queue), environment, console, settings.BASE_DIR)
            for queue, count in counts.items()
            for number in range(1, count + 1)
        ]

        def wish(number, frame) -> None:
            (hurry if over.is_set() else over).set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, wish)
        while not over.is_set():
            for child in children:
                child.tend()
            over.wait(TICK_SECONDS)
        sessions = [session for child in children for session in child.sessions]
        # Other supervisors may be at work on the same home: only what our workers have started.
        training = partial(training_sessions, settings.RUNS_DIR, under=sessions)
        killed = training_end(training, sessions, seconds=settings.RUN_STOP_GRACE_SECONDS, hurry=hurry)
        if killed:
            console.say("workers", f"killed, for they did not stop in time: {', '.join(killed)}")


def _queue_count(text: str) -> tuple[str, int]:
    queue, _, count = text.partition("=")
    if queue not in settings.RQ_QUEUES:
        raise CommandError(f'There is no queue "{queue}"; there are {", ".join(settings.RQ_QUEUES)}.')
    if count and not (count.isascii() and count.isdigit() and int(count)):
        raise CommandError(f'"{text}": the number of workers must be a whole number from 1 on.')
    return queue, int(count or 1)
