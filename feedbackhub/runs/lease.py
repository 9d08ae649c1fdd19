"""The right to write a run's rows: one supervisor at a time, for as long as it keeps saying so."""

import time
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from .models import Run, RunState


class LeaseLost(Exception):
    """Another supervisor has taken the run, or somebody ended it: write nothing more."""


class Lease:
    """Held by one supervisor. Every write goes through `write`, whose condition is the token."""

    def __init__(self, run_id: int, token: uuid.UUID):
        self.run_id = run_id
        self.token = token
        self.renewed_at = time.monotonic()

    @classmethod
    def take(cls, run_id: int) -> "Lease | None":
        """The lease of a queued run, or of a running one whose supervisor has fallen silent; None when it is not free.

        One conditional UPDATE: of several that ask at once, one gets it.
        """
        now, token = timezone.now(), uuid.uuid4()
        abandoned = Q(state__in=(RunState.RUNNING, RunState.STOPPING)) & Q(lease_expires_at__lt=now)
        taken = Run.objects.filter(Q(state=RunState.QUEUED) | abandoned, pk=run_id).update(
            lease_token=token,
            lease_expires_at=_end(now),
            state=Case(When(state=RunState.QUEUED, then=Value(RunState.RUNNING)), default=F("state")),
            started_at=Coalesce(F("started_at"), Value(now)),
        )
        return cls(run_id, token) if taken else None

    def _mine(self) -> QuerySet[Run]:
        return Run.objects.filter(pk=self.run_id, lease_token=self.token)

    def write(self, *, where: dict | None = None, **fields) -> None:
        """Update the run's row and the lease's end, or raise LeaseLost. `where` adds conditions."""
        fields.setdefault("lease_expires_at", _end(timezone.now()))
        if not self._mine().filter(**where or {}).update(**fields):
            raise LeaseLost
        self.renewed_at = time.monotonic()

    def keep(self) -> None:
        """Renew when a quarter of the lease has passed."""
        if time.monotonic() - self.renewed_at > settings.RUN_LEASE_SECONDS / 4:
            self.write()

    def run(self) -> Run:
        """The run as it stands; LeaseLost when it is another's by now."""
        if (run := self._mine().first()) is None:
            raise LeaseLost
        return run

    def end(self, **fields) -> None:
        """Give the lease back together with a last write."""
        self.write(lease_token=None, lease_expires_at=None, **fields)

    def expire(self) -> None:
        """Let another take over at once: for a supervisor that must go while its run goes on."""
        with transaction.atomic():
            self._mine().update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def _end(now):
    return now + timedelta(seconds=settings.RUN_LEASE_SECONDS)
