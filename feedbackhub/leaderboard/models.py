from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.models import Project


class Standing(models.Model):
    """A view of the votes that tallies alone cannot give, as it was at `computed_at`; refreshed in the background.

    `answer` is of the votes that `mark` stands for (standings.votes_mark). One row a view: `kind` and `options`.
    """

    class Kind(models.TextChoices):
        BOARD = "board", _("Leaderboard")
        HISTORY = "history", _("History")
        ANOMALIES = "anomalies", _("What does not fit")
        TALLIES = "tallies", _("Tallies against judgments")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="standings")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    options = models.JSONField(default=dict, help_text="What is not as in the default board (options.Options).")
    key = models.CharField(max_length=64, help_text="Digest of kind and options.")
    answer = models.JSONField(null=True)
    mark = models.CharField(max_length=64, blank=True, help_text="Of the votes that the answer is of.")
    failed_mark = models.CharField(max_length=64, blank=True, help_text="Of votes that it could not be computed from.")
    error = models.TextField(blank=True)
    computed_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0, help_text="That computing it took.")
    asked_at = models.DateTimeField(help_text="When somebody last wanted to see it, to the minute.")
    queued_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="one_standing_a_view")]
        indexes = [models.Index(fields=["asked_at"], name="standings_asked_for")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.options} of {self.project}"
