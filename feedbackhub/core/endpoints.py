"""OpenAI-compatible endpoints: which one is the operator's own, and which may lie in a private network."""

from urllib.parse import urlsplit

from django.conf import settings


def is_operators(url: str) -> bool:
    """Whether it is the endpoint that OPENAI_BASE_URL names: the only one that is told the key."""
    return url.rstrip("/") == settings.OPENAI_BASE_URL.rstrip("/")


def may_be_private(url: str) -> bool:
    """Whether the operator allows that it is no public address: OPENAI_BASE_URL, ENDPOINT_HOSTS_ALLOWED."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    allowed = {entry.casefold() for entry in settings.ENDPOINT_HOSTS_ALLOWED}
    return is_operators(url) or not allowed.isdisjoint({host.casefold(), f"{host}:{port}".casefold()})
