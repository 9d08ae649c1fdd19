"""How a page of a project begins: who may see it, and what its shell shows."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from .access import ADMINISTER, ANY, OWN_WORK, READ_REPORTS, project_for

# Label, URL name, who sees it. The order is the loop's.
NAVIGATION = [
    (_("Overview"), "overview:project", ANY),
    (_("Rate"), "rating:next", OWN_WORK),
    (_("History"), "rating:history", OWN_WORK),
    (_("My work"), "overview:rater", OWN_WORK),
    (_("Tasks"), "rating:tasks", ADMINISTER),
    (_("Live"), "rating:live", ADMINISTER),
    (_("Quality"), "rating:quality", ADMINISTER),
    (_("Checks"), "rating:checks", ADMINISTER),
    (_("Prompts"), "catalog:prompts", ADMINISTER),
    (_("Models"), "catalog:models", ADMINISTER),
    (_("Imports"), "imports:list", ADMINISTER),
    (_("Datasets"), "rounds:datasets", ADMINISTER),
    (_("Rounds"), "rounds:list", READ_REPORTS),
    (_("Evaluations"), "evaluation:list", READ_REPORTS),
    (_("Leaderboard"), "leaderboard:board", READ_REPORTS),
    ("LangSmith", "tracing:ledger", ADMINISTER),
    (_("Settings"), "projects:settings", ADMINISTER),
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
