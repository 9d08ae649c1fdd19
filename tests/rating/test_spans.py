"""Marked spans: checked against the stored text, by API and by form, and kept through an edit."""

import json

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.services import judgment_record, tasks_create

pytestmark = pytest.mark.django_db
TEXT = "Bats 🦇 are **birds**.\r\nThey see well."


@pytest.fixture
def lease(answers, project, leased, bob):
    """Bob's task: two answers that begin alike, with an emoji outside of the basic plane and Windows' line ends."""
    models = {**answers(1, "red", text=TEXT), **answers(1, "blue", text=f"{TEXT} And so on.")}
    tasks_create(project=project, models=list(models.values()))
    return leased(bob)


@pytest.fixture
def span(lease):
    """span(at, to, **changes): of the first answer shown, as it should be but for `changes`; None leaves one out."""

    def make(at=13, to=18, **changes):
        of = {"output": lease.outputs[0].pk, "start": at, "end": to, "text": TEXT[at:to], "reason": "unclear"}
        return {name: value for name, value in {**of, **changes}.items() if value is not None}

    return make


def test_spans_count_characters_of_the_stored_text(lease, span, said, bob):
    second = lease.outputs[1].pk
    given = [span(output=second), span(5, 6, reason="A bat, of all things"), span(text=None), span()]
    made = judgment_record(rater=bob, task=lease.task, payload=said(lease, spans=given)).judgment
    first, *others = made.spans
    assert first == span(5, 6, text="🦇", reason="A bat, of all things")
    assert [one["text"] for one in others] == ["birds", "birds"], "the same span twice is one"
    assert [one["output"] for one in others] == [lease.outputs[0].pk, second], "spans stand in the order of the answers"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": 999_999}, "those shown are"),
        ({"output": "1"}, "those shown are"),
        ({"start": -1}, "0 <= start < end"),
        ({"start": 18}, "0 <= start < end"),
        ({"start": 1.0}, "0 <= start < end"),
        ({"start": True}, "0 <= start < end"),
        ({"end": 2 * len(TEXT)}, "0 <= start < end"),
        ({"end": 2**70}, "0 <= start < end"),
        ({"text": "bats"}, "are 'birds'"),
        ({"text": 5}, "are 'birds'"),
        ({"start": 6, "end": 7, "text": None}, "nothing but space"),
        ({"reason": None}, 'no "reason"'),
        ({"reason": " "}, "must have a reason"),
        ({"reason": "x" * 201}, "must have a reason"),
        ({"reason": "\x00"}, "must have a reason"),
        ({"reason": "\ud800"}, "must have a reason"),
        ({"reason": ["unclear"]}, "must have a reason"),
        ({"colour": "red"}, '"colour"'),
    ],
)
def test_a_wrong_span_is_refused_in_words(lease, span, said, bob, changes, words):
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload=said(lease, spans=[span(0, 4), span(**changes)]))
    assert refused.value.status == 400
    assert set(refused.value.fields) == {"spans"}
    assert "number 2" in refused.value.message
    assert words in refused.value.message
    assert not Judgment.objects.exists()


@pytest.mark.parametrize("value", ["birds", {"output": 1}, 7, ["birds"], [None]])
def test_spans_are_a_list_of_objects(lease, said, bob, value):
    with pytest.raises(DomainError) as refused:
        judgment_record(rater=bob, task=lease.task, payload=said(lease, spans=value))
    assert set(refused.value.fields) == {"spans"}


def test_more_spans_than_anybody_reads_are_refused(lease, span, said, bob):
    with pytest.raises(DomainError, match="at most 100"):
        judgment_record(rater=bob, task=lease.task, payload=said(lease, spans=[span()] * 101))


def test_the_api_takes_and_gives_spans(lease, span, said, api_of, bob, project):
    api = api_of(bob)
    url = f"/api/v1/tasks/{lease.task.pk}/judgments/"
    refused = api.post(url, said(lease, spans=[span(text="bats")]), format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["spans"])
    assert api.post(url, said(lease, spans=[span()]), format="json").status_code == 201
    (listed,) = api.get(f"/api/v1/projects/{project.slug}/judgments/").json()["results"]
    assert listed["spans"] == [span()]
    schema = api.get("/api/v1/schema/", headers={"Accept": "application/json"}).json()
    body = schema["paths"]["/api/v1/tasks/{id}/judgments/"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]["spans"]["items"]["properties"]) == set(span())


def test_the_form_sends_them_and_an_edit_and_the_history_show_them(lease, span, client_of, bob, project):
    mine, at = client_of(bob), f"/p/{project.slug}/rate"
    shown = [output.pk for output in lease.outputs]
    form = {"key": "5e1f6a9e-0000-4000-8000-000000000001", "shown": ",".join(map(str, shown)), "verdict": "tie"}
    form |= {"duration_ms": "900", "spans": "[{"}
    refused = mine.post(f"{at}/{lease.task.pk}/", form, headers={"HX-Request": "true"})
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["spans"])
    mine.post(f"{at}/{lease.task.pk}/", {**form, "spans": json.dumps([span(reason="No <b>bird</b>")])})
    made = Judgment.objects.get()
    assert made.spans == [span(reason="No <b>bird</b>")]
    history = mine.get(f"{at}/history/").content.decode()
    assert "birds" in history
    assert "No &lt;b&gt;bird&lt;/b&gt;" in history
    page = mine.get(f"{at}/history/{made.pk}/edit/").content.decode()
    assert "&quot;reason&quot;: &quot;No &lt;b&gt;bird&lt;/b&gt;&quot;" in page
