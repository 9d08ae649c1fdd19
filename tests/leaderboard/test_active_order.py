"""The active order: tasks of the pairs that tell most come first, and others when those change."""

import numpy as np
import pytest
from django.db import transaction

from feedbackhub.leaderboard import ordering
from feedbackhub.projects.services import project_change
from feedbackhub.rating.models import Assignment, PairTally, Task
from feedbackhub.rating.services import task_next, task_priority_set, tasks_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def contenders(project):
    """Four models with answers to ten prompts and every pair a task; the models by name."""
    import uuid

    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create

    models = {name: model_get_or_create_imported(project=project, name=name) for name in ("a", "b", "c", "d")}
    for number in range(10):
        prompt, _ = prompt_get_or_create(project=project, prompt=f"Question {number}?")
        for name, model in models.items():
            parts = text_parts(f"{name} says {number}")
            Output.objects.create(prompt=prompt, model=model, parts=parts, content_key=uuid.uuid4().hex)
    tasks_create(project=project, models=list(models.values()))
    return models


@pytest.fixture
def active(project):
    return project_change(project=project, order="active", explore_percent=0)


def votes(project, first, second, wins_a: int, wins_b: int) -> None:
    a, b, counts = first, second, (wins_a, wins_b)
    if a.pk > b.pk:
        a, b, counts = b, a, counts[::-1]
    PairTally.objects.create(project=project, source="votes", model_a=a, model_b=b, wins_a=counts[0], wins_b=counts[1])


def pair_of(task: Task) -> set[str]:
    return set(task.outputs.values_list("model__name", flat=True))


def settle_all_but_b_and_c(project, contenders) -> None:
    a, b, c, d = contenders.values()
    for better, worse in ((a, b), (a, c), (b, d), (c, d), (a, d)):
        votes(project, better, worse, 300, 15)
    votes(project, b, c, 12, 12)


def test_raters_get_the_pair_that_is_open(active, contenders, bob):
    settle_all_but_b_and_c(active, contenders)
    ordering.sweep()
    assert pair_of(task_next(project=active, rater=bob).task) == {"b", "c"}
    raised = Task.objects.filter(project=active, is_raised=True)
    assert {frozenset(pair_of(task)) for task in raised} >= {frozenset("bc")}
    assert set(raised.values_list("priority", flat=True)) == {1}
    assert set(Assignment.objects.filter(task__in=raised).values_list("priority", flat=True)) == {1}


def test_what_was_urgent_stays_more_urgent(active, contenders, bob):
    urgent = Task.objects.filter(project=active).last()
    task_priority_set(task=urgent, priority=10)
    settle_all_but_b_and_c(active, contenders)
    ordering.sweep()
    assert task_next(project=active, rater=bob).task == urgent
    urgent.refresh_from_db()
    assert (urgent.priority, urgent.is_raised) == (10, False)


def test_a_few_ahead_are_enough_and_then_others_take_their_place(active, contenders):
    settle_all_but_b_and_c(active, contenders)
    chosen = ordering.order_refresh(project=active)
    assert 0 < len(chosen) <= ordering.AHEAD
    assert ordering.order_refresh(project=active) == []
    Assignment.objects.filter(task__in=chosen[: len(chosen) - ordering.ENOUGH + 1]).update(
        state="done", rater=active.created_by
    )
    later = ordering.order_refresh(project=active)
    assert later
    assert set(Task.objects.filter(is_raised=True).values_list("pk", flat=True)) == set(later)
    lowered = Task.objects.filter(pk__in=set(chosen) - set(later))
    assert set(lowered.values_list("priority", flat=True)) <= {0}


def test_a_pair_without_tasks_gives_way_to_others(active, contenders):
    settle_all_but_b_and_c(active, contenders)
    b_and_c = [task.pk for task in Task.objects.filter(project=active) if pair_of(task) == {"b", "c"}]
    Assignment.objects.filter(task__in=b_and_c).update(state="done", rater=active.created_by)
    chosen = ordering.tasks_choose(active, np.random.default_rng(0))
    assert chosen
    assert not set(chosen) & set(b_and_c)


def test_before_any_vote_every_model_is_asked_about(active, contenders):
    chosen = ordering.tasks_choose(active, np.random.default_rng(0))
    assert set().union(*(pair_of(task) for task in Task.objects.filter(pk__in=chosen))) == set("abcd")


def test_in_turn_nothing_is_raised(project, contenders):
    with transaction.atomic():
        ordering.sweep()
    assert not Task.objects.filter(is_raised=True).exists()


def test_a_project_without_outputs_is_no_error(active):
    assert ordering.order_refresh(project=active) == []
