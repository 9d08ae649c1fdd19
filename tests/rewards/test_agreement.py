"""Scores of outputs, and whether people agree with them: only people, only after it was made, with intervals."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Membership
from feedbackhub.rating.services import judgment_undo
from feedbackhub.rewards import agreement as agreements
from feedbackhub.rewards import services
from feedbackhub.rewards.agreement import Judged, agreement, calibration, over_time, reliability
from feedbackhub.rewards.models import OutputScore

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_what_people_said_since_it_was_made_counts(
    project, bob, carol, tasks, reward_model, scored, prefer, django_assert_max_num_queries
):
    tasks(7, category="food", judgments_wanted=1)
    prefer(bob, "blue")
    ModelVersion.objects.filter(pk=reward_model.pk).update(created_at=timezone.now())
    reward_model.refresh_from_db()
    scored({"red": 1.0, "blue": 0.0})
    robot = User.objects.create(username="robot", is_simulated=True)
    Membership.objects.create(project=project, user=robot, role="rater")
    prefer(robot, "blue")
    prefer(bob, None)
    prefer(bob, "red")
    prefer(carol, "red")
    judgment_undo(rater=carol, judgment=prefer(carol, "blue"))
    with django_assert_max_num_queries(6):
        found = agreement(reward_model)
    assert found["overall"]["agreed"] == found["overall"]["pairs"] == 2
    assert found["new_prompts"]["pairs"] == 2
    assert [one["category"] for one in found["by_category"]] == ["food"]
    assert found["calibration"]["said"] == pytest.approx(0.731, abs=1e-3)
    prefer(bob, "blue")
    assert agreement(reward_model)["overall"]["agreed"] == 2


def test_prompts_that_had_been_judged_before_it_was_made_are_told_apart(
    project, bob, carol, tasks, reward_model, scored, prefer
):
    tasks(1, judgments_wanted=2)
    prefer(bob, "red")
    ModelVersion.objects.filter(pk=reward_model.pk).update(created_at=timezone.now())
    reward_model.refresh_from_db()
    scored({"red": 1.0, "blue": 0.0})
    prefer(carol, "red")
    found = agreement(reward_model)
    assert (found["new_prompts"]["pairs"], found["known_prompts"]["pairs"]) == (0, 1)


def pair(day: int, chance: float) -> Judged:
    return Judged(timezone.now() + timedelta(days=day), "", chance, True)


def test_periods_are_days_then_weeks_then_four_weeks():
    days = over_time([pair(day, 0.6) for day in (0, 0, 3)])
    assert [share.whole for _, share in days] == [2, 1]
    weeks = over_time([pair(day, 0.6) for day in (0, 6, 7, 100)])
    assert [share.whole for _, share in weeks] == [2, 1, 1]
    assert len(over_time([pair(day, 0.6) for day in range(0, 1500, 7)])) == agreements.PERIODS_AT_MOST


@pytest.mark.parametrize(
    ("right", "chance", "verdict"),
    [(90, 0.9, "calibrated"), (50, 0.9, "too_sure"), (95, 0.6, "not_sure_enough")],
)
def test_whether_it_is_as_sure_as_it_is_right(right, chance, verdict):
    pairs = [pair(0, chance)] * right + [pair(0, 1 - chance)] * (100 - right)
    found = calibration(pairs)
    assert found["verdict"] == verdict
    assert found["error"] == pytest.approx(abs(right / 100 - chance))
    (part,) = reliability(pairs)
    assert (part.said, part.seen.whole) == (pytest.approx(chance), 100)


def test_outputs_are_scored_once(project, alice, tasks, reward_model, stand_in, queue, client_of, prefer, bob):
    tasks(3)
    url = f"/p/kitchen/reward-models/{reward_model.pk}/"
    browser = client_of(alice)
    assert "Let raters compare answers" in browser.get(url).content.decode()
    prefer(bob, "blue")
    assert "Score the 2 outputs that people have judged since" in browser.get(url).content.decode()
    browser.post(url + "score/", {"judged": "1"})
    assert 'hx-trigger="every 2s"' in browser.get(url).content.decode()
    queue()
    page = browser.get(url).content.decode()
    assert "2 outputs scored" in page
    assert "agreement-time" in page
    red = ModelVersion.objects.get(name="red")
    browser.post(url + "score/", {"models": [red.pk], "split": ""})
    queue()
    assert OutputScore.objects.filter(output__model=red).count() == 3
    again = browser.post(url + "score/", {"models": [red.pk]}, follow=True).content.decode()
    assert "There is no text among these outputs that judge has not scored." in again
    with pytest.raises(DomainError, match="no reward model"):
        services.outputs_score(project=project, reward_model=red, outputs=services.outputs_of(project))


def test_who_may_and_the_api(project, alice, bob, dave, eve, tasks, reward_model, stand_in, queue, api_of, client_of):
    tasks(1)
    url = f"/p/kitchen/reward-models/{reward_model.pk}/"
    for person, status in ((bob, 403), (eve, 404), (dave, 200)):
        assert client_of(person).get(url).status_code == status
    assert client_of(dave).post(url + "score/").status_code == 403
    api, place = api_of(alice), "/api/v1/projects/kitchen/"
    body = {"reward_model": "judge", "models": ["red", "blue"]}
    assert api.post(place + "output-scorings/", body, format="json").json()["outputs"] == 2
    queue()
    assert api.get(place + "output-scorings/").json()["results"][0]["stored"] == 2
    assert api.post(place + "output-scorings/", body, format="json").status_code == 409
    assert api_of(dave).get(place + "reward-agreement/?reward_model=judge").json()["pairs"] == 0
    assert api.get(place + "reward-agreement/?reward_model=red").status_code == 400
    assert api.get(place + "output-scores/?reward_model=nobody").status_code == 404
