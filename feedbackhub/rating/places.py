"""Where an assignment stands among those of equal priority: by the project's order of work.

in turn    the oldest task first, with all its judgments
breadth    every task's first judgment before any task's second
uniform    drawn at random
active     in turn; what tells most is raised by its priority (leaderboard/ordering.py)

The place is stored, so that one index serves every order. When a project's order has changed, the sweeper lays them
out anew; a rater in between is served by the old order.
"""

from random import SystemRandom

from django.db import transaction
from django.db.models import BigIntegerField, F, Value
from django.db.models.functions import Cast, Coalesce, Random

from feedbackhub.projects.models import Order, Project

from .models import Assignment, Line, Serving

ROUND = 2**42  # more than there are tasks: a round of judgments in breadth
LOTS = 2**52
_random = SystemRandom()


def place_of(order: str, task: int, ordinal: int) -> int:
    """The place of a task's judgment number `ordinal`, from 0."""
    if order == Order.UNIFORM:
        return _random.randrange(LOTS)
    return ordinal * ROUND + task if order == Order.BREADTH else task


def order_of(project: Project) -> str:
    """The order by which places are given now."""
    return Line.objects.filter(project=project).values_list("order", flat=True).first() or Order.IN_TURN


@transaction.atomic
def places_lay(*, project: Project) -> int:
    """Give the places that the project's order asks for, if they are of another; returns how many were given.

    Raters go on from the beginning: what they have had is passed by.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # no tasks are made meanwhile
    line, _ = Line.objects.get_or_create(project=project)
    if line.order == project.order:
        return 0
    laid = 0
    if _layout(line.order) != _layout(project.order):
        # Also those that are done: their tasks may be opened again.
        laid = Assignment.objects.filter(project=project).update(place=_PLACES[_layout(project.order)])
        Serving.objects.filter(project=project).update(place=-1)
    line.order = project.order
    line.save(update_fields=["order"])
    return laid


def _layout(order: str) -> str:
    return Order.IN_TURN if order == Order.ACTIVE else order


# A plain number would be sent to PostgreSQL as one of 32 bits.
_PLACES = {
    Order.IN_TURN: F("task_id"),
    Order.BREADTH: Cast(F("ordinal"), BigIntegerField()) * Value(ROUND, BigIntegerField()) + F("task_id"),
    Order.UNIFORM: Cast(Random() * Value(float(LOTS)), BigIntegerField()),
}


def sweep() -> None:
    """Lay out the lines of projects whose order has changed."""
    laid = Coalesce("line__order", Value(Order.IN_TURN.value))
    for project in Project.objects.annotate(laid=laid).exclude(order=F("laid")):
        places_lay(project=project)
