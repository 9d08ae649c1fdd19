"""In which order tasks of equal priority come: in turn, breadth first, uniform; and when the order changes."""

import pytest

from feedbackhub.projects.services import project_change
from feedbackhub.rating.models import Assignment, Line
from feedbackhub.rating.places import places_lay
from feedbackhub.rating.services import sweep, tallies_check, task_priority_set, tasks_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def ordered(project):
    """ordered("breadth"): the project's order, in force."""

    def change(order):
        project_change(project=project, order=order)
        project.refresh_from_db()
        sweep()

    return change


@pytest.fixture
def coming(judged):
    """coming(bob, carol, …): whoever comes judges one; the tasks in the order in which they were served."""
    return lambda *raters: [judged(rater).judgment.task for rater in raters]


def test_in_turn_a_task_gets_all_its_judgments_first(tasks, coming, bob, carol, alice):
    first, second = tasks(2, judgments_wanted=2)
    assert coming(bob, carol, alice) == [first, first, second]


def test_breadth_first_every_task_is_judged_once_before_any_twice(tasks, coming, ordered, bob, carol, alice, leased):
    first, second, third = tasks(3, judgments_wanted=2)
    ordered("breadth")
    assert coming(bob, carol, alice) == [first, second, third]
    assert coming(bob, carol) == [second, first]
    assert leased(alice) is None, "what is left is the task that she has judged"
    assert coming(bob) == [third]


def test_new_tasks_join_the_first_round(tasks, answers, coming, ordered, bob, carol, project):
    first, second = tasks(2, judgments_wanted=2)
    ordered("breadth")
    coming(bob, bob)
    tasks_create(project=project, models=list(answers(3, "red", "blue").values()), judgments_wanted=2)
    (served,) = coming(carol)
    assert served.pk > second.pk, "what nobody has judged comes before what one has"


def test_uniform_is_another_order_than_that_of_making(tasks, coming, ordered, bob):
    made = tasks(20)
    ordered("uniform")
    served = coming(*[bob] * 20)
    assert sorted(served, key=lambda task: task.pk) == made, "each once"
    assert served != made, "by chance the same once in 10^18"


def test_priority_comes_before_any_order(tasks, coming, ordered, bob):
    made = tasks(3)
    for order in ("breadth", "uniform"):
        ordered(order)
    task_priority_set(task=made[2], priority=5)
    assert coming(bob) == [made[2]]


def test_changed_in_the_middle_nobody_gets_a_task_twice(tasks, coming, ordered, leased, bob, carol, project):
    tasks(6, judgments_wanted=2)
    mine = coming(bob, bob)
    coming(carol)
    for order in ("breadth", "uniform", "active", "in_turn"):
        ordered(order)
        mine += coming(bob)
    assert len(set(mine)) == len(mine) == 6
    assert leased(bob) is None
    while leased(carol):
        coming(carol)
    assert Assignment.objects.filter(state="done").count() == 12
    assert tallies_check(project=project) == []


def test_laid_out_once(tasks, ordered, project):
    tasks(2)
    ordered("breadth")
    assert Line.objects.get(project=project).order == "breadth"
    assert places_lay(project=project) == 0
