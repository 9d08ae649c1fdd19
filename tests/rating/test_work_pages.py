"""The admin's pages on work under way: live board, task, checks, interventions; and the same over the API."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.rating import live
from feedbackhub.rating.models import Assignment, Gold, Intervention, Judgment, Serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client_of, alice):
    return client_of(alice)


@pytest.fixture
def url(project):
    return lambda path="": f"/p/{project.slug}/rate/{path}"


def text(response):
    return response.content.decode()


def test_the_live_board(tasks, judged, leased, bob, carol, admin, url, project):
    tasks(4)
    judged(bob, "red", "blue")
    stuck = leased(carol)
    Serving.objects.filter(task=stuck.task, rater=carol).update(served_at=timezone.now() - timedelta(hours=1))
    page = text(admin.get(url("live/")))
    for words in ("1 of 4 judgments are in, 1 being made", "carol", "stuck", "cannot be told: work began less than"):
        assert words in page
    form = {"act": "reassign", "rater": "carol", "reason": "stuck", "back": "live"}
    assert "anyone may get it now" in text(admin.post(url(f"tasks/{stuck.task.pk}/act/"), form, follow=True))
    assert not Assignment.objects.filter(rater=carol).exists()
    part = text(admin.get(url("live/"), headers={"HX-Request": "true"}))
    assert "Nobody is at a task" in part
    assert "<html" not in part


def test_pace_and_forecast(tasks, judged, bob, project):
    tasks(30)
    for _ in range(24):
        judged(bob)
    now = timezone.now().replace(minute=30)
    for number, pk in enumerate(Judgment.objects.values_list("pk", flat=True)):
        Judgment.objects.filter(pk=pk).update(occurred_at=now - timedelta(hours=1 + number % 6))
    project.deadline = now + timedelta(minutes=5)
    pace = live.pace(project, now)
    assert [count for _, count in pace.hours] == [4] * 6 + [0]
    assert (pace.left, pace.done, pace.last_hour) == (6, 24, 4)
    assert pace.forecast.lower <= 1.5 <= pace.forecast.upper
    assert pace.late


def test_a_task_is_opened_again_and_that_undone(tasks, judged, bob, admin, url, outcomes):
    (task,) = tasks(1)
    judged(bob, "red", "blue", comment="Truer.")
    page = text(admin.get(url(f"tasks/{task.pk}/")))
    assert "Truer." in page
    assert "red" in page
    done = text(admin.post(url(f"tasks/{task.pk}/act/"), {"act": "reopen", "reason": "cut off"}, follow=True))
    assert "1 judgments count no more" in done
    assert "void" in done
    assert outcomes() == {}
    undo = url(f"interventions/{Intervention.objects.get().pk}/undo/")
    assert "1 of 1 are as they were" in text(admin.post(undo, follow=True))
    assert outcomes() == {("red", "blue"): (1, 0, 0, 0)}


def test_work_is_made_void_on_the_page(tasks, judged, bob, admin, url, outcomes):
    tasks(2)
    judged(bob, "red", "blue")
    assert "bob" in text(admin.get(url("interventions/")))
    assert "Say why" in text(admin.post(url("interventions/void/"), {"rater": "bob", "reason": ""}, follow=True))
    done = text(admin.post(url("interventions/void/"), {"rater": "bob", "reason": "blind", "days": "3"}, follow=True))
    assert "1 judgments of bob count no more" in done
    assert outcomes() == {}
    assert "No rater has said anything that counts" in done


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("pairwise", lambda ids: {"verdict": ids[0]}),
        ("ranking", lambda ids: {f"place_{pk}": place for place, pk in enumerate(ids, start=1)}),
        ("thumbs", lambda ids: {"verdict": "-1"}),
        ("scores", lambda ids: {f"score_{ids[0]}_truth": "4"}),
    ],
)
def test_a_known_answer_is_given_on_the_tasks_page(kind, form, tasks, admin, url, project):
    project.criteria = [{"key": "truth", "label": "Truth", "min": 1, "max": 5}]
    project.save()
    task = tasks(1, "red", "blue", "green", kind=kind)[0]
    ids = sorted(task.task_outputs.values_list("output_id", flat=True))
    page = text(admin.get(url(f"tasks/{task.pk}/")))
    assert all(f'name="{name}"' in page for name in form(ids))
    admin.post(url(f"tasks/{task.pk}/act/"), {"act": "gold", "note": "Evident.", **form(ids)})
    assert Gold.objects.get().note == "Evident."
    assert not Assignment.objects.filter(task=task).exists()
    assert "Evident." in text(admin.get(url("checks/")))
    admin.post(url("checks/act/"), {"act": "retire", "gold": Gold.objects.get().pk})
    assert Gold.objects.get().retired_at


def test_checks_are_made_of_what_all_agree_on(tasks, judged, bob, carol, alice, admin, url):
    (task,) = tasks(1, judgments_wanted=3)
    for rater in (bob, carol, alice):
        judged(rater, "red", "blue")
    assert "3 say the same" in text(admin.get(url("checks/")))
    admin.post(url("checks/act/"), {"act": "agreed", "task": task.pk})
    assert Gold.objects.get().task == task
    assert "not two of them" in text(admin.post(url("checks/act/"), {"act": "attention"}, follow=True))


def test_raters_see_none_of_it(tasks, bob, client_of, url):
    (task,) = tasks(1)
    rater = client_of(bob)
    for path in ("live/", "checks/", "interventions/", f"tasks/{task.pk}/"):
        assert rater.get(url(path)).status_code == 403


def test_over_the_api(tasks, judged, leased, bob, carol, alice, api_of, project):
    made = tasks(3)
    judged(bob, "red", "blue")
    api, base = api_of(alice), f"/api/v1/projects/{project.slug}"
    void = api.post(f"{base}/interventions/", {"kind": "void", "rater": "bob", "reason": "blind"}, format="json")
    assert (void.status_code, void.json()["count"]) == (201, 1)
    undone = api.post(f"/api/v1/interventions/{void.json()['id']}/undo/")
    assert undone.json()["restored"] == 1
    reopened = {"kind": "reopen", "task": made[0].pk, "reason": "cut off"}
    assert api.post(f"{base}/interventions/", reopened, format="json").status_code == 201
    leased(carol)
    missing = api.post(f"{base}/interventions/", {"kind": "void", "reason": "x"}, format="json")
    assert (missing.status_code, list(missing.json()["fields"])) == (400, ["rater"])
    assert [one["kind"] for one in api.get(f"{base}/interventions/").json()["results"]] == ["reopen", "void"]
    ids = sorted(made[2].task_outputs.values_list("output_id", flat=True))
    gold = {"task": made[2].pk, "expected": {"ranking": [[ids[0]], [ids[1]]]}}
    assert api.post(f"{base}/gold/", gold, format="json").status_code == 201
    assert api.post(f"{base}/gold/", gold, format="json").status_code == 409
    assert api.post(f"/api/v1/gold/{Gold.objects.get().pk}/retire/").json()["retired_at"]
    assert api.get(f"{base}/live/").json()["left"] == 2
    for path in ("interventions/", "gold/", "live/"):
        assert api_of(bob).get(f"{base}/{path}").status_code == 403
    assert "gold_percent" in api.get(f"{base}/").json()
    assert "gold_percent" not in api_of(bob).get(f"{base}/").json()
