"""What a person decides about a rater: suspended, weighed, dismissed; logged, told in words, undoable."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.decisions import decision_undo, decisions_of, rater_decide, rater_weights
from feedbackhub.rating.models import Assignment, Judgment, RaterDecision

pytestmark = pytest.mark.django_db


@pytest.fixture
def decide(project, alice):
    def make(rater, action="suspend", reason="Too quick to have read.", **given):
        return rater_decide(project=project, rater=rater, action=action, by=alice, reason=reason, **given)

    return make


def test_a_suspended_rater_gets_no_new_task_and_keeps_what_was_said(tasks, judged, leased, decide, bob, carol):
    tasks(3)
    judged(bob, "red", "blue")
    held = leased(bob)
    decide(bob)
    assert leased(bob) is None
    assert leased(carol).task == held.task
    assert Judgment.objects.in_force().filter(rater=bob).count() == 1


def test_what_was_on_its_way_is_kept(tasks, judged, leased, decide, bob):
    tasks(1)
    lease = leased(bob)
    decide(bob)
    assert judged(bob, "red", "blue", lease=lease).judgment.counted


def test_they_are_told_so_on_their_page_and_by_the_api(tasks, judged, decide, client_of, api_of, bob, project):
    tasks(2)
    said = judged(bob, "red", "blue").judgment
    api, page = api_of(bob), client_of(bob)
    task = api.post(f"/api/v1/projects/{project.slug}/tasks/next/").json()
    decide(bob, reason="Please read the guidelines again.")
    refused = api.post(f"/api/v1/projects/{project.slug}/tasks/next/")
    assert (refused.status_code, refused.json()["code"]) == (403, "suspended")
    assert "Please read the guidelines again." in refused.json()["detail"]
    text = page.get(f"/p/{project.slug}/rate/").content.decode()
    assert "Your rating is paused." in text
    assert "Please read the guidelines again." in text
    assert page.get(f"/p/{project.slug}/rate/history/").status_code == 200
    assert page.get(f"/p/{project.slug}/").status_code == 200
    body = {"key": "6f1c2f9e-1111-4222-8333-944444444444", "duration_ms": 5}
    shown = [output["id"] for output in task["outputs"]]
    body |= {"shown": shown, "ranking": [[one] for one in shown]}
    sent = api.post(f"/api/v1/tasks/{task['id']}/judgments/?next=1", body, format="json")
    assert (sent.status_code, sent.json()["next_task"]) == (201, None)
    assert api.post(f"/api/v1/judgments/{said.pk}/undo/").status_code == 200


def test_an_undo_gives_tasks_again_and_both_stand_in_the_log(tasks, leased, decide, alice, bob, project):
    tasks(1)
    decision = decide(bob, because="Half of the judgments took less than 0.7 s.", signals=["speed"])
    undo = decision_undo(decision=decision, by=alice, reason="It was a mistake.")
    assert decision_undo(decision=decision, by=alice) == undo
    assert leased(bob) is not None
    assert [one.action for one in decisions_of(project)] == ["undo", "suspend"]
    with pytest.raises(DomainError, match="not undone"):
        decision_undo(decision=undo, by=alice)


def test_the_latest_weight_holds_and_an_undo_brings_the_one_before_back(decide, alice, bob, carol, project):
    decide(bob, "weigh", weight=0.5)
    second = decide(bob, "weigh", weight=0.25)
    decide(carol, "weigh", weight=1)
    assert rater_weights(project) == {bob.pk: 0.25}
    decision_undo(decision=second, by=alice)
    assert rater_weights(project) == {bob.pk: 0.5}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"action": "ban"}, "action"),
        ({"reason": "  "}, "reason"),
        ({"action": "weigh"}, "weight"),
        ({"action": "weigh", "weight": 1.5}, "weight"),
        ({"weight": 0.5}, "weight"),
    ],
)
def test_what_is_no_decision_is_refused(decide, bob, given, field):
    with pytest.raises(DomainError) as refusal:
        decide(bob, **given)
    assert field in refusal.value.fields
    assert not RaterDecision.objects.exists()


def test_neither_an_admin_nor_a_stranger_is_suspended(decide, alice, eve, bob):
    with pytest.raises(DomainError, match="admin"):
        decide(alice)
    with pytest.raises(DomainError, match="does not rate"):
        decide(eve)
    decide(bob)
    with pytest.raises(DomainError, match="suspended already"):
        decide(bob)


def test_the_page_decides_and_undoes(tasks, judged, client_of, alice, bob, project):
    tasks(1)
    judged(bob, "red", "blue")
    admin, url = client_of(alice), f"/p/{project.slug}/rate/quality/"
    form = {"rater": "bob", "action": "suspend", "reason": "He asked for a rest."}
    said = admin.post(f"{url}decide/", form, follow=True).content.decode()
    assert "bob gets no new tasks now" in said
    assert "He asked for a rest." in said
    assert 'badge-warn">suspended' in said
    assert not Assignment.objects.filter(rater=bob, state="leased").exists()
    decision = RaterDecision.objects.get()
    assert "Taken back" in admin.post(f"{url}decisions/{decision.pk}/undo/", follow=True).content.decode()
    assert (
        "must"
        not in admin.post(f"{url}decide/", {**form, "action": "weigh", "weight": "0,3"}, follow=True).content.decode()
    )
    assert rater_weights(project) == {bob.pk: 0.3}
    assert client_of(bob).post(f"{url}decide/", form).status_code == 403
    assert admin.post(f"{url}decide/", {**form, "rater": "nobody"}).status_code == 404
