"""Who is at the other end of a live connection: a session whose Origin is ours, or the bearer of an API token.

A browser sends cookies along whatever page opened the socket, so a session counts only with an Origin that is
this site's own; a token, which no other site can know, needs none.
"""

from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from .services import user_of_token


class OriginOrTokenMiddleware:
    """Sets scope["user"] to the token's user, or keeps the session's when the Origin is our own, else anonymous."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "token":
            scope = {
                **scope,
                "user": await database_sync_to_async(user_of_token)(token.strip()) or AnonymousUser(),
            }
        elif not self._own_origin(headers):
            scope = {**scope, "user": AnonymousUser()}
        return await self.inner(scope, receive, send)

    @staticmethod
    def _own_origin(headers: dict) -> bool:
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        return bool(origin) and (urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS)
