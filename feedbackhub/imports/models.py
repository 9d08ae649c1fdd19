from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.models import Project

MADE = ("prompts", "models", "outputs", "votes", "preferences")


class Import(models.Model):
    """A file that somebody sent, and what became of its lines."""

    class Kind(models.TextChoices):
        PROMPTS = "prompts", _("Prompts")
        OUTPUTS = "outputs", _("Outputs")
        VOTES = "votes", _("Votes")
        PREFERENCES = "preferences", _("Preferences")

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    filename = models.CharField(max_length=255)
    size = models.BigIntegerField()
    content_digest = models.CharField(max_length=64, help_text="SHA-256 of the file as it was sent.")
    field_map = models.JSONField(default=dict, help_text="Our field → theirs.")
    template = models.TextField(blank=True, help_text="Text with {field} of the source row, as the prompt.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True)
    read = models.PositiveIntegerField(default=0, help_text="Lines dealt with so far.")
    bytes_read = models.BigIntegerField(default=0, help_text="For the progress bar.")
    created = models.JSONField(default=dict, help_text="What was made, by kind of row.")
    rejected_count = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"import {self.pk} of {self.filename} ({self.status})"

    @property
    def made(self) -> list[tuple[str, int]]:
        """What was made, in the order of the loop (PostgreSQL keeps the keys of `created` in an order of its own)."""
        return [(name, self.created[name]) for name in MADE if name in self.created]

    @property
    def made_any(self) -> list[tuple[str, int]]:
        """`made` without the kinds of which nothing was."""
        return [(name, n) for name, n in self.made if n]

    @property
    def share_read(self) -> float | None:
        """How much of the file is read, 0 to 1; None before the first batch."""
        return min(1.0, self.bytes_read / self.size) if self.bytes_read else None

    @property
    def path(self) -> Path:
        """Where the file lies: named by our own number, never by the name it came with."""
        return settings.IMPORTS_DIR / f"{self.pk:06d}"


class ImportRejection(models.Model):
    """A line that was not taken, and why."""

    report = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="rejections")
    line = models.PositiveIntegerField(help_text="Counted from 1.")
    error = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["report", "line"], name="a_line_is_rejected_once")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.error}"
