from django.conf import settings
from django.db import models

from feedbackhub.projects.models import Project


class DigestSubscription(models.Model):
    """Somebody who wants a project's news by mail once a week. Nobody is subscribed who has not asked for it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="digest_subscriptions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="digest_subscriptions")
    address = models.EmailField()
    next_at = models.DateTimeField(help_text="When the next one is due.")
    last_sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_digest_a_project_and_user")]
        indexes = [models.Index(fields=["next_at"], name="digests_due")]

    def __str__(self) -> str:
        return f"{self.project} to {self.address}"
