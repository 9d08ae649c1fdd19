"""The loop by API, up to a launched round; and the errors a script would meet on its way."""

import json

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rated(project, api_of, alice, bob, outputs, judgment_of):
    """Ten pairs, all judged."""
    outputs(10, models=("red", "blue"))
    api_of(alice).post(f"/api/v1/projects/{project.slug}/tasks/", {"models": ["red", "blue"]}, format="json")
    api = api_of(bob)
    task = api.post(f"/api/v1/projects/{project.slug}/tasks/next/").json()
    while task:
        url = f"/api/v1/tasks/{task['id']}/judgments/?next=1"
        task = api.post(url, judgment_of(task, winner=task["id"] % 2), format="json").json()["next_task"]


@pytest.fixture
def admin(api_of, alice, project):
    api = api_of(alice)

    def send(path, body):
        return api.post(f"/api/v1/projects/{project.slug}/{path}/", body, format="json")

    return send


def test_freeze_and_export(rated, admin, api_of, alice):
    answer = admin("datasets", {"kind": "preference"})
    assert answer.status_code == 201
    dataset = answer.json()
    assert dataset["counts"]["rows"] == 10
    assert len(dataset["hash"]) == 64
    export = api_of(alice).get(f"/api/v1/datasets/{dataset['id']}/export/?format=trl")
    rows = [json.loads(line) for line in b"".join(export.streaming_content).splitlines()]
    assert len(rows) == 10
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}
    wrong = api_of(alice).get(f"/api/v1/datasets/{dataset['id']}/export/?format=alpaca")
    assert wrong.status_code == 400


def test_no_usable_row_is_a_400_with_the_reasons(admin):
    answer = admin("datasets", {"kind": "preference"})
    assert answer.status_code == 400
    assert answer.json()["excluded"] == {}


def test_a_round_is_drafted_launched_stopped(rated, admin, api_of, alice, dave):
    dataset = admin("datasets", {"kind": "preference"}).json()["id"]
    body = {"recipe": "dpo", "base_model": "smollm2-135m", "dataset": dataset, "settings": {"max_steps": 2}}
    answer = admin("rounds", body)
    assert answer.status_code == 201, answer.content
    assert answer.json()["state"] == "draft"
    url = f"/api/v1/rounds/{answer.json()['id']}/"
    api = api_of(alice)
    assert api.post(url + "launch/").status_code == 202
    assert api.get(url).json()["state"] == "queued"
    assert api.post(url + "launch/").status_code == 409
    assert api.post(url + "stop/").status_code == 202
    assert api_of(dave).get(url).json()["state"] == "stopped"
    assert api_of(dave).get(url + "events/").json() == {"results": [], "next": None}
    assert api_of(dave).post(url + "resume/").status_code == 403


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": "gossip"}, "recipe"),
        ({"recipe": "sft"}, "dataset"),
        ({"base_model": "nobody"}, "nobody"),
        ({"base_model": "red"}, "base_model"),
        ({"settings": {"speed": 11}}, "settings.speed"),
        ({"settings": {"max_steps": 0}}, "settings.max_steps"),
        ({"settings": {"learning_rate": "fast"}}, "settings.learning_rate"),
        ({"dataset": 999999}, "999999"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_round_says_what_is_wrong(rated, admin, change, named):
    dataset = admin("datasets", {"kind": "preference"}).json()["id"]
    body = {"recipe": "dpo", "base_model": "smollm2-135m", "dataset": dataset, **change}
    answer = admin("rounds", body)
    assert answer.status_code in (400, 404)
    assert named in json.dumps(answer.json())


@pytest.mark.parametrize(
    "query", ["?method=gossip", "?category=nowhere", "?control=weight", "?as_of=yesterday", "?x=1"]
)
def test_a_leaderboard_parameter_that_is_wrong_is_named(api_of, dave, project, query):
    answer = api_of(dave).get(f"/api/v1/projects/{project.slug}/leaderboard/{query}")
    assert answer.status_code == 400
    assert answer.json()["fields"]


def test_a_against_b(rated, api_of, dave, project):
    api = api_of(dave)
    answer = api.get(f"/api/v1/projects/{project.slug}/ab/?a=red&b=blue").json()
    flipped = api.get(f"/api/v1/projects/{project.slug}/ab/?a=blue&b=red").json()
    assert answer["wins_a"] + answer["wins_b"] == 10
    assert answer["wins_a"] == flipped["wins_b"]
    assert {one["category"] for one in answer["categories"]} == {"even", "odd"}
    assert answer["position_bias"]["decided"] == 10
    assert api.get(f"/api/v1/projects/{project.slug}/ab/?a=red").status_code == 400
    assert api.get(f"/api/v1/projects/{project.slug}/ab/?a=red&b=red").status_code == 400
    assert api.get(f"/api/v1/projects/{project.slug}/ab/?a=red&b=nobody").status_code == 404


def test_bad_lines_are_reported_and_good_ones_kept(upload):
    report = upload("prompts", [{"prompt": "Good?"}, {"prompt": ""}, {"nothing": 1}])
    assert report["status"] == "done"
    assert report["created"]["prompts"] == 1
    assert [one["line"] for one in report["rejected"]] == [2, 3]
    assert report["rejected_count"] == 2


def test_an_import_of_an_unknown_kind_or_a_map_that_is_no_json_is_a_400(api_of, alice, project):
    import io

    api = api_of(alice)
    for fields, named in (({"kind": "gossip"}, "kind"), ({"kind": "prompts", "map": "{"}, "map")):
        file = io.BytesIO(b"{}\n")
        file.name = "rows.jsonl"
        answer = api.post(f"/api/v1/projects/{project.slug}/imports/", {"file": file, **fields})
        assert answer.status_code == 400, answer.content
        assert named in answer.json()["fields"]


def test_an_unknown_base_folder_is_a_400(admin):
    answer = admin("models", {"name": "ghost", "kind": "local", "base": "/nowhere/at/all"})
    assert answer.status_code == 400
    assert "/nowhere/at/all" in answer.json()["detail"]
