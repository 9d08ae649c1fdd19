"""Pages and API of a project's own suites: made, measured, looked at, followed up; and who may."""

import csv
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from feedbackhub.evaluation.models import DataRequest, Evaluation, SuiteVersion
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.evaluation.suites import suite_save
from feedbackhub.rating.models import Task

pytestmark = pytest.mark.django_db(transaction=True)
RULES = "rules:\n  - {kind: not_contains, texts: [dog], name: '=no dogs'}\n"
ITEMS = [{"id": "a", "prompt": "a dog <b>barks</b>", "tags": ["pets"]}, {"id": "b", "prompt": "salt"}]
LINES = "\n".join(map(json.dumps, ITEMS))
AT = "/p/kitchen/evaluations"


@pytest.fixture
def measured(project, parent, adapted, stand_in, queue):
    definition = {"rules": [{"kind": "not_contains", "texts": ["dog"], "name": "=no dogs"}]}
    suite_save(project=project, name="pets", definition=definition, items=ITEMS)
    evaluation = evaluation_create(project=project, models=[adapted, parent], suite="pets")
    queue()
    return Evaluation.objects.get(pk=evaluation.pk)


def words(page) -> str:
    return " ".join(page.content.decode().split())


def test_an_admin_makes_a_suite_and_measures_models_on_it(project, parent, client_of, alice, stand_in, queue):
    browser = client_of(alice)
    assert "No suite of your own yet" in words(browser.get(f"{AT}/suites/"))
    assert "not_contains" in words(browser.get(f"{AT}/suites/new/"))
    wrong = browser.post(f"{AT}/suites/new/", {"name": "pets", "definition": "rules: [", "items": "{"})
    assert wrong.status_code == 400
    assert "This is not YAML" in words(wrong)
    assert "line 1: this is not JSON" in words(wrong)
    aliases = browser.post(f"{AT}/suites/new/", {"name": "x", "definition": "a: &a [1]\nb: *a", "items": LINES})
    assert "aliases are not read" in words(aliases)
    made = browser.post(f"{AT}/suites/new/", {"name": "pets", "definition": RULES, "items": LINES})
    suite = SuiteVersion.objects.get()
    assert made.url == f"{AT}/suites/{suite.pk}/"
    page = words(browser.get(made.url))
    assert "pets v1" in page
    assert "a dog &lt;b&gt;barks" in page
    file = SimpleUploadedFile("items.jsonl", LINES.encode())
    browser.post(f"{AT}/suites/new/?from={suite.pk}", {"name": "more", "definition": RULES, "items": "", "file": file})
    assert SuiteVersion.objects.get(name="more").items.count() == 2
    again = browser.get(f"{AT}/suites/new/?from={suite.pk}").context["form"].initial
    assert [json.loads(line)["prompt"] for line in again["items"].splitlines()] == [row["prompt"] for row in ITEMS]
    assert browser.get(f"{AT}/suites/{suite.pk}/?as=jsonl").content.count(b"\n") == 2
    asked = browser.post(f"{AT}/new/", {"suite": "pets", "models": [parent.pk]})
    queue()
    assert "50.00" in words(browser.get(asked.url))


def test_an_evaluation_shows_what_fails_what_changed_and_what_was_reused(measured, parent, adapted, client_of, dave):
    browser = client_of(dave)
    page = words(browser.get(f"{AT}/{measured.pk}/"))
    assert "What tiny fails" in page
    assert "1 of 2 items" in page
    assert "0 of 2 items; 1 fixed, 0 new since tiny" in page
    assert "2 of 3 answers and scores were computed before and reused" in page
    assert "Ask raters" not in page, "a stakeholder changes nothing"
    items = words(browser.get(f"{AT}/{measured.pk}/items/?model={parent.pk}&group=tag:pets"))
    assert "has “dog”" in items
    assert "&lt;b&gt;barks" in items
    assert "salt" not in items.split("</form>")[-1]
    fixed = words(browser.get(f"{AT}/{measured.pk}/items/?model={adapted.pk}&show=fixed"))
    assert "a cat" in fixed
    assert "What tiny answered, which failed" in fixed
    assert "tiny+dpo-r1 passes 2 of 2 items." in page
    assert page.count("From round to round") == 1, "the parent’s line stands in the child’s"
    assert browser.get(f"{AT}/{measured.pk}/items/?model=nobody").status_code == 404


def test_what_is_shown_can_be_had_as_csv_and_json(measured, client_of, dave):
    browser = client_of(dave)
    rows = list(csv.DictReader(io.StringIO(browser.get(f"{AT}/{measured.pk}/?as=csv").content.decode())))
    assert list(rows[0]) == ["model", "metric", "value", "lower", "upper", "n"]
    found = browser.get(f"{AT}/{measured.pk}/?as=json").json()["results"]
    assert {(row["model"], row["metric"]) for row in found} == {(row["model"], row["metric"]) for row in rows}
    assert "rule:=no dogs" in {row["metric"] for row in found}


def test_two_evaluations_are_compared(measured, project, parent, client_of, dave, queue):
    other = evaluation_create(project=project, models=[parent], suite="pets")
    queue()
    browser = client_of(dave)
    assert "Choose two evaluations" in words(browser.get(f"{AT}/compare/"))
    page = words(browser.get(f"{AT}/compare/?a={measured.pk}&b={other.pk}"))
    assert f"tiny #{measured.pk}" in page
    assert f"tiny #{other.pk}" in page
    assert "different suites" not in page
    forgetting = evaluation_create(project=project, models=[parent], suite="forgetting")
    queue()
    assert "different suites" in words(browser.get(f"{AT}/compare/?a={measured.pk}&b={forgetting.pk}"))


def test_one_click_leads_to_raters_or_to_a_data_request(measured, parent, client_of, alice):
    browser, group = client_of(alice), {"model": parent.pk, "group": "tag:pets"}
    assert "Ask raters" in words(browser.get(f"{AT}/{measured.pk}/"))
    assert browser.post(f"{AT}/{measured.pk}/failures/queue/", group).url == "/p/kitchen/rate/tasks/"
    assert Task.objects.count() == 1
    asked = browser.post(f"{AT}/{measured.pk}/failures/request/", group)
    assert "a dog &lt;b&gt;barks" in words(browser.get(asked.url))
    wish = DataRequest.objects.get()
    browser.post(f"{AT}/requests/{wish.pk}/done/")
    assert DataRequest.objects.get().done_at
    browser.post(f"{AT}/requests/{wish.pk}/done/", {"open": "1"})
    assert DataRequest.objects.get().done_at is None


def test_who_may(measured, client_of, bob, dave, eve):
    suite = measured.suite_version_id
    read = [f"{AT}/suites/", f"{AT}/suites/{suite}/", f"{AT}/compare/", f"{AT}/{measured.pk}/items/?model=tiny"]
    write = [f"{AT}/suites/new/", f"{AT}/suites/{suite}/delete/", f"{AT}/{measured.pk}/failures/queue/"]
    for url in read:
        assert [client_of(one).get(url).status_code for one in (dave, bob, eve)] == [200, 403, 404], url
    for url in write:
        assert [client_of(one).post(url).status_code for one in (dave, eve)] == [403, 404], url
    assert client_of(dave).get(f"{AT}/requests/").status_code == 403


def test_the_api_does_the_same(project, parent, adapted, api_of, alice, dave, stand_in, queue):
    api, at = api_of(alice), "/api/v1/projects/kitchen"
    body = {"name": "pets", "definition": {"rules": [{"kind": "not_contains", "texts": ["dog"]}]}, "items": ITEMS}
    made = api.post(f"{at}/suites/", body, format="json")
    assert (made.status_code, made.json()["version"], made.json()["kind"]) == (201, 1, "rules")
    wrong = api.post(f"{at}/suites/", {**body, "items": [{"prompt": ""}]}, format="json")
    assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["items"])
    asked = api.post(f"{at}/evaluations/", {"models": [adapted.name, parent.name], "suite": "pets"}, format="json")
    queue()
    found = f"/api/v1/evaluations/{asked.json()['id']}/"
    shown = api.get(found).json()
    assert (shown["status"], shown["suite"], shown["version"]) == ("done", "pets", 1)
    assert set(shown["results"][0]) == {"model", "metric", "value", "lower", "upper", "n"}
    assert shown["reuse"][parent.name] == {"asked": 3, "reused": 2}
    assert api.get(f"{found}items/?model=tiny&failed=1").json()["results"][0]["item"] == "a"
    failing = api.get(f"{found}failures/", {"model": adapted.name}).json()
    assert failing["compared_with"]["model"] == "tiny"
    assert failing["groups"][0] == {"group": "", "failed": 0, "total": 2, "fixed": 1, "new": 0}
    wish = api.post(f"{found}data-requests/", {"model": "tiny", "group": "tag:pets", "note": "More."}, format="json")
    assert wish.status_code == 201
    assert api.get(f"{at}/data-requests/").json()["results"][0]["note"] == "More."
    queued = api.post(f"{found}queue/", {"model": "tiny"}, format="json")
    assert (queued.status_code, queued.json()["created"]) == (201, 1)
    assert api.delete(f"/api/v1/suites/{made.json()['id']}/").status_code == 409
    assert api_of(dave).post(f"{at}/suites/", body, format="json").status_code == 403
    assert api_of(dave).get(f"{at}/suites/").status_code == 200
