"""How a page of a project begins: who may see it, and what its shell shows."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse

from .access import ADMINISTER, ANY, OWN_WORK, READ_REPORTS, project_for

# Label, URL name, who sees it. The order is the loop's.
NAVIGATION = [
    ("Overview", "overview:project", ANY),
    ("Rate", "rating:next", OWN_WORK),
    ("History", "rating:history", OWN_WORK),
    ("My work", "overview:rater", OWN_WORK),
    ("Tasks", "rating:tasks", ADMINISTER),
    ("Live", "rating:live", ADMINISTER),
    ("Quality", "rating:quality", ADMINISTER),
    ("Checks", "rating:checks", ADMINISTER),
    ("Prompts", "catalog:prompts", ADMINISTER),
    ("Models", "catalog:models", ADMINISTER),
    ("Imports", "imports:list", ADMINISTER),
    ("Datasets", "rounds:datasets", ADMINISTER),
    ("Rounds", "rounds:list", READ_REPORTS),
    ("Evaluations", "evaluation:list", READ_REPORTS),
    ("Leaderboard", "leaderboard:board", READ_REPORTS),
    ("LangSmith", "tracing:ledger", ADMINISTER),
    ("Settings", "projects:settings", ADMINISTER),
]


def navigation(request: HttpRequest, slug: str, roles: frozenset[str]) -> list[dict]:
    """What of the project this user may open, with the page that one is on marked."""
    entries = []
    for label, name, allowed in NAVIGATION:
        if not roles & allowed:
            continue
        try:
            url = reverse(name, args=[slug])
        except NoReverseMatch:
            continue
        entries.append({"label": label, "url": url, "current": request.resolver_match.view_name == name})
    return entries


def project_page(allowed: frozenset[str]) -> Callable:
    """Decorate a view whose first argument after the request is the project's slug.

    The view is called without the slug; `request.project`, `request.roles` and `request.nav` are set. Raises NotFound
    or Forbidden (shown as pages) when the user may not.
    """

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, *args, **kwargs) -> HttpResponse:
            request.project, request.roles = project_for(request.user, slug, allowed)
            request.nav = navigation(request, slug, request.roles)
            return view(request, *args, **kwargs)

        return guarded

    return decorate
