"""A round's story: votes, dataset, curves, metrics and verdict on one page."""

import io

import pytest
from pypdf import PdfReader

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.rating.models import PairTally
from feedbackhub.rounds.models import PreferenceDataset, Round
from feedbackhub.runs.models import Run, RunEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(project, alice):
    parent = ModelVersion.objects.create(project=project, name="parent", kind="local", base="/nowhere")
    child = ModelVersion.objects.create(project=project, name="child", kind="local", base="/nowhere", parent=parent)
    counts = {"rows": 40, "train": 32, "validation": 8, "prompts": 40, "judgments": 60, "raters": 3}
    dataset = PreferenceDataset.objects.create(
        project=project,
        kind="preference",
        counts={**counts, "sources": {"rater": 50, "simulated": 10}},
        excluded={"no_majority": 5},
        content_hash="abcdef0123456789",
        created_by=alice,
    )
    run = Run.objects.create(project=project, recipe="dpo", job="", spec={}, state="completed")
    for step in (1, 2, 3):
        data = {"step": step, "split": "train", "values": {"loss": 1 / step}}
        RunEvent.objects.create(run=run, offset=step, t=step, type="metric", data=data)
    PairTally.objects.create(project=project, source="rater", model_a=parent, model_b=child, wins_a=10, wins_b=40)
    return Round.objects.create(
        project=project,
        number=1,
        recipe="dpo",
        base_model=parent,
        dataset=dataset,
        run=run,
        model=child,
        created_by=alice,
    )


def test_the_story_goes_from_the_votes_to_the_verdict(made, client_of, dave, bob):
    answer = client_of(dave).get("/p/kitchen/story/1/")
    text = " ".join(answer.content.decode().split())
    assert answer.status_code == 200
    votes, rows = "Rater 50, Simulated rater 10", "32 to learn from, 8 held out"
    order = ["child is better than parent.", votes, rows, "no majority: 5", "Loss", "What raters say, blind"]
    places = [text.find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)
    assert "10 judgments by programs" in text
    assert "/rounds/datasets/" not in text, "a stakeholder may not open it"
    assert client_of(bob).get("/p/kitchen/story/1/").status_code == 403
    assert client_of(dave).get("/p/kitchen/story/9/").status_code == 404


def test_a_round_without_a_model_says_so(made, client_of, dave):
    made.model = None
    made.save()
    text = client_of(dave).get("/p/kitchen/story/1/").content.decode()
    assert "It has not made a model yet." in text
    assert "What raters say" not in text


def test_the_story_on_paper(made, client_of, dave):
    answer = client_of(dave).get("/p/kitchen/story/1/?as=pdf")
    assert answer["Content-Type"] == "application/pdf"
    pages = PdfReader(io.BytesIO(answer.content)).pages
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    for words in ("The story of round 1 (DPO)", "child is better than parent.", "32 to learn from", "Loss", "40 : 10"):
        assert words in text, words
    made.model = None
    made.save()
    assert client_of(dave).get("/p/kitchen/story/1/?as=pdf").status_code == 200
