"""Groups of raters with shares and languages; a deadline after which nothing is given out."""

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.catalog.models import Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.groups import group_remove, group_set, member_group_set
from feedbackhub.projects.models import Membership, RaterGroup
from feedbackhub.rating.models import Assignment
from feedbackhub.rating.selectors import progress
from feedbackhub.rating.services import tasks_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def group(project):
    """group("experts", bob, weight=2): bob is in it."""

    def make(name, *raters, **given):
        found = group_set(project=project, name=name, **given)
        for rater in raters:
            member_group_set(membership=Membership.objects.get(project=project, user=rater, role="rater"), group=found)
        return found

    return make


def shares(project):
    return Counter(Assignment.objects.filter(project=project).values_list("group__name", flat=True))


def test_judgments_are_divided_by_weight(group, tasks, project):
    group("experts", weight=1)
    group("crowd", weight=3)
    tasks(20, judgments_wanted=2)
    assert shares(project) == {"experts": 10, "crowd": 30}


def test_each_rater_gets_what_is_for_their_group(group, tasks, leased, judged, bob, carol, alice, project):
    group("experts", bob)
    group("crowd", carol)
    made = tasks(4)
    assert progress(project, bob).left == 2
    mine = [judged(bob).judgment.task for _ in range(2)]
    theirs = [judged(carol).judgment.task for _ in range(2)]
    assert sorted(mine + theirs, key=lambda task: task.pk) == made
    assert (leased(bob), leased(carol), leased(alice)) == (None, None, None)


def test_what_is_for_everyone_comes_after_ones_own(group, tasks, leased, judged, bob, carol, project):
    everyones = tasks(2)
    crowd = group("crowd", bob)
    Assignment.objects.filter(task=everyones[1]).update(group=crowd)
    assert [judged(bob).judgment.task for _ in range(2)] == [everyones[1], everyones[0]]


def test_languages_decide_who_may_judge(group, answers, leased, bob, carol, project):
    models = list(answers(3, "red", "blue").values())
    for prompt, language in zip(Prompt.objects.order_by("pk"), ("de", "pt-BR", "")):
        Prompt.objects.filter(pk=prompt.pk).update(language=language)
    group("Germans", bob, languages=["de"])
    made = tasks_create(project=project, models=models)
    assert made.skipped == {"no_group_for_language": 1}
    group("Brazilians", carol, languages=["pt"])
    assert tasks_create(project=project, models=models).created == 1
    assert leased(carol).task.prompt.language == "pt-BR"


def test_a_group_that_goes_leaves_its_work_to_everyone(group, tasks, leased, bob, alice, project):
    gone = group("experts", bob)
    tasks(2)
    assert leased(alice) is None
    group_remove(group=gone)
    assert leased(alice) is not None
    assert not RaterGroup.objects.exists()


def test_refusals(project, dave):
    for wrong in ({"name": " "}, {"name": "a", "weight": 0}, {"name": "a", "languages": ["German please"]}):
        with pytest.raises(DomainError) as refused:
            group_set(project=project, **wrong)
        assert set(refused.value.fields) <= {"name", "weight", "languages"}
    membership = Membership.objects.get(project=project, user=dave)
    with pytest.raises(DomainError, match="rates nothing"):
        member_group_set(membership=membership, group=group_set(project=project, name="a"))


def test_after_the_deadline_what_is_held_may_be_judged_and_nothing_is_given_out(
    tasks, leased, judged, bob, carol, project
):
    tasks(3)
    held = leased(bob)
    project.deadline = timezone.now() - timedelta(minutes=1)
    project.save()
    assert leased(bob).task == held.task
    assert judged(bob).judgment.counted
    assert (leased(bob), leased(carol)) == (None, None)


def test_over_the_api(project, alice, bob, api_of):
    api, url = api_of(alice), f"/api/v1/projects/{project.slug}/groups/"
    made = api.post(url, {"name": "experts", "languages": ["de"], "members": ["bob"]}, format="json")
    assert (made.status_code, made.json()["members"]) == (201, ["bob"])
    refused = api.post(url, {"name": "x", "members": ["nobody"]}, format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["members"])
    assert [one["name"] for one in api.get(url).json()["results"]] == ["experts"]
    assert api_of(bob).get(url).status_code == 403
