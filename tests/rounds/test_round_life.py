"""A round's life: launched, trained for real on a tiny model, registered, followed up; and how each step says no."""

import json
import sys
from pathlib import Path

import pytest

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.services import prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Task
from feedbackhub.rounds import follow_up, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import FollowUp
from feedbackhub.runs.services import run_supervise

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def base(project, tmp_path, settings, monkeypatch):
    """A tiny model that can be trained, as a local model version."""
    from training_cast import tiny_model

    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tiny_model(tmp_path / "tiny")
    return ModelVersion.objects.create(
        project=project, name="tiny", kind="local", base=str(folder), decoding={"max_new_tokens": 8}
    )


@pytest.fixture
def demonstrations(project, alice):
    """Six prompts to learn from and two that are held out, all with references."""
    for number in range(8):
        split = "train" if number < 6 else "test"
        prompt_get_or_create(project=project, prompt=f"say {number}", references=[f"it is {number}"], split=split)
    return dataset_freeze(project=project, by=alice, kind="sft")


def draft(project, alice, base, dataset, **given):
    given = {"recipe": "sft", "settings": {"max_steps": 2, "batch_size": 2}, **given}
    return services.round_create(project=project, by=alice, base_model=base, dataset=dataset, **given)


def test_a_round_makes_a_model_that_answers_is_measured_and_meets_its_parent(
    project, alice, base, demonstrations, queue
):
    tuning_round = draft(project, alice, base, demonstrations)
    services.round_launch(tuning_round=tuning_round)
    for _ in range(8):  # the sweeper comes by, the workers work, until nothing is left to do
        queue()
        services.sweep()
        if not follow_up.unfinished_rounds().exists():
            break
    tuning_round.refresh_from_db()
    assert tuning_round.run.state == "completed", tuning_round.run.error_message
    child = tuning_round.model
    assert child.parent == base
    assert Path(child.adapter, "adapter_model.safetensors").is_file()
    messages = {step.step: (step.status, step.message) for step in tuning_round.follow_ups.all()}
    assert {status for status, _ in messages.values()} == {"done"}, messages
    assert Output.objects.filter(model=child, prompt__split="test").count() == 2
    assert Output.objects.filter(model=base).count() == 2
    metrics = tuning_round.follow_ups.get(step="evaluation").evaluation.results
    assert set(metrics.values_list("model__name", flat=True)) == {"tiny", child.name}
    assert {"rouge1", "rouge2", "rougeL", "bleu", "chrf"} <= set(metrics.values_list("metric", flat=True))
    step = tuning_round.follow_ups.get(step="pairs")
    assert step.tasks_created == Task.objects.filter(project=project).count()
    assert "its perplexity on general text" in messages["forgetting"][1]
    assert "of 96 simple questions it answers" in messages["forgetting"][1]
    assert "too small to fit power laws" in messages["weights"][1]


def test_a_draft_is_measured_before_it_is_launched(
    project, alice, base, demonstrations, queue, client_of, api_of, settings
):
    settings.ESTIMATE_SECONDS, settings.DEVICE_HOUR_PRICE = 0, 3600.0
    browser = client_of(alice)
    given = {"recipe": "sft", "base_model": base.pk, "dataset": demonstrations.pk, "setting_max_steps": 4}
    answer = browser.post(f"/p/{project.slug}/rounds/new/", {**given, "check": 1})
    page = browser.get(answer.url).content.decode()
    assert "A few of its micro-batches are computed" in page
    assert "estimated at four bytes a token" in page
    queue()
    waiting = browser.get(answer.url, headers={"HX-Request": "true", "HX-Target": "estimate"})
    assert waiting.headers["HX-Refresh"] == "true"
    page = browser.get(answer.url).content.decode()
    assert "4 steps" in page
    assert "counted by the model’s own tokenizer" in page
    tuning_round = project.rounds.get()
    assert tuning_round.run.state == "draft"
    found = api_of(alice).get(f"/api/v1/rounds/{tuning_round.pk}/preflight/").json()["estimate"]
    assert found["steps"] == 4
    assert found["cost"]["amount"] == pytest.approx(found["seconds"])  # a unit a second
    services.round_launch(tuning_round=tuning_round)
    refused = api_of(alice).post(f"/api/v1/rounds/{tuning_round.pk}/estimate/")
    assert refused.status_code == 409


@pytest.mark.trains
def test_thumbs_become_a_round_of_kto(project, alice, base, queue):
    import uuid

    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.services import model_get_or_create_imported
    from feedbackhub.rating.services import judgment_record, task_next, tasks_create

    model = model_get_or_create_imported(project=project, name="somebody")
    for number in range(6):
        prompt, _ = prompt_get_or_create(project=project, prompt=f"say {number}", split="train")
        Output.objects.create(prompt=prompt, model=model, parts=text_parts(f"it is {number}"), content_key=str(number))
    tasks_create(project=project, models=[model], kind="thumbs")
    while lease := task_next(project=project, rater=alice):
        (output,) = lease.outputs
        thumb = 1 if output.pk % 2 else -1
        said = {"key": str(uuid.uuid4()), "shown": [output.pk], "duration_ms": 1, "thumbs": {str(output.pk): thumb}}
        judgment_record(rater=alice, task=lease.task, payload=said)
    dataset = dataset_freeze(project=project, by=alice, kind="unpaired")
    tuning_round = draft(project, alice, base, dataset, recipe="kto")
    spec = json.loads((tuning_round.run.directory / "run.json").read_text())
    assert spec["votes"] == {"judgments": 6, "raters": 1}
    services.round_launch(tuning_round=tuning_round)
    services.round_complete(run=run_supervise(run_id=tuning_round.run_id))
    tuning_round.refresh_from_db()
    assert tuning_round.run.state == "completed", tuning_round.run.error_message
    assert Path(tuning_round.model.adapter, "adapter_model.safetensors").is_file()


def test_every_method_and_loss_can_be_asked_for_and_a_wrong_one_is_named(project, alice, base):
    from feedbackhub.rounds.recipes import recipes, settings_check

    assert {"sft", "reward", "dpo", "kto", "orpo", "simpo"} <= set(recipes())
    for recipe in ("sft", "reward", "dpo", "kto", "orpo", "simpo"):
        for method in ("lora", "qlora", "full", "frozen"):
            settings_check(recipe, {"method": method, "lora_variant": "dora", "early_stopping_patience": 2})
    settings_check("dpo", {"loss_mixture": "sigmoid 0.8 + bco_pair 0.2 + sft 1"})
    with pytest.raises(DomainError) as refused:
        settings_check("dpo", {"loss_mixture": "sigmoid 0.8, magic 1", "loss": "magic"})
    assert set(refused.value.fields) == {"settings.loss_mixture", "settings.loss"}


@pytest.mark.trains
def test_completing_twice_registers_once(project, alice, base, demonstrations, queue):
    tuning_round = draft(project, alice, base, demonstrations)
    services.round_launch(tuning_round=tuning_round)
    trained = run_supervise(run_id=tuning_round.run_id)
    services.round_complete(run=trained)
    services.round_complete(run=trained)
    assert ModelVersion.objects.filter(parent=base).count() == 1
    assert FollowUp.objects.filter(round=tuning_round).count() == len(follow_up.ORDER)


def test_the_sweeper_registers_what_a_lost_job_has_left(project, alice, base, demonstrations, queue):
    tuning_round = draft(project, alice, base, demonstrations)
    services.round_launch(tuning_round=tuning_round)
    run_supervise(run_id=tuning_round.run_id)  # trained, but the worker died before it could register the model
    tuning_round.refresh_from_db()
    assert tuning_round.model is None
    services.sweep()
    tuning_round.refresh_from_db()
    assert tuning_round.model.parent == base


@pytest.mark.trains
def test_without_held_out_prompts_the_steps_say_so(project, alice, base, queue):
    prompt_get_or_create(project=project, prompt="only one", references=["one"], split="train")
    dataset = dataset_freeze(project=project, by=alice, kind="sft")
    tuning_round = draft(project, alice, base, dataset)
    services.round_launch(tuning_round=tuning_round)
    queue()
    services.sweep()
    step = tuning_round.follow_ups.get(step="answers")
    assert step.status == "failed"
    assert "no prompt in the validation or test split" in step.message


@pytest.mark.trains
def test_a_failed_round_says_why_and_can_be_resumed(project, alice, base, demonstrations, queue):
    tuning_round = draft(project, alice, base, demonstrations)
    moved = Path(base.base).rename(Path(base.base).with_name("moved"))
    services.round_launch(tuning_round=tuning_round)
    queue()
    tuning_round.refresh_from_db()
    assert tuning_round.run.state == "failed"
    assert base.base in tuning_round.run.error_message
    moved.rename(base.base)
    services.round_resume(tuning_round=tuning_round)
    assert run_supervise(run_id=tuning_round.run_id).state == "completed"


def test_nothing_of_a_test_prompt_is_in_the_run_directory(project, alice, base, demonstrations):
    tuning_round = draft(project, alice, base, demonstrations)
    written = "".join(path.read_text() for path in tuning_round.run.directory.rglob("*.jsonl"))
    assert "say 0" in written
    assert "say 6" not in written
    assert "say 7" not in written


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": "gossip"}, 'recipe "gossip" is none of'),
        ({"recipe": "ppo", "settings": {"rule_min_words": 3}}, "learns from a dataset of kind prompts"),
        ({"recipe": "dpo"}, "learns from a dataset of kind preference"),
        ({"settings": {"speed": 1}}, '"speed" is no setting of sft'),
        ({"settings": {"max_steps": -1}}, "max_steps must be at least"),
        ({"settings": {"method": "magic"}}, "method must be one of"),
    ],
)
def test_a_round_that_cannot_be_is_refused_in_words(project, alice, base, demonstrations, change, says):
    with pytest.raises(DomainError, match=says):
        draft(project, alice, base, demonstrations, **change)


def test_a_model_without_weights_cannot_be_tuned(project, alice, demonstrations):
    imported = ModelVersion.objects.create(project=project, name="imported", kind="imported")
    with pytest.raises(DomainError, match="no weights here"):
        draft(project, alice, imported, demonstrations)


def test_a_draft_is_launched_once(project, alice, base, demonstrations, queue):
    tuning_round = draft(project, alice, base, demonstrations)
    services.round_launch(tuning_round=tuning_round)
    tuning_round.refresh_from_db()
    with pytest.raises(DomainError, match="not a draft"):
        services.round_launch(tuning_round=tuning_round)
    services.round_stop(tuning_round=tuning_round)
    tuning_round.refresh_from_db()
    assert tuning_round.run.state == "stopped"
