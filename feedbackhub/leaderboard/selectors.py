"""Standings and comparisons. The default board is computed from tallies: its cost does not grow with the votes."""

from datetime import datetime

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project

from .ab import ab as ab
from .boards import board_compute
from .models import Standing
from .options import Options, categories
from .standings import standing_read
from .words import noted

__all__ = ["ab", "board", "board_of", "categories"]

MODELS_AT_ONCE = 40  # up to which simultaneous ranks are drawn while one waits


def board(
    *,
    project: Project,
    method: str = "bt",
    category: str | None = None,
    control: str | None = None,
    as_of: datetime | None = None,
) -> dict:
    """The leaderboard, as docs/leaderboard.md describes it.

    `win_matrix[i][j]`: votes of row i's model against row j's, a tie as ½. Raises DomainError: unknown method,
    control or category, or a control that the method does not have.
    """
    return board_of(project=project, options=Options(method=method, category=category, control=control, as_of=as_of))


def board_of(*, project: Project, options: Options, wait: bool = True) -> dict | None:
    """The board by any options. What tallies give includes the last committed vote; the rest is a standing with its
    time, `standing: {computed_at, seconds, current}`, and None where it has still to be computed and nobody waits.

    Beside the default, `options` says what is not. Raises DomainError as `Options.check` does.
    """
    options.check(project)
    at_once = options.of_tallies and options.intervals != "bootstrap"
    if at_once and options.intervals == "simultaneous":
        at_once = ModelVersion.objects.filter(project=project).count() <= MODELS_AT_ONCE
    if at_once:
        answer = board_compute(project, options)
    else:
        view = standing_read(project=project, kind=Standing.Kind.BOARD, options=options, wait=wait)
        if view.answer is None:
            return None
        kept = {"computed_at": view.computed_at, "seconds": view.seconds, "current": view.current}
        answer = {**view.answer, "as_of": options.as_of or view.computed_at, "standing": kept}
    answer["notes"] = [noted(note) for note in answer["notes"]]
    return answer | ({"options": options.changed} if options.changed else {})
