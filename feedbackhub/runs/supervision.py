"""Bringing a run to its end: start or adopt its training process, store its events, judge how it ended.

The rules, with their reasons, are in docs/runs.md.
"""

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from feedbackhub.core.live import publish

from .child import Child
from .directory import lock_is_held, log_tail, result_discard, result_read
from .events import event_payload, lines_after, run_fields, run_payload, storable
from .lease import Lease
from .models import FINISHED, Run, RunAttempt, RunEvent, RunState

log = logging.getLogger(__name__)
POLL_SECONDS = 0.2
STATE_SECONDS = 1.0
DATABASE_PATIENCE_SECONDS = 60
EVENTS_A_PUSH = 200


def run_group(run_id: int) -> str:
    """The live group of everyone who watches this run."""
    return f"run.{run_id}"


def run_publish(run: Run, events: list[RunEvent] | None = None) -> None:
    """Push the run's state, with the events that brought it about, once the transaction has committed."""
    if not events:
        publish(run_group(run.pk), {"type": "run", "run": run_payload(run)})
        return
    for start in range(0, len(events), EVENTS_A_PUSH):
        batch = [event_payload(event) for event in events[start : start + EVENTS_A_PUSH]]
        publish(run_group(run.pk), {"type": "events", "events": batch, "run": run_payload(run)})


@dataclass(frozen=True)
class Ending:
    """How a training process ended: its result if it left one, its exit code if it was our child."""

    result: dict | None
    exit_code: int | None = None

    @classmethod
    def failed(cls, kind: str, message: str) -> "Ending":
        return cls({"status": "failed", "error": {"kind": kind, "message": message}})


@dataclass(frozen=True)
class Verdict:
    """What follows from an ending. `outcome` is the attempt's, in one word and its reason."""

    state: str
    outcome: str
    error_kind: str = ""
    error_message: str = ""
    crashed: bool = False


def exit_words(exit_code: int | None) -> str:
    """How a process that left no result came to its end."""
    if exit_code is None:
        return "ended without a result while nobody watched it"
    if exit_code >= 0:
        return f"ended with exit code {exit_code} and without a result"
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else "unknown"
    hint = "; the machine may be out of memory" if -exit_code == signal.SIGKILL else ""
    return f"was killed by signal {-exit_code} ({name}{hint})"


def verdict_of(*, state: str, crashes: int, ending: Ending, log_end: str) -> Verdict:
    """The rule.

    state: running, or stopping when somebody asked for the stop.
    crashes: earlier attempts that ended without a result since the run was asked for.
    log_end: the log's last lines, for a message.
    """
    wanted = state == RunState.STOPPING
    status = ending.result["status"] if ending.result else None
    if status == "completed":
        return Verdict(RunState.COMPLETED, "completed")
    if status == "failed":
        error = ending.result.get("error") or {}
        message = str(error.get("message") or "The training process failed without saying why; see its log.")
        return Verdict(RunState.FAILED, "failed", str(error.get("kind") or "failed")[:60], message)
    if status == "stopped":
        return Verdict(RunState.STOPPED, "stopped") if wanted else Verdict(RunState.QUEUED, "interrupted")
    if wanted:
        return Verdict(RunState.STOPPED, f"stopped without a result: {exit_words(ending.exit_code)}")
    if ending.exit_code == -signal.SIGTERM:
        return Verdict(RunState.QUEUED, "interrupted before it could write a checkpoint")
    words = exit_words(ending.exit_code)
    if crashes + 1 < settings.RUN_ATTEMPTS_AT_MOST:
        return Verdict(RunState.RUNNING, f"crashed: {words}", crashed=True)
    message = f"The training process {words}, {crashes + 1} times in a row; it was not tried again."
    if log_end:
        message += f" Its log ends:\n{log_end}"
    return Verdict(RunState.FAILED, f"crashed: {words}", "crashed", message, crashed=True)


def _patiently(method):
    """Try a database step again for a while: a long import may hold SQLite's lock, a PostgreSQL may restart.

    Each step is one transaction whose condition is the lease and the offset, so that doing it twice does it once.
    """

    @wraps(method)
    def step(self, *args):
        deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                return method(self, *args)
            except (OperationalError, InterfaceError) as error:
                if connection.in_atomic_block or time.monotonic() > deadline:
                    raise
                log.warning("run %s: the database did not answer (%s); trying again", self.lease.run_id, error)
                connection.close()
                time.sleep(POLL_SECONDS)

    return step


class Supervision:
    """One supervisor's work on one run, under its lease. Raises LeaseLost when another has taken over."""

    def __init__(self, lease: Lease, on_event: Callable[[RunEvent], None] | None = None):
        self.lease = lease
        self.on_event = on_event
        self.directory = lease.run().directory
        self._offset: int | None = None
        self._stop_wanted = False
        self._state_read_at = 0.0

    def work(self) -> None:
        """Try until the run has ended, was interrupted, or has crashed too often."""
        run_publish(self.lease.run())
        while (verdict := self.settle(self.attempt())).state == RunState.RUNNING:
            self.pause(min(10.0, 0.5 * 2 ** self.lease.run().crashes))
            log.warning("run %s: %s; trying again", self.lease.run_id, verdict.outcome)

    def attempt(self) -> Ending:
        """One try: adopt what works in the directory, read what ended there unseen, or start a process."""
        run = self.lease.run()
        unfinished = run.attempt_rows.filter(finished_at=None).exists()
        if not (self.directory / "run.json").is_file():
            message = f"The run directory {self.directory} is gone; nothing can be resumed from it."
            return Ending.failed("directory_missing", message)
        if lock_is_held(self.directory):
            if not unfinished:
                self.attempt_open()
            return self.follow(Child.adopt(self.directory))
        result = result_read(self.directory)
        if unfinished or (result and result["status"] == "completed") or run.state == RunState.STOPPING:
            self.events_drain()
            return Ending(result if unfinished or run.state != RunState.STOPPING else None)
        return self.start()

    def start(self) -> Ending:
        """Start a training process. What stopped or failed in the directory before is an earlier try's."""
        self.attempt_open()
        result_discard(self.directory)
        try:
            child = Child.start(self.directory)
        except OSError as error:
            return Ending.failed("not_started", f"The training process could not be started: {error}.")
        return self.follow(child)

    @_patiently
    def attempt_open(self) -> None:
        with transaction.atomic():
            self.lease.write(attempts=F("attempts") + 1)
            run = self.lease.run()
            RunAttempt.objects.create(run=run, number=run.attempts)
            run_publish(run)

    def follow(self, child: Child) -> Ending:
        """Store its events and keep the lease until it has ended; stop it when somebody asks."""
        asked_at = None
        while not child.wait(POLL_SECONDS):
            if child.adopted:
                time.sleep(POLL_SECONDS)
            self.events_store()
            self.lease_keep()
            if asked_at is None:
                if self.stop_wanted() and child.terminate():
                    asked_at = time.monotonic()
            elif time.monotonic() - asked_at > settings.RUN_STOP_GRACE_SECONDS:
                child.kill()
        self.events_drain()
        return Ending(result_read(self.directory), child.exit_code)

    def pause(self, seconds: float) -> None:
        """Wait before the next try, but not longer than until a stop is asked for."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stop_wanted():
            self.lease_keep()
            time.sleep(POLL_SECONDS)

    @_patiently
    def lease_keep(self) -> None:
        self.lease.keep()

    @_patiently
    def stop_wanted(self) -> bool:
        """Whether somebody asked for a stop; looks at most once a second."""
        if not self._stop_wanted and time.monotonic() - self._state_read_at > STATE_SECONDS:
            self._stop_wanted = self.lease.run().state == RunState.STOPPING
            self._state_read_at = time.monotonic()
        return self._stop_wanted

    def events_drain(self) -> None:
        while self.events_store():
            pass

    @_patiently
    def events_store(self) -> bool:
        """Store the lines written since, with what they say of the run; False when there were none."""
        if self._offset is None:
            self._offset = self.lease.run().events_offset
        lines = lines_after(self.directory / "events.jsonl", self._offset)
        if not lines:
            return False
        # Unknown until the transaction is over: after a lost answer the database is asked where we are.
        offset, self._offset = self._offset, None
        with transaction.atomic():
            fields = {"events_offset": lines[-1].end, **run_fields(lines)}
            self.lease.write(where={"events_offset": offset}, **fields)
            run = self.lease.run()
            events = RunEvent.objects.bulk_create(
                RunEvent(run=run, offset=line.end, t=line.t, type=line.type, data=line.data) for line in lines
            )
            run_publish(run, events)
        self._offset = lines[-1].end
        for event in events if self.on_event else ():
            self.on_event(event)
        return True

    @_patiently
    def settle(self, ending: Ending) -> Verdict:
        """Write down how the attempt ended and what follows, in one transaction; push the new state."""
        with transaction.atomic():
            self.lease.write()  # takes the row: from here on nobody can ask for a stop unseen
            run = self.lease.run()
            log_end = log_tail(self.directory, 5)
            verdict = verdict_of(state=run.state, crashes=run.crashes, ending=ending, log_end=log_end)
            run.attempt_rows.filter(finished_at=None).update(
                finished_at=timezone.now(), exit_code=ending.exit_code, outcome=verdict.outcome[:200]
            )
            fields = {
                "state": verdict.state,
                "crashes": run.crashes + verdict.crashed,
                "error_kind": verdict.error_kind,
                "error_message": storable(verdict.error_message),
            }
            if verdict.state == RunState.RUNNING:
                self.lease.write(**fields)
            else:
                self.lease.end(**fields, **self._ended(verdict, ending))
            run_publish(Run.objects.get(pk=run.pk))
        return verdict

    @staticmethod
    def _ended(verdict: Verdict, ending: Ending) -> dict:
        fields: dict = {"eta_seconds": None}
        if verdict.state in FINISHED:
            fields |= {"finished_at": timezone.now(), "result": storable(ending.result)}
        if verdict.state == RunState.COMPLETED:
            fields |= {"progress": 1.0}
        return fields
