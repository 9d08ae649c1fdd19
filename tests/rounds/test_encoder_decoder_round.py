"""An encoder–decoder in the catalogue: tuned on summaries from the page, with ROUGE before and after."""

import sys
from pathlib import Path

import pytest

from feedbackhub.catalog.models import Output
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.evaluation.models import Result
from feedbackhub.rounds import follow_up, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import Round
from feedbackhub.rounds.recipes import ENCODER_DECODER

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def base(project, tmp_path, settings, monkeypatch):
    from seq2seq_cast import tiny_t5

    settings.RUNS_DIR, settings.MODELS_DIR = tmp_path / "runs", tmp_path / "models"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = str(tiny_t5(tmp_path / "t5"))
    return model_create(project=project, name="tiny-t5", kind="local", base=folder, decoding={"max_new_tokens": 4})


@pytest.fixture
def dialogues(project):
    """Dialogues with summaries: ten to learn from, six held out."""
    from seq2seq_cast import dialogues

    for number, row in enumerate(dialogues()):
        asked, summary = (message["content"] for message in row["messages"])
        split = "test" if number % 8 > 4 else "train"
        prompt_get_or_create(project=project, prompt=asked, references=[summary], split=split)


@pytest.mark.trains
def test_dialogues_are_summed_up_better_after_a_round(project, alice, base, dialogues, queue, client_of):
    dataset = dataset_freeze(project=project, by=alice, kind="sft")
    given = {"max_steps": 100, "learning_rate": 0.02, "lora_r": 32, "batch_size": 8, "gradient_accumulation": 1}
    given = {f"setting_{name}": value for name, value in given.items()}
    given |= {"recipe": "sft", "base_model": base.pk, "dataset": dataset.pk}
    assert client_of(alice).post(f"/p/{project.slug}/rounds/new/", given).status_code == 302
    queue()
    made = Round.objects.get()
    assert made.run.state == "completed", made.run.error_message
    for _step in ("the parent's answers", "metrics"):
        services.sweep()
        queue()
    assert Output.objects.filter(model=made.model).count() == 6
    after, before = (Result.objects.get(model=one, metric="rougeL").value for one in (made.model, base))
    assert after > before + 20
    services.sweep()
    assert set(made.follow_ups.filter(status="done").values_list("step", flat=True)) >= set(follow_up.ORDER[:4])


def test_a_recipe_that_it_cannot_learn_by_is_refused_before_a_draft_is_made(project, alice, base, api_of, dialogues):
    from training.networks.encoder_decoder import RECIPES

    assert ENCODER_DECODER == RECIPES
    dataset = dataset_freeze(project=project, by=alice, kind="prompts")
    body = {"recipe": "grpo", "base_model": "tiny-t5", "dataset": dataset.pk, "settings": {"rule_max_words": 9}}
    answer = api_of(alice).post(f"/api/v1/projects/{project.slug}/rounds/", body, format="json")
    assert answer.status_code == 400
    assert "is an encoder–decoder; recipe grpo is for causal models" in answer.json()["fields"]["base_model"]
    assert not Round.objects.exists()
