"""One SFT round on several datasets: from form and API to run.json; a leak in any of them stops it."""

import json
import sys
from pathlib import Path

import pytest

from feedbackhub.catalog.models import ModelVersion, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.rounds import services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.estimates import estimate_create
from feedbackhub.rounds.models import Round
from feedbackhub.rounds.preflight import preflight
from feedbackhub.rounds.services import round_create
from feedbackhub.runs.services import run_supervise

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = pytest.mark.django_db(transaction=True)
SETTINGS = {"max_steps": 4, "batch_size": 4, "gradient_accumulation": 1, "sample_count": 0}


@pytest.fixture
def base(project, tmp_path, settings, monkeypatch):
    from training_cast import tiny_model

    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return ModelVersion.objects.create(
        project=project, name="tiny", kind="local", base=str(tiny_model(tmp_path / "tiny"))
    )


@pytest.fixture
def sums(project, alice, make_prompt):
    """Six demonstrations of one category, one of them to validate."""
    for number in range(6):
        split = "validation" if number == 5 else "train"
        make_prompt(f"say {number} ?", references=["one"], category="sums", split=split)
    return dataset_freeze(project=project, by=alice, kind="sft", filters={"categories": ["sums"]})


@pytest.fixture
def chats(project, alice, make_prompt):
    for number in range(4):
        make_prompt(f"what is {number} ?", references=["two"], category="chats")
    return dataset_freeze(project=project, by=alice, kind="sft", filters={"categories": ["chats"]})


@pytest.mark.trains
def test_from_the_form_to_a_model(project, alice, base, sums, chats, queue, client_of):
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/new/"
    page = admin.get(f"{url}?recipe=sft").content.decode()
    assert f'name="weight_{sums.pk}"' in page
    assert 'name="weight_' not in admin.get(f"{url}?recipe=dpo").content.decode()
    given = {f"setting_{name}": value for name, value in SETTINGS.items()}
    given |= {"recipe": "sft", "base_model": base.pk, "dataset": sums.pk, f"weight_{chats.pk}": "2.5", "check": 1}
    assert admin.post(url, given).status_code == 302
    made = Round.objects.get()
    assert made.dataset == sums
    assert [(part.dataset, part.weight) for part in made.parts.all()] == [(sums, 1.0), (chats, 2.5)]
    queue()
    assert made.estimates.get().run.state == "completed", made.estimates.get().run.error_message
    page = admin.get(f"/p/{project.slug}/rounds/{made.number}/").content.decode()
    assert f"dataset #{sums.pk} × 1, dataset #{chats.pk} × 2.5" in page
    assert "9 rows to train on" in page, "of both"
    services.round_launch(tuning_round=made)
    run = run_supervise(run_id=made.run_id)
    assert run.state == "completed", run.error_message
    parts = [(part["name"], part["rows"], part["an_epoch"]) for part in run.result["mixture"]]
    assert parts == [(f"dataset-{sums.pk}", 5, 3), (f"dataset-{chats.pk}", 4, 6)]
    assert f"validation_loss_dataset-{sums.pk}" in run.result["metrics"]


def test_through_the_api(project, alice, base, sums, chats, api_of):
    api, url = api_of(alice), f"/api/v1/projects/{project.slug}/rounds/"
    body = {"recipe": "sft", "base_model": "tiny", "settings": SETTINGS}
    mixture = [{"dataset": chats.pk, "weight": 3}, {"dataset": sums.pk, "weight": 1}]
    answer = api.post(url, {**body, "mixture": mixture}, format="json")
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["dataset"], answer.json()["mixture"]) == (chats.pk, mixture)
    made = Round.objects.get()
    spec = json.loads((made.run.directory / "run.json").read_text())
    assert spec["data"]["mixture"] == [
        {"name": f"dataset-{chats.pk}", "path": f"data/train-{chats.pk}.jsonl", "weight": 3},
        {
            "name": f"dataset-{sums.pk}",
            "path": f"data/train-{sums.pk}.jsonl",
            "weight": 1,
            "validation": f"data/validation-{sums.pk}.jsonl",
        },
    ]
    assert len((made.run.directory / "data" / f"train-{sums.pk}.jsonl").read_text().splitlines()) == 5
    assert "mixture" in api.get(f"/api/v1/rounds/{made.pk}/").json()
    for wrong, field in [
        ({}, "dataset"),
        ({"dataset": sums.pk, "mixture": mixture}, "dataset"),
        ({"mixture": [mixture[0], mixture[0]]}, "mixture"),
        ({"mixture": [{**mixture[0], "weight": 0}]}, "mixture"),
        ({"mixture": mixture, "recipe": "dpo"}, "mixture"),
    ]:
        answer = api.post(url, {**body, **wrong}, format="json")
        assert (answer.status_code, list(answer.json()["fields"])) == (400, [field]), wrong
    assert Round.objects.count() == 1


def test_every_dataset_of_it_is_looked_at_before(project, alice, base, sums, chats):
    """A test prompt in the second one stops the launch as in the first."""
    made = round_create(project=project, by=alice, recipe="sft", base_model=base, mixture=[(sums, 1.0), (chats, 1.0)])
    report = {finding["code"]: finding for finding in preflight(made)["findings"]}
    assert report["few_rows"]["figures"]["rows"] == 9
    Prompt.objects.filter(pk=chats.rows.first().prompt_id).update(split="test")
    assert "test_leak" in {finding["code"] for finding in preflight(made)["findings"]}
    with pytest.raises(DomainError) as caught:
        services.round_launch(tuning_round=made)
    assert caught.value.code == "preflight"
    assert estimate_create(tuning_round=made, by=alice).run.spec["data"]["mixture"]
