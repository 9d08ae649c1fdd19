"""The evaluation pages: who may see and ask, models side by side, what was wrong in words."""

import pytest

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.evaluation.models import Evaluation, Result
from feedbackhub.evaluation.selectors import comparison_table
from feedbackhub.evaluation.services import evaluation_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(project, weights):
    parent = model_create(project=project, name="tiny", kind="local", base=str(weights))
    tuned = ModelVersion.objects.create(
        project=project, name="tiny+dpo-r1", kind="local", base=parent.base, adapter="/nowhere", parent=parent
    )
    prompt, _ = prompt_get_or_create(project=project, prompt="dill", split="test", references=["a herb"])
    for model in (parent, tuned):
        Output.objects.create(prompt=prompt, model=model, parts=[{"type": "text", "text": model.name}], content_key="1")
    return [tuned, parent]


@pytest.fixture
def measured(project, models, stand_in, queue):
    """An evaluation with results: ROUGE-1 clearly better than the parent's, perplexity clearly worse."""
    evaluation = evaluation_create(project=project, models=models, suite="text-overlap")
    queue()
    for model, rouge, perplexity in zip(models, (31.0, 12.0), (20.0, 10.0)):
        for metric, value in (("rouge1", rouge), ("perplexity", perplexity)):
            Result.objects.create(
                evaluation=evaluation, model=model, metric=metric, value=value, lower=value - 1, upper=value + 1, n=50
            )
    difference = {"rouge1": {"value": 19.0, "lower": 15.0, "upper": 22.0, "n": 50}}
    difference["perplexity"] = {"value": 10.0, "lower": 8.0, "upper": 12.0, "n": 50}
    run = evaluation.parts.get(model=models[0]).run
    run.result = {**run.result, "differences": difference}
    run.save()
    evaluation.refresh_from_db()
    return evaluation


def test_models_stand_side_by_side_with_interval_count_and_difference(measured, models, client_of, dave):
    page = client_of(dave).get(f"/p/kitchen/evaluations/{measured.pk}/")
    assert page.status_code == 200
    text = " ".join(page.content.decode().split())
    assert "31.00" in text
    assert "[30.00, 32.00]" in text
    assert "n 50" in text
    assert "+19.00 against tiny" in text
    table = comparison_table(measured)
    verdicts = {row.name: row.cells[0].difference.verdict for row in table.rows if row.cells[0].difference}
    assert verdicts["rouge1"] == "better"
    assert verdicts["perplexity"] == "worse", "lower is better"
    assert [row.name for row in table.rows] == ["rouge1", "perplexity", "characters"]


def test_few_rows_give_no_verdict(measured, models):
    run = measured.parts.get(model=models[0]).run
    run.result["differences"]["rouge1"]["n"] = 3
    run.save()
    cell = comparison_table(measured).rows[0].cells[0]
    assert cell.difference.verdict == "too few rows"


def test_an_admin_asks_on_the_page(models, client_of, alice, stand_in, queue):
    browser = client_of(alice)
    assert browser.get("/p/kitchen/evaluations/").status_code == 200
    answer = browser.post("/p/kitchen/evaluations/new/", {"suite": "text-overlap", "models": [models[1].pk]})
    evaluation = Evaluation.objects.get()
    assert answer.url == f"/p/kitchen/evaluations/{evaluation.pk}/"
    assert "hx-get" in browser.get(answer.url).content.decode(), "it asks again while it waits"
    queue()
    page = browser.get(answer.url, headers={"HX-Request": "true"})
    assert "hx-get" not in page.content.decode()
    assert "<html" not in page.content.decode()


def test_what_is_wrong_is_said_on_the_page(models, project, client_of, alice):
    imported = model_create(project=project, name="gpt", kind="imported")
    browser = client_of(alice)
    page = browser.post("/p/kitchen/evaluations/new/", {"suite": "perplexity", "models": [imported.pk]})
    assert page.status_code == 400
    assert "no weights here" in page.content.decode()
    assert not Evaluation.objects.exists()


def test_who_may_see_and_ask(measured, client_of, bob, dave, eve):
    url = f"/p/kitchen/evaluations/{measured.pk}/"
    assert client_of(bob).get(url).status_code == 403
    assert client_of(eve).get(url).status_code == 404
    assert client_of(dave).get("/p/kitchen/evaluations/").status_code == 200
    assert client_of(dave).post("/p/kitchen/evaluations/new/", {}).status_code == 403
    assert client_of(dave).post(url + "stop/").status_code == 403
    assert client_of(dave).get("/p/kitchen/evaluations/999999/").status_code == 404
