"""`manage.py sweep`: give the queue again what it has lost, and finish what nobody holds."""

import logging
import os
import signal
import sys
import threading

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections
from django.utils.module_loading import import_string

from feedbackhub.core.supervise import Home, Taken, leftovers_end

log = logging.getLogger(__name__)


def sweep_all(sweeps: list[str]) -> list[str]:
    """Call each sweep in order; one that fails is logged and keeps no other from its turn. Returns the failed ones."""
    failed = []
    for name in sweeps:
        try:
            import_string(name)()
        except OperationalError as error:
            log.warning("%s: the database does not answer (%s); trying again with the next round", name, error)
            failed.append(name)
        except Exception:
            log.exception("%s failed; it is called again with the next round", name)
            failed.append(name)
        finally:
            close_old_connections()
    return failed


class Command(BaseCommand):
    help = "Call every room's sweep() again and again: what the queue has lost is queued again."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="one round, then end; exit code 1 when a sweep failed")
        parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="pause between rounds (5)")
        parser.add_argument(
            "--supervised-by", type=int, metavar="PID", help="end when this process has, and end what it left as well"
        )

    def handle(self, *args, once: bool, every: float, supervised_by: int | None, **options):
        if once:
            sys.exit(1 if sweep_all(settings.SWEEPS) else 0)
        over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: over.set())
        while not over.is_set():
            if supervised_by and os.getppid() != supervised_by:
                self._clean_up()
                break
            sweep_all(settings.SWEEPS)
            over.wait(every)

    def _clean_up(self) -> None:
        """`manage.py up` was killed and could stop nobody: do it in its place, unless its successor is there."""
        home = Home(settings.FEEDBACKHUB_HOME / "up.json")
        try:
            left = home.take()
        except Taken:
            return
        log.warning("manage.py up is gone; stopping what it left")
        leftovers_end(left)
        home.clear()
