"""What the leaderboard room does by itself, for the sweep."""

from . import ordering, standings


def sweep() -> None:
    ordering.sweep()
    standings.sweep()
