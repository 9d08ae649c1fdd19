from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.models import Project


class RunState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")


ACTIVE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.STOPPING})
FINISHED = frozenset({RunState.STOPPED, RunState.COMPLETED, RunState.FAILED})


class Run(models.Model):
    """One run directory and its life. The database says what is wanted; the directory says what was done."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs", null=True)
    recipe = models.CharField(max_length=20)
    queue = models.CharField(max_length=20, default="training")
    # The job of the room that wants the result; the sweeper queues it again when the queue has lost it.
    job = models.CharField(max_length=120, help_text="Dotted path of the job, called with the run's id.")
    spec = models.JSONField(help_text="run.json, but for what the supervisor adds.")
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.DRAFT)
    progress = models.FloatField(default=0)
    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    max_steps = models.PositiveIntegerField(default=0)
    eta_seconds = models.FloatField(null=True)
    error_kind = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    result = models.JSONField(null=True)
    # The supervisor that may write: whoever holds the token, until the lease ends.
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that ended without a result since the run was last asked for."
    )
    job_id = models.CharField(max_length=60, blank=True, help_text="The hint in the queue that was given last.")
    events_offset = models.BigIntegerField(default=0, help_text="Bytes of events.jsonl already stored.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "lease_expires_at"])]

    def __str__(self) -> str:
        return f"run {self.pk} ({self.recipe}, {self.state})"

    @property
    def directory(self) -> Path:
        return settings.RUNS_DIR / f"{self.pk:06d}"


class RunEvent(models.Model):
    """One line of events.jsonl. `offset` is where the line ends, so that reading twice stores once."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    offset = models.BigIntegerField()
    t = models.FloatField(help_text="Unix seconds.")
    type = models.CharField(max_length=20)
    data = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "offset"], name="one_row_an_event_line")]
        ordering = ["run", "offset"]

    def __str__(self) -> str:
        return f"{self.type} of {self.run}"


class RunAttempt(models.Model):
    """One try of a supervisor to bring a run to its end."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempt_rows")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    outcome = models.CharField(
        max_length=200, blank=True, help_text="completed, stopped, interrupted, failed, or crashed: how."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="attempts_are_numbered")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.run}"
