"""One base, four roles: what is shared, what stays apart, and one opinion of an answer everywhere."""

import json

import pytest
import torch
from online_cast import LEARN, moved, prepared, prompt_rows
from training_cast import assistant, events, finished, preference_rows, rows_of, tiny_model

from training.config import GrpoSettings, PpoSettings
from training.data import ChatTokens, Example
from training.directory import RunDirectory
from training.loop.tuning import save
from training.models import Base, load_base, load_policy, load_tokenizer
from training.networks.scoring import answer_logprobs, example_batch
from training.online.judge import judge_of
from training.online.roles import Roles

REWARD = {"max_steps": 15, "learning_rate": 0.01, "heads": 3}
TEXTS = ["good", "bad . .", "good a b", ""]


@pytest.fixture
def reward_model(run_dir):
    """reward_model(method="lora", base=…) → run.json's `reward`"""

    def make(method="lora", name="reward", **more):
        rows = preference_rows()
        folder = run_dir("reward", {"train": rows[:12], "validation": rows[12:]}, {**REWARD, "method": method, **more},
                         name=name)  # fmt: skip
        finished(folder)
        base = json.loads((folder / "run.json").read_text())["base"]
        return {"path": base["path"], "adapter": str(folder / "adapter")}

    return make


def judged(run_dir, tiny, reward, settings, *, base=None, name="policy"):
    """(roles, the judge's opinions of TEXTS) of a policy on `base` that has moved from its parent."""
    ready = prepared(base or tiny, settings)
    roles = Roles(ready, settings, critic=isinstance(settings, PpoSettings))
    folder = run_dir(settings.recipe, {}, name=name)
    judge = judge_of(RunDirectory(folder), {"reward": reward}, settings, ready, roles)
    moved(roles)
    questions = [row["prompt"] for row in prompt_rows(len(TEXTS))]
    return roles, judge(questions, TEXTS, lambda: None, 4)[1]["reward_model"], folder


@pytest.mark.parametrize(
    ("method", "kind", "how", "precision"),
    [
        ("lora", PpoSettings, "lora", "fp32"),
        ("lora", PpoSettings, "lora", "bf16"),
        ("lora", PpoSettings, "full", "fp32"),
        ("lora", PpoSettings, "qlora", "bf16"),
        ("frozen", GrpoSettings, "lora", "fp32"),
        ("frozen", GrpoSettings, "full", "fp32"),
    ],
)
def test_the_opinion_is_that_of_score_though_the_policy_has_moved(
    run_dir, tiny, reward_model, method, kind, how, precision
):
    """Another rank and scale than the policy's, in a batch of the same size: the very same numbers."""
    reward = reward_model(method, lora_r=4, lora_alpha=40, precision=precision)
    if how == "qlora":
        reward["quantisation"] = "nf4"
    settings = kind(precision=precision, method=how)
    roles, opinions, folder = judged(run_dir, tiny, reward, settings)
    rows = [
        {"id": n, "prompt": row["prompt"], "completion": [assistant(text)]}
        for n, (row, text) in enumerate(zip(prompt_rows(), TEXTS))
    ]
    score = run_dir("score", {"answers": rows}, {"precision": precision, "batch_size": 4}, name="score", reward=reward)
    finished(score)
    assert opinions == [row["reward"] for row in rows_of(score / "scores.jsonl")]
    assert not events(folder, "warning")
    # One copy of the base (two when all of it is tuned), whatever the number of roles.
    base, whole = (
        sum(weight.numel() for name, weight in model.named_parameters() if "lora" not in name)
        for model in (prepared(tiny, settings).model, roles)
    )
    assert whole - base * (1 + (how == "full")) <= 4 * 32  # and the heads: three, and the critic's


def test_roles_do_not_touch_each_other(run_dir, tiny, reward_model):
    """The reference is the base and the policy its own LoRA's, before and after others were asked."""
    settings = PpoSettings(precision="fp32")
    alone = Roles(prepared(tiny, settings), settings)
    roles, _, _ = judged(run_dir, tiny, reward_model(), settings)
    with torch.no_grad():
        for mine, its in zip(alone.trained, roles.trained):
            mine.copy_(its)
    base = load_base(str(tiny), "fp32")
    example = Example(list(range(6, 20)), [7, 9, 1], None)
    batch = example_batch([example], 0, "cpu")
    with torch.no_grad():
        with roles.reference() as parent:
            assert torch.equal(answer_logprobs(parent, batch)[0], answer_logprobs(base, batch)[0])
        value = roles.values(batch)
        assert torch.equal(answer_logprobs(roles.acting(), batch)[0], answer_logprobs(alone.policy, batch)[0])
        assert not torch.equal(answer_logprobs(roles.acting(), batch)[0], answer_logprobs(base, batch)[0])
        with roles.rewarding():
            pass
        assert torch.equal(roles.values(batch), value)
    trained = {name for name, weight in roles.named_parameters() if weight.requires_grad}
    assert {name.split(".")[-2] for name in trained - {"value_head"}} == {"default", "critic"}


def test_a_reward_model_of_other_weights_gets_a_copy_and_a_warning(run_dir, tiny, reward_model, tmp_path):
    """The parent's adapter is merged: the reward model of the base says the same of an answer, from a second copy."""
    reward = reward_model()
    merged = tiny_model(tmp_path / "merged", seed=1)
    settings = GrpoSettings(precision="fp32")
    _, shared, _ = judged(run_dir, tiny, reward, settings)
    roles, apart, folder = judged(run_dir, tiny, reward, settings, base=merged, name="apart")
    assert apart == shared
    (warning,) = events(folder, "warning")
    assert "second copy" in warning["message"]
    # The same weights in another folder are the same weights.
    twin = tiny_model(tmp_path / "twin")
    _, same, folder = judged(run_dir, tiny, reward, settings, base=twin, name="twin")
    assert same == shared
    assert not events(folder, "warning")


@pytest.mark.parametrize("recipe", ["grpo", "ppo"])
def test_a_reward_model_is_learnt_from_and_the_adapter_comes_back_exactly(
    run_dir, tiny, reward_model, recipe, monkeypatch
):
    kept = []
    monkeypatch.setattr("training.online.loop.save", lambda *given: kept.append(given[3].model) or save(*given))
    settings = {**LEARN, "rule_contains": None, "beta": 0.01, "max_steps": 30}
    if recipe == "ppo":
        settings |= {"update_epochs": 2, "rollout_prompts": 64, "batch_size": 64}
    folder = run_dir(recipe, {"train": prompt_rows()}, settings, reward=reward_model(precision="fp32"))
    finished(folder)
    rewards = [event["values"]["reward"] for event in events(folder, "metric")]
    assert rewards[-1] > rewards[0] + 3, "in nats of being preferred"
    assert {path.name for path in (folder / "adapter").iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base.json",
    }  # fmt: skip
    reloaded = load_policy(Base(str(tiny), folder / "adapter"), "fp32")
    ids = torch.tensor([ChatTokens(load_tokenizer(str(tiny)), "").prompt(prompt_rows()[0]["prompt"])])
    assert torch.equal(reloaded(ids).logits, kept[0].eval()(ids).logits)
    assert not torch.equal(load_base(str(tiny), "fp32")(ids).logits, reloaded(ids).logits)
