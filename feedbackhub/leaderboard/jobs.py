"""The leaderboard's jobs."""

from . import standings
from .models import Standing


def standing_refresh(standing_id: int) -> None:
    """Compute a view anew; one that is gone meanwhile is no error."""
    standing = Standing.objects.select_related("project").filter(pk=standing_id).first()
    if standing is not None:
        standings.standing_refresh(standing=standing)


def tallies_mend(standing_id: int) -> None:
    """Rebuild a project's tallies from its judgments."""
    standing = Standing.objects.select_related("project").filter(pk=standing_id).first()
    if standing is not None:
        standings.tallies_mend(standing=standing)
