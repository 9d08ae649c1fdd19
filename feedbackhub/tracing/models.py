from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.models import Project


class TracedRun(models.Model):
    """What LangSmith needs to know a run of ours (an output's making) by: its ids and its start.

    `run_uuid` is ours (Output.run_uuid) and is LangSmith's run id as well.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="traced_runs")
    run_uuid = models.UUIDField(unique=True)
    session_name = models.CharField(max_length=200, help_text="LangSmith's project name.")
    session_id = models.UUIDField(null=True)
    start_time = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.run_uuid)


class DeliveryState(models.TextChoices):
    PENDING = "pending", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Given up")


class Delivery(models.Model):
    """One row of the outbox: one call that LangSmith is to receive, written in the vote's own transaction."""

    class Operation(models.TextChoices):
        RUN_CREATE = "run_create", _("Create run")
        FEEDBACK_CREATE = "feedback_create", _("Create feedback")
        FEEDBACK_UPDATE = "feedback_update", _("Update feedback")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="deliveries")
    operation = models.CharField(max_length=20, choices=Operation.choices)
    target_id = models.UUIDField(help_text="The feedback's or the run's id at LangSmith.")
    dedupe_key = models.CharField(max_length=120, unique=True)
    payload = models.JSONField()
    subject = models.CharField(max_length=80, help_text="What it tells of, for example judgment:17.")
    state = models.CharField(max_length=12, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "next_attempt_at"]), models.Index(fields=["project", "-id"])]

    def __str__(self) -> str:
        return f"{self.operation} {self.subject} ({self.state})"
