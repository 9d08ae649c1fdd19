import secrets

from django.db import transaction
from django.db.models import CharField

from feedbackhub.core.compiled import Compiled, Given

from .models import ApiToken, User


@transaction.atomic
def token_create(*, user: User, token: str | None = None) -> str:
    """Give `user` an API token (a fresh one, or the given one) and return it; it can never be read again."""
    token = token or secrets.token_urlsafe(32)
    ApiToken.objects.get_or_create(digest=ApiToken.digest_of(token), defaults={"user": user, "hint": token[-4:]})
    return token


OF_DIGEST = Compiled(lambda: ApiToken.objects.select_related("user").filter(digest=Given("digest", CharField())))


def user_of_token(token: str) -> User | None:
    """The active user whom `token` stands for, or None."""
    found = OF_DIGEST.first(digest=ApiToken.digest_of(token))
    return found.user if found and found.user.is_active else None
