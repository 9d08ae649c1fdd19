import hashlib

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Someone who rates, administers or reads. A simulated rater is a program and is called so wherever it appears."""

    is_simulated = models.BooleanField(default=False)

    @property
    def label(self) -> str:
        name = self.get_full_name() or self.username
        return f"{name} (simulated)" if self.is_simulated else name


class ApiToken(models.Model):
    """A bearer of its user's rights. Only the digest is stored; the token itself is shown once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8, help_text="The token's last characters, to tell one from another.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"…{self.hint} of {self.user}"

    @staticmethod
    def digest_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
