"""Quality by program: reliability and signals, decisions, settlements; for admins alone."""

import uuid

import pytest

pytestmark = pytest.mark.django_db


@pytest.fixture
def disputed(project, bob, carol):
    """A pairwise task of which bob prefers the one output and carol the other."""
    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create
    from feedbackhub.rating.models import Task
    from feedbackhub.rating.services import judgment_record, task_next, tasks_create

    prompt, _ = prompt_get_or_create(project=project, prompt="What is tea?")
    models = [model_get_or_create_imported(project=project, name=name) for name in ("red", "blue")]
    outputs = [
        Output.objects.create(prompt=prompt, model=model, parts=text_parts(model.name), content_key=model.name)
        for model in models
    ]
    tasks_create(project=project, models=models, judgments_wanted=2)
    for rater, (best, worst) in ((bob, outputs), (carol, reversed(outputs))):
        lease = task_next(project=project, rater=rater)
        shown = [output.pk for output in lease.outputs]
        payload = {"ranking": [[best.pk], [worst.pk]], "shown": shown, "duration_ms": 5, "key": str(uuid.uuid4())}
        judgment_record(rater=rater, task=lease.task, payload=payload)
    task = Task.objects.get()
    task.outputs_in_order = [output.pk for output in outputs]
    return task


def test_what_is_known_of_raters(disputed, api_of, alice, bob, project):
    url = f"/api/v1/projects/{project.slug}/quality/"
    found = api_of(alice).get(url).json()
    assert {one["rater"] for one in found["raters"]} == {"bob", "carol"}
    assert found["raters"][0]["skill"]["votes"] == 1
    assert "fewer than three raters" in found["accuracy_undefined_because"]
    assert found["disagreements"] == [{"task": disputed.pk, "labels": {"red": 1, "blue": 1}}]
    assert found["signals"] == []
    assert api_of(bob).get(url).status_code == 403


def test_deciding_and_undoing(disputed, api_of, alice, bob, project):
    admin, url = api_of(alice), f"/api/v1/projects/{project.slug}/decisions/"
    body = {"rater": "bob", "action": "weigh", "weight": 0.5, "reason": "Gold items.", "signals": ["gold"]}
    made = admin.post(url, body, format="json")
    assert (made.status_code, made.json()["weight"], made.json()["decided_by"]) == (201, 0.5, "alice")
    undone = admin.post(f"/api/v1/decisions/{made.json()['id']}/undo/", {"reason": "A mistake."}, format="json")
    assert undone.json()["undoes"] == made.json()["id"]
    assert [one["action"] for one in admin.get(url).json()["results"]] == ["undo", "weigh"]
    for wrong, field in (({"weight": 2}, "weight"), ({"rater": "nobody"}, "rater"), ({"ban": 1}, "ban")):
        refused = admin.post(url, {**body, **wrong}, format="json")
        assert (refused.status_code, field in refused.json()["fields"]) == (400, True)
    assert api_of(bob).post(url, body, format="json").status_code == 403
    assert api_of(bob).post(f"/api/v1/decisions/{made.json()['id']}/undo/").status_code == 403


def test_settling_and_undoing(disputed, api_of, alice, bob, project):
    admin, url = api_of(alice), f"/api/v1/tasks/{disputed.pk}/settlement/"
    red, blue = disputed.outputs_in_order
    made = admin.post(url, {"ranking": [[blue], [red]], "comment": "Blue."}, format="json")
    assert (made.status_code, made.json()["counted"]) == (201, False)
    assert {item["output"]: item["tier"] for item in made.json()["items"]} == {blue: 0, red: 1}
    listed = admin.get(f"/api/v1/projects/{project.slug}/settlements/").json()["results"]
    assert [one["id"] for one in listed] == [made.json()["id"]]
    assert admin.post(f"/api/v1/settlements/{made.json()['id']}/undo/").json()["undone"]
    assert admin.get(f"/api/v1/projects/{project.slug}/settlements/").json()["results"] == []
    refused = admin.post(url, {"ranking": [[blue]]}, format="json")
    assert (refused.status_code, "verdict" in refused.json()["fields"]) == (400, True)
    assert admin.post(url, {"none_acceptable": True}, format="json").json()["none_acceptable"]
    assert api_of(bob).post(url, {"none_acceptable": True}, format="json").status_code == 403
    assert admin.post("/api/v1/tasks/999999/settlement/", {}, format="json").status_code == 404
