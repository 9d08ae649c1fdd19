"""Rating by API: lease, judge, undo; once each, never too often, and blind."""

import json
import threading

import pytest
from django.db import connections

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tasks(project, api_of, alice, outputs):
    def make(n=3, models=("red", "blue"), **fields):
        outputs(n)
        body = {"models": list(models), **fields}
        answer = api_of(alice).post(f"/api/v1/projects/{project.slug}/tasks/", body, format="json")
        assert answer.status_code == 201, answer.content
        return answer.json()

    return make


@pytest.fixture
def next_task(project):
    def lease(api, query=""):
        return api.post(f"/api/v1/projects/{project.slug}/tasks/next/{query}")

    return lease


def board(api, project, query=""):
    return api.get(f"/api/v1/projects/{project.slug}/leaderboard/{query}").json()


def test_a_task_shows_the_prompt_and_two_answers_and_names_no_model(tasks, next_task, api_of, bob):
    assert tasks(3)["created"] == 3
    task = next_task(api_of(bob)).json()
    assert set(task) == {"id", "kind", "prompt", "outputs", "lease_expires_at", "guidelines", "criteria"}
    assert task["kind"] == "pairwise"
    assert task["prompt"][0]["role"] == "user"
    assert {"id", "text"} <= set(task["outputs"][0])
    for output in task["outputs"]:
        assert "model" not in output
    without_texts = {**task, "outputs": [one["id"] for one in task["outputs"]], "prompt": ""}
    assert "red" not in json.dumps(without_texts)


def test_asking_again_gives_the_held_task_and_after_prefetches_another(tasks, next_task, api_of, bob):
    tasks(3)
    api = api_of(bob)
    held = next_task(api).json()
    assert next_task(api).json()["id"] == held["id"]
    ahead = next_task(api, f"?after={held['id']}").json()
    assert ahead["id"] != held["id"]


def test_a_judgment_counts_once_and_the_next_task_comes_with_it(
    tasks, next_task, api_of, bob, dave, project, judgment_of
):
    tasks(2)
    api = api_of(bob)
    task = next_task(api).json()
    judgment = judgment_of(task)
    first = api.post(f"/api/v1/tasks/{task['id']}/judgments/?next=1", judgment, format="json")
    assert first.status_code == 201
    assert first.json()["counted"] is True
    assert first.json()["next_task"]["id"] != task["id"]
    again = api.post(f"/api/v1/tasks/{task['id']}/judgments/?next=1", judgment, format="json")
    assert again.status_code == 200
    assert again.json() == first.json()
    assert board(api_of(dave), project)["votes"] == 1


def test_when_nothing_is_left_it_is_204(tasks, next_task, api_of, bob, judgment_of):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    answer = api.post(f"/api/v1/tasks/{task['id']}/judgments/?next=1", judgment_of(task), format="json")
    assert answer.json()["next_task"] is None
    assert next_task(api).status_code == 204


def test_undo_takes_the_vote_out_and_gives_the_task_back(tasks, next_task, api_of, bob, dave, project, judgment_of):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    made = api.post(f"/api/v1/tasks/{task['id']}/judgments/", judgment_of(task), format="json").json()
    assert board(api_of(dave), project)["votes"] == 1
    assert api.post(f"/api/v1/judgments/{made['id']}/undo/").status_code == 200
    assert board(api_of(dave), project)["votes"] == 0
    assert next_task(api).json()["id"] == task["id"]


def test_a_tasks_judgments_are_all_an_admins_and_ones_own(tasks, next_task, api_of, alice, bob, carol, judgment_of):
    tasks(1)
    task = next_task(api_of(bob)).json()
    url = f"/api/v1/tasks/{task['id']}/judgments/"
    api_of(bob).post(url, judgment_of(task), format="json")
    assert [len(api_of(user).get(url).json()["results"]) for user in (alice, bob, carol)] == [1, 1, 0]


def test_an_edit_supersedes(tasks, next_task, api_of, bob, dave, project, judgment_of):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    url = f"/api/v1/tasks/{task['id']}/judgments/"
    made = api.post(url, judgment_of(task, winner=0), format="json").json()
    edited = api.post(url, judgment_of(task, winner=1, supersedes=made["id"]), format="json")
    assert edited.status_code == 201
    rows = board(api_of(dave), project)["rows"]
    assert sum(row["wins"] for row in rows) == 1


def test_both_bad_is_counted_and_enters_no_rating(tasks, next_task, api_of, bob, dave, project, judgment_of):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    shown = [one["id"] for one in task["outputs"]]
    body = judgment_of(task, ranking=[shown], none_acceptable=True)
    assert api.post(f"/api/v1/tasks/{task['id']}/judgments/", body, format="json").status_code == 201
    rows = board(api_of(dave), project)["rows"]
    assert [row["both_bad"] for row in rows] == [1, 1]
    assert [row["rating"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"key": "no uuid"}, "key"),
        ({"ranking": [[1]]}, "ranking"),
        ({"shown": [1, 2]}, "shown"),
        ({"strength": "very"}, "strength"),
        ({"duration_ms": -1}, "duration_ms"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_judgment_is_a_400_that_names_the_field(tasks, next_task, api_of, bob, judgment_of, change, named):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    answer = api.post(f"/api/v1/tasks/{task['id']}/judgments/", {**judgment_of(task), **change}, format="json")
    assert answer.status_code == 400
    assert named in answer.json()["fields"], answer.json()


def test_shown_must_be_the_order_served(tasks, next_task, api_of, bob, judgment_of):
    tasks(1)
    api = api_of(bob)
    task = next_task(api).json()
    body = judgment_of(task)
    body["shown"] = body["shown"][::-1]
    answer = api.post(f"/api/v1/tasks/{task['id']}/judgments/", body, format="json")
    assert answer.status_code == 400
    assert "shown" in answer.json()["fields"]


def test_skip_and_release(tasks, next_task, api_of, bob, carol):
    tasks(1)
    bobs, carols = api_of(bob), api_of(carol)
    task = next_task(bobs).json()
    assert next_task(carols).status_code == 204
    assert bobs.post(f"/api/v1/tasks/{task['id']}/skip/", {"reason": "unsure"}, format="json").status_code == 200
    assert next_task(bobs).status_code == 204
    assert next_task(carols).json()["id"] == task["id"]
    assert carols.post(f"/api/v1/tasks/{task['id']}/release/").status_code == 200
    assert next_task(carols).json()["id"] == task["id"]


def test_a_task_of_another_project_does_not_exist(tasks, api_of, eve, next_task, bob, judgment_of):
    tasks(1)
    task = next_task(api_of(bob)).json()
    answer = api_of(eve).post(f"/api/v1/tasks/{task['id']}/judgments/", judgment_of(task), format="json")
    assert answer.status_code == 404


def test_rankings_count_as_their_pairs(tasks, next_task, api_of, bob, dave, project, judgment_of):
    tasks(1, models=("red", "green", "blue"), kind="ranking", outputs_per_task=3)
    api = api_of(bob)
    task = next_task(api).json()
    assert len(task["outputs"]) == 3
    assert api.post(f"/api/v1/tasks/{task['id']}/judgments/", judgment_of(task), format="json").status_code == 201
    assert board(api_of(dave), project)["votes"] == 3


def test_thumbs(tasks, next_task, api_of, bob, alice, project, judgment_of):
    made = tasks(1, models=("red",), kind="thumbs")
    assert made["created"] == 1
    api = api_of(bob)
    task = next_task(api).json()
    (output,) = task["outputs"]
    body = judgment_of(task, ranking=[[output["id"]]], thumbs={str(output["id"]): 1})
    assert api.post(f"/api/v1/tasks/{task['id']}/judgments/", body, format="json").status_code == 201
    frozen = api_of(alice).post(f"/api/v1/projects/{project.slug}/datasets/", {"kind": "unpaired"}, format="json")
    assert frozen.status_code == 201
    assert frozen.json()["counts"]["rows"] == 1


@pytest.mark.parametrize("overlap", [1, 3])
def test_eight_raters_drain_two_hundred_tasks_at_once(project, api_of, alice, outputs, judgment_of, overlap, next_task):
    """Every task gets exactly its number of judgments, and nothing but 2xx is ever answered."""
    from feedbackhub.projects.services import member_add
    from feedbackhub.rating.models import Judgment, Task
    from feedbackhub.rating.services import tallies_check

    project.judgments_per_task = overlap
    project.save()
    outputs(200, models=("red", "blue"))
    api_of(alice).post(f"/api/v1/projects/{project.slug}/tasks/", {"models": ["red", "blue"]}, format="json")
    users = [member_add(project=project, username=f"rater{n}", role="rater")[0].user for n in range(8)]
    statuses: list[int] = []

    def drain(user) -> None:
        try:
            api = api_of(user)
            answer = next_task(api)
            task = answer.json() if answer.status_code == 200 else None
            while task:
                url = f"/api/v1/tasks/{task['id']}/judgments/?next=1"
                answer = api.post(url, judgment_of(task, winner=task["id"] % 2), format="json")
                statuses.append(answer.status_code)
                task = answer.json().get("next_task")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=drain, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {201}
    judged = [task.judgments.filter(counted=True).count() for task in Task.objects.filter(project=project)]
    assert judged == [overlap] * 200
    assert Judgment.objects.count() == 200 * overlap
    assert tallies_check(project=project) == []
