"""A round that learns from answers of its own: by a reward model named on the page or through the API, or by rules."""

import shutil
import sys
from pathlib import Path

import pytest
from django.urls import reverse

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.rounds import follow_up, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import Round
from feedbackhub.rounds.preflight import preflight
from feedbackhub.runs.services import run_supervise

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = pytest.mark.django_db(transaction=True)
SETTINGS = {"max_steps": 2, "max_new_tokens": 4, "rollout_prompts": 2, "num_generations": 2, "batch_size": 4}


@pytest.fixture
def base(project, tmp_path, settings, monkeypatch):
    from training_cast import tiny_model

    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tiny_model(tmp_path / "tiny")
    return ModelVersion.objects.create(
        project=project, name="tiny", kind="local", base=str(folder), decoding={"max_new_tokens": 4}
    )


@pytest.fixture
def reward(project, base, tmp_path):
    """A reward model of the same base: its heads alone, on the base as it is."""
    import json

    from training_cast import finished, preference_rows

    folder = tmp_path / "reward"
    (folder / "data").mkdir(parents=True)
    rows = "".join(json.dumps(row) + "\n" for row in preference_rows())
    (folder / "data" / "train.jsonl").write_text(rows)
    spec = {"recipe": "reward", "base": {"path": base.base}, "data": {"train": "data/train.jsonl"}}
    (folder / "run.json").write_text(json.dumps({**spec, "settings": {"max_steps": 5, "heads": 2}}))
    finished(folder)
    adapter = str(folder / "adapter")
    return ModelVersion.objects.create(
        project=project, name="tiny+reward", kind="local", base=base.base, adapter=adapter, role="reward", parent=base
    )


@pytest.fixture
def audit(project, base, reward):
    """Another one, by its name; the same files serve."""
    other = Path(reward.adapter).parent / "other"
    shutil.copytree(reward.adapter, other)
    return ModelVersion.objects.create(
        project=project, name="tiny+audit", kind="local", base=base.base, adapter=str(other), role="reward", parent=base
    )


@pytest.fixture
def held_out(project, alice):
    """Four prompts to learn from, two to look at."""
    for number in range(6):
        prompt_get_or_create(
            project=project, prompt=f"what is {number} ?", split="train" if number < 4 else "validation"
        )
    return dataset_freeze(project=project, by=alice, kind="prompts")


@pytest.fixture
def prompts(project, alice):
    """Six to learn from, none held out: what follows a round is tried elsewhere."""
    for number in range(6):
        prompt_get_or_create(project=project, prompt=f"what is {number} ?", split="train")
    return dataset_freeze(project=project, by=alice, kind="prompts")


@pytest.mark.trains
def test_from_the_page_to_a_model(project, alice, base, reward, prompts, queue, client_of, api_of):
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/"
    dataset_page = admin.get(reverse("rounds:dataset", args=[project.slug, prompts.pk])).content.decode()
    assert f"?dataset={prompts.pk}&amp;recipe=grpo" in dataset_page
    page = admin.get(f"{url}new/?recipe=grpo").content.decode()
    assert "tiny+reward" in page, "the reward model is offered"
    assert 'name="setting_num_generations"' in page.split("More settings")[0], "among the first settings"
    assert "tiny+reward" not in admin.get(f"{url}new/?recipe=dpo").content.decode()

    given = {f"setting_{name}": value for name, value in SETTINGS.items()}
    given |= {"recipe": "grpo", "base_model": base.pk, "dataset": prompts.pk, "reward_model": reward.pk}
    assert admin.post(f"{url}new/", given).status_code == 302
    made = Round.objects.get()
    assert made.reward_model == reward
    queue()
    made.refresh_from_db()
    assert made.run.state == "completed", made.run.error_message
    assert made.model.role == "policy"
    assert {step.step for step in made.follow_ups.all()} == set(follow_up.ORDER), "as after any other round"
    page = admin.get(f"{url}{made.number}/").content.decode()
    assert "tiny+reward" in page
    assert 'id="curve-reward"' in page
    shown = api_of(alice).get(f"/api/v1/rounds/{made.pk}/").json()
    assert (shown["reward_model"], shown["model"]) == ("tiny+reward", made.model.name)
    assert shown["result"]["metrics"]["train_kl"] is not None


def test_the_api_takes_every_online_recipe_with_the_names_of_the_contract(
    project, alice, base, reward, prompts, api_of
):
    for recipe in ("grpo", "rloo", "ppo"):
        settings = {"beta": 0.1, "max_new_tokens": 4, "num_generations": 2, "seed": 3, "lora_dropout": 0.05}
        body = {"recipe": recipe, "base_model": "tiny", "dataset": prompts.pk, "reward_model": "tiny+reward"}
        made = api_of(alice).post(f"/api/v1/projects/{project.slug}/rounds/", {**body, "settings": settings}, "json")
        assert made.status_code == 201, made.json()
        assert made.json()["reward_model"] == "tiny+reward"
    spec = Round.objects.latest("pk").run.spec
    assert spec["reward"] == {"path": base.base, "adapter": reward.adapter}


def test_what_there_is_to_learn_from_is_asked_for(project, alice, base, reward, prompts):
    def draft(**given):
        given = {"recipe": "rloo", "base_model": base, "dataset": prompts, **given}
        return services.round_create(project=project, by=alice, **given)

    with pytest.raises(DomainError, match="a reward model, or a rule"):
        draft()
    with pytest.raises(DomainError, match="is no reward model"):
        draft(reward_model=base)
    with pytest.raises(DomainError, match="takes no reward model"):
        draft(recipe="dpo", reward_model=reward)
    with pytest.raises(DomainError, match="num_generations must be at least 2"):
        draft(reward_model=reward, settings={"num_generations": 1})
    assert draft(settings={"rule_max_words": 20}).reward_model is None


# --- A second reward model that looks on -----------------------------------------------------------------------------


@pytest.mark.trains
def test_an_audit_is_chosen_on_the_page_and_its_opinion_is_shown(
    project, alice, base, reward, audit, held_out, queue, client_of, api_of
):
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/"
    given = {f"setting_{name}": value for name, value in {**SETTINGS, "on_hacking": "warn"}.items()}
    given |= {"recipe": "grpo", "base_model": base.pk, "dataset": held_out.pk}
    given |= {"reward_model": reward.pk, "audit_model": audit.pk}
    assert admin.post(f"{url}new/", given).status_code == 302
    made = Round.objects.get()
    assert made.run.spec["audit"] == {"path": base.base, "adapter": audit.adapter}
    services.round_complete(run=run_supervise(run_id=made.run_id))
    made.refresh_from_db()
    assert made.run.state == "completed", made.run.error_message
    # The same weights under two names: what both think is the same.
    metrics = made.run.result["metrics"]
    assert metrics["validation_audit"] == pytest.approx(metrics["validation_reward"], abs=1e-5)
    page = admin.get(f"{url}{made.number}/").content.decode()
    assert "<dt>Audit</dt><dd>tiny+audit</dd>" in page
    assert 'id="curve-audit"' in page
    assert "Stopped early" not in page
    made.run.result |= {"stopped_because": "The reward rose by 1 while <b>", "best_step": 0, "steps": 2}
    made.run.save()
    page = admin.get(f"{url}{made.number}/").content.decode()
    assert "Stopped early, after step 2." in page
    assert "The reward rose by 1 while &lt;b&gt;" in page
    assert "The model has the weights of step 0." in page
    assert api_of(alice).get(f"/api/v1/rounds/{made.pk}/").json()["audit_model"] == "tiny+audit"


def test_an_audit_that_could_see_nothing_is_refused(project, alice, base, reward, audit, held_out, api_of):
    def draft(**given):
        given = {"recipe": "ppo", "base_model": base, "dataset": held_out, "reward_model": reward, **given}
        return services.round_create(project=project, by=alice, **given)

    with pytest.raises(DomainError, match="cannot tell that it is deceived"):
        draft(audit_model=reward)
    with pytest.raises(DomainError, match="is no reward model"):
        draft(audit_model=base)
    with pytest.raises(DomainError, match="an audit could look at"):
        draft(recipe="dpo", reward_model=None, audit_model=audit)
    project.prompts.filter(split="validation").update(split="test")
    with pytest.raises(DomainError, match="has none"):
        draft(audit_model=audit, dataset=dataset_freeze(project=project, by=alice, kind="prompts"))
    assert not Round.objects.exists()
    body = {"recipe": "rloo", "base_model": "tiny", "dataset": held_out.pk, "reward_model": "tiny+reward"}
    made = api_of(alice).post(f"/api/v1/projects/{project.slug}/rounds/", {**body, "audit_model": "tiny+audit"}, "json")
    assert (made.status_code, made.json()["audit_model"]) == (201, "tiny+audit")
    findings = {one["code"]: one for one in preflight(Round.objects.get())["findings"]}
    assert findings["few_audited"]["figures"] == {"prompts": 2, "least": 16}
    assert "2 validation prompts: too few" in findings["few_audited"]["text"]
