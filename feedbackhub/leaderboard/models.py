import hashlib
from datetime import datetime

from django.conf import settings
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


class ShareLink(models.Model):
    """A bearer may read one report, and nothing else, until it expires or is taken back. Only the token's digest is
    stored; the address itself is shown once."""

    class Kind(models.TextChoices):
        BOARD = "board", _("Leaderboard")
        AB = "ab", _("A against B")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="share_links")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    parameters = models.JSONField(default=dict, help_text="Of the report: ids of models, category, method.")
    with_examples = models.BooleanField(default=False, help_text="Whether prompts and answers are shown.")
    note = models.CharField(max_length=200, blank=True, help_text="Whom it is for.")
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8, help_text="The token's last characters, to tell one link from another.")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"…{self.hint} to {self.kind} of {self.project}"

    @staticmethod
    def digest_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()

    def is_open(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


class ShareEvent(models.Model):
    """What happened to a shared link. Append-only."""

    class Action(models.TextChoices):
        CREATED = "created", _("made")
        OPENED = "opened", _("opened")
        REFUSED = "refused", _("refused, being over")
        REVOKED = "revoked", _("taken back")

    link = models.ForeignKey(ShareLink, on_delete=models.CASCADE, related_name="events")
    action = models.CharField(max_length=8, choices=Action.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    agent = models.CharField(max_length=200, blank=True, help_text="The opener's browser, as it calls itself.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["link", "-id"], name="events_of_a_share_link")]

    def __str__(self) -> str:
        return f"{self.link} {self.action}"
