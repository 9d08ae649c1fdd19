"""Where a page's scripts find their texts."""

from functools import cache
from hashlib import sha256

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language

register = template.Library()


@register.simple_tag
def words_url() -> str:
    """The address of the scripts' texts in the page's language, "" where they are as written. It changes with them."""
    return _words_url(get_language())


@cache
def _words_url(language: str) -> str:
    catalogue = settings.LOCALE_PATHS[0] / language / "LC_MESSAGES" / "djangojs.mo"
    if not catalogue.is_file():
        return ""
    return f"{reverse('words', args=[language])}?v={sha256(catalogue.read_bytes()).hexdigest()[:12]}"
