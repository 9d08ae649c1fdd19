"""A rater's own page: what they said, and which round it is in."""

import re

import pytest

from feedbackhub.overview.selectors import rater_page
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import Round
from feedbackhub.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def tuned(project, alice):
    """tuned(child, parent): a round on all judgments so far that made `child` from `parent`."""

    def make(child, parent) -> Round:
        run = Run.objects.create(project=project, recipe="dpo", job="-", spec={}, state="completed")
        dataset = dataset_freeze(project=project, by=alice)
        return Round.objects.create(
            project=project,
            number=1,
            recipe="dpo",
            base_model=parent,
            model=child,
            dataset=dataset,
            run=run,
            created_by=alice,
        )

    return make


def test_my_votes_are_found_in_the_round_that_they_trained(
    tasks, answers, judged, leased, tuned, bob, carol, dave, project
):
    from feedbackhub.catalog.models import Prompt
    from feedbackhub.rating.services import tasks_create

    tasks(3, judgments_wanted=2)
    Prompt.objects.update(split="train")
    for _ in range(2):
        judged(bob, "red", "blue", duration_ms=3000)
    for _ in range(3):
        judged(carol, "red", "blue")
    models = answers(3, "parent", "child")
    tuned(models["child"], models["parent"])
    assert rater_page(project, bob)["trained"][0]["ab"]["win_rate"] is None

    tasks_create(project=project, models=list(models.values()), judgments_wanted=1, priority=5)
    for _ in range(3):
        judged(carol, "child", "parent")
    page = rater_page(project, bob)
    (trained,) = page["trained"]
    assert (trained["votes"], trained["rows"], trained["ab"]["win_rate"]) == (2, 2, 1.0)
    assert page["habits"].judgments == 2
    assert page["habits"].median_seconds == 3.0
    assert (page["agreement"].percent, page["agreement"].comparisons) == (1.0, 2)
    assert page["days"]["series"][0]["values"][-1] == 2
    assert rater_page(project, dave)["trained"] == []


def test_the_page_says_it_in_words(tasks, judged, answers, tuned, client_of, bob, project):
    from feedbackhub.catalog.models import Prompt

    mine = client_of(bob)
    assert "You have not judged anything yet." in mine.get(f"/p/{project.slug}/me/").content.decode()
    tasks(1)
    Prompt.objects.update(split="train")
    judged(bob, "red", "blue")
    models = answers(1, "parent", "child")
    tuned(models["child"], models["parent"])
    page = mine.get(f"/p/{project.slug}/me/").content.decode()
    assert "Your 1 vote is in round 1" in page
    assert "wait for raters" in page
    assert not re.search(r"\b(red|blue)\b", page.split("<main")[1]), "the page names a model"
