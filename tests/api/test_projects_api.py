"""Projects, members, roles: who may do what, and how it says no."""

import pytest

pytestmark = pytest.mark.django_db
NEW = {"slug": "tea", "name": "Tea", "task_kind": "pairwise", "judgments_per_task": 2}


def test_a_superuser_creates_a_project_and_is_its_admin(api_of, root):
    api = api_of(root)
    assert api.post("/api/v1/projects/", NEW, format="json").status_code == 201
    members = api.get("/api/v1/projects/tea/members/").json()
    assert members == {"results": [{"username": "root", "role": "admin"}], "next": None}


def test_nobody_else_creates_projects(api_of, alice):
    answer = api_of(alice).post("/api/v1/projects/", NEW, format="json")
    assert answer.status_code == 403
    assert "superuser" in answer.json()["detail"]


def test_a_taken_slug_is_a_conflict(api_of, root, project):
    answer = api_of(root).post("/api/v1/projects/", {**NEW, "slug": project.slug}, format="json")
    assert answer.status_code == 409
    assert "slug" in answer.json()["fields"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"slug": "tea", "judgments_per_task": NaN}', "NaN"),
        ('{"slug": "tea", ', "JSON parse error - "),
        ('{"slug": ' + "[" * 100_000, "nested too deeply (more than 100 levels)"),
        (b'{"slug": "\xff"}', "utf-8"),
        (r'{"slug": ["a", {"\ud83d": 1}]}', r"\ud83d is half a character (a lone surrogate)"),
    ],
)
def test_a_body_that_is_no_json_is_a_400_in_words(api_of, root, body, said):
    answer = api_of(root).post("/api/v1/projects/", body, content_type="application/json")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"task_kind": "gossip"}, "task_kind"),
        ({"judgments_per_task": 0}, "judgments_per_task"),
        ({"slug": "Not a slug"}, "slug"),
        ({"task_kind": "scores"}, "criteria"),
        ({"task_kind": "scores", "criteria": [{"key": "a", "label": "A", "min": 5, "max": 1}]}, "criteria"),
    ],
)
def test_a_bad_field_is_a_400_that_names_it(api_of, root, change, field):
    answer = api_of(root).post("/api/v1/projects/", {**NEW, **change}, format="json")
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code", "fields"}
    assert field in answer.json()["fields"]


def test_a_new_member_gets_a_token_once_that_works(api_of, alice, project):
    url = f"/api/v1/projects/{project.slug}/members/"
    answer = api_of(alice).post(url, {"username": "zoe", "role": "rater"}, format="json")
    assert answer.status_code == 201
    token = answer.json()["token"]
    again = api_of(alice).post(url, {"username": "zoe", "role": "stakeholder"}, format="json")
    assert again.status_code == 201
    assert "token" not in again.json()
    from rest_framework.test import APIClient

    zoe = APIClient()
    zoe.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert zoe.get(f"/api/v1/projects/{project.slug}/").json()["roles"] == ["rater", "stakeholder"]


def test_a_password_for_an_existing_user_is_a_conflict(api_of, alice, bob, project):
    body = {"username": "bob", "role": "admin", "password": "another-password-1"}
    answer = api_of(alice).post(f"/api/v1/projects/{project.slug}/members/", body, format="json")
    assert answer.status_code == 409


def test_an_unknown_role_is_named(api_of, alice, project):
    body = {"username": "zoe", "role": "boss"}
    answer = api_of(alice).post(f"/api/v1/projects/{project.slug}/members/", body, format="json")
    assert answer.status_code == 400
    assert 'role "boss"' in answer.json()["detail"]


def test_without_a_token_it_is_401_and_a_wrong_one_too(client, project):
    assert client.get("/api/v1/projects/").status_code == 401
    assert client.get("/api/v1/projects/", headers={"authorization": "Token nonsense"}).status_code == 401


ADMIN_ONLY = ["imports", "members", "prompts", "outputs", "generations", "tasks", "datasets"]
REPORTS = ["models", "rounds", "evaluations", "leaderboard", "agreement"]


@pytest.mark.parametrize("path", ADMIN_ONLY + REPORTS)
def test_a_project_of_others_does_not_exist_for_an_outsider(api_of, eve, project, path):
    assert api_of(eve).get(f"/api/v1/projects/{project.slug}/{path}/").status_code == 404


@pytest.mark.parametrize("path", ADMIN_ONLY + REPORTS)
def test_a_rater_sees_neither_administration_nor_reports(api_of, bob, project, path):
    assert api_of(bob).get(f"/api/v1/projects/{project.slug}/{path}/").status_code == 403


@pytest.mark.parametrize("path", REPORTS)
def test_a_stakeholder_reads_reports(api_of, dave, project, path):
    assert api_of(dave).get(f"/api/v1/projects/{project.slug}/{path}/").status_code == 200


@pytest.mark.parametrize("path", ADMIN_ONLY)
def test_a_stakeholder_changes_nothing_and_sees_no_administration(api_of, dave, project, path):
    assert api_of(dave).get(f"/api/v1/projects/{project.slug}/{path}/").status_code == 403


def test_collections_come_in_pages_by_cursor(api_of, root):
    from feedbackhub.projects.services import project_create

    for number in range(5):
        project_create(by=root, slug=f"p{number}", name=f"P{number}")
    api, seen = api_of(root), []
    url = "/api/v1/projects/?limit=2"
    while url:
        page = api.get(url).json()
        seen += [one["slug"] for one in page["results"]]
        url = page["next"]
    assert sorted(seen) == [f"p{number}" for number in range(5)]
    assert len(seen) == 5


def test_a_cursor_that_is_no_number_is_a_400(api_of, root):
    answer = api_of(root).get("/api/v1/projects/?cursor=abc")
    assert answer.status_code == 400
    assert "cursor" in answer.json()["fields"]


def test_a_body_that_is_no_json_is_a_400(api_of, root):
    answer = api_of(root).post("/api/v1/projects/", "{", content_type="application/json")
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code", "fields"}
    answer = api_of(root).post("/api/v1/projects/", "[1]", content_type="application/json")
    assert answer.status_code == 400


def test_the_schema_and_its_pages_are_there(client_of, root):
    browser = client_of(root)
    assert browser.get("/api/v1/schema/").status_code == 200
    assert browser.get("/api/docs/").status_code == 200
