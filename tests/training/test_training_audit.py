"""A second reward model looks on: where the reward rises and it likes the answers less, the training stops."""

import json

import pytest
import torch
from online_cast import LEARN, prepared, prompt_rows
from training_cast import assistant, events, failure, finished, preference_rows, rows_of

from training.config import GrpoSettings, PpoSettings
from training.directory import RunDirectory
from training.models import Base, load_policy
from training.online.audit import PROMPTS_AT_LEAST, fall, seen_too
from training.online.judge import audit_of, judge_of
from training.online.roles import AUDIT, REWARD, Roles

SETTINGS = {**LEARN, "max_steps": 24, "eval_every": 4, "rollout_prompts": 8, "num_generations": 4}
TEXTS = ["good", "bad . .", "good a b", "red"]


def opposed(rows: list[dict]) -> list[dict]:
    """The same pairs, preferred the other way."""
    return [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]


@pytest.fixture
def reward_model(run_dir):
    """reward_model(name, rows, …) → {path, adapter} of a reward model of these pairs"""

    def make(name, rows, **settings):
        settings = {"max_steps": 20, "learning_rate": 0.02, "heads": 2, "precision": "fp32", **settings}
        folder = run_dir("reward", {"train": rows, "validation": rows[:4]}, settings, name=name)
        finished(folder)
        base = json.loads((folder / "run.json").read_text())["base"]
        return {"path": base["path"], "adapter": str(folder / "adapter")}

    return make


@pytest.fixture
def against(reward_model):
    """An audit to whom `good`, which the rule pays for, is bad."""
    return reward_model("against", opposed(preference_rows()))


def trained(run_dir, audit, name="run", recipe="grpo", **settings):
    files = {"train": prompt_rows(), "validation": prompt_rows()}
    folder = run_dir(recipe, files, {**SETTINGS, **settings}, audit=audit, name=name)
    return finished(folder), folder


def changes_something(tiny, folder) -> bool:
    """Whether the adapter that was saved changes what the base says."""
    model = load_policy(Base(str(tiny), folder / "adapter"), "fp32")
    ids = torch.tensor([[4, 9, 20, 21]])
    with torch.no_grad():
        ours = model(ids).logits
        with model.disable_adapter():
            return not torch.equal(ours, model(ids).logits)


# --- The rule --------------------------------------------------------------------------------------------------------


def looks(*changes: tuple[float, float], spread=1.0, prompts=32) -> torch.Tensor:
    """Evaluations, each so much (reward, audit) above the first, the answers' own differences on top."""
    noise = torch.randn(prompts, generator=torch.Generator().manual_seed(2)) * spread
    seen = None
    for number, (reward, opinion) in enumerate([(0.0, 0.0), *changes]):
        moved = noise * (number % 2)
        seen = seen_too(seen, torch.zeros(prompts) + reward, moved - moved.mean() + opinion)
    return seen


def test_a_fall_is_told_with_its_figures():
    found = fall(looks((1.0, 0.5), (2.0, -1.0)))
    assert (found.best, found.prompts) == (1, 32)
    assert found.gained == pytest.approx(1.0)
    assert found.lost == pytest.approx(1.5)
    noise = torch.randn(32, generator=torch.Generator().manual_seed(2))
    assert found.error == pytest.approx(noise.std().item() / 32**0.5, rel=1e-4)
    assert "rose by 1 while the audit" in found.words()


@pytest.mark.parametrize(
    "seen",
    [
        looks((1.0, 1.0)),
        looks((1.0, -0.3)),
        looks((-1.0, -5.0)),
        looks((1.0, -5.0), prompts=PROMPTS_AT_LEAST - 1),
        looks((1.0, -5.0), (2.0, 0.5)),
    ],
    ids=["both rise", "within the noise", "the reward falls too", "too few prompts", "it has recovered"],
)
def test_there_is_no_fall(seen):
    assert fall(seen) is None


# --- In a training ---------------------------------------------------------------------------------------------------


PPO = {"update_epochs": 2, "batch_size": 64, "rollout_prompts": 64, "num_generations": 1, "max_steps": 60}


@pytest.mark.parametrize(("recipe", "settings"), [("grpo", {}), ("ppo", PPO)])
def test_it_stops_and_goes_back_to_what_the_audit_liked_best(run_dir, tiny, against, recipe, settings):
    result, folder = trained(run_dir, against, recipe=recipe, **settings)
    assert result["status"] == "completed"
    assert result["stopped_early"] is True
    assert result["steps"] < settings.get("max_steps", 24)
    assert "likes the answers to 16 validation prompts less" in result["stopped_because"]
    looked = [event for event in events(folder, "metric") if event["split"] == "validation"]
    opinions = {event["step"]: event["values"]["audit"] for event in looked}
    rewards = {event["step"]: event["values"]["reward"] for event in looked}
    best, last = result["best_step"], result["steps"]
    assert best == max(opinions, key=opinions.get) < last
    assert rewards[last] > rewards[best]
    assert opinions[last] < opinions[best]
    warned = [event["message"] for event in events(folder, "warning")]
    assert sum(f"goes back to the weights of step {best}" in message for message in warned) == 1
    # What was saved is what it went back to; at step 0 an adapter that changes nothing.
    assert result["metrics"]["validation_audit"] == opinions[best]
    assert changes_something(tiny, folder) == (best > 0)


def test_it_can_be_told_and_gone_on_with(run_dir, against):
    result, folder = trained(run_dir, against, on_hacking="warn")
    assert result["steps"] == 24
    assert "stopped_because" not in result
    assert any("Read samples, raise beta" in event["message"] for event in events(folder, "warning"))


def test_an_audit_that_agrees_stops_nothing(run_dir, reward_model):
    """Two reward models of the same preferences, each with its own bootstrap."""
    one, other = (reward_model(f"seed-{seed}", preference_rows(), seed=seed) for seed in (1, 2))
    files = {"train": prompt_rows(), "validation": prompt_rows()}
    folder = run_dir("grpo", files, {**SETTINGS, "rule_contains": None, "beta": 0.02}, reward=one, audit=other)
    result = finished(folder)
    assert result["steps"] == 24
    assert "best_step" not in result
    assert not events(folder, "warning")
    metrics = result["metrics"]
    assert metrics["validation_audit"] > metrics["validation_before_audit"]
    assert "train_audit" not in metrics, "the policy is not paid by it, nor are its rollouts looked at"


def test_stopped_between_and_run_again_it_stops_at_the_same_step(run_dir, against, start):
    undisturbed, kept = trained(run_dir, against, name="undisturbed")
    files = {"train": prompt_rows(), "validation": prompt_rows()}
    disturbed = run_dir("grpo", files, SETTINGS, audit=against, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(2)
    assert process.terminate() == 0
    result = finished(disturbed)
    assert result["attempt"] == 2
    for name in ("steps", "best_step", "stopped_because"):
        assert result[name] == undisturbed[name]
    weights = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (kept, disturbed)]
    assert weights[0] == weights[1]


def test_longer_answers_can_end_it_too(run_dir):
    """A rule that wants more words: the reward rises with the length, which is what it was asked for, or is not."""
    settings = {**SETTINGS, "rule_contains": None, "rule_min_words": 40, "max_new_tokens": 40}
    settings |= {"max_steps": 24, "missing_eos_penalty": 0.0, "learning_rate": 0.004}
    results = {}
    for action in ("audit", "any"):
        folder = run_dir("grpo", {"train": prompt_rows()}, {**settings, "on_hacking": action}, name=action)
        results[action] = finished(folder)
        assert any("paid for length" in event["message"] for event in events(folder, "warning"))
    assert results["audit"]["steps"] == 24
    assert results["any"]["steps"] < 24
    assert "paid for length" in results["any"]["stopped_because"]


# --- What it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kinds"),
    [("lora", ("lora", "lora")), ("full", ("frozen", "lora")), ("full", ("lora", "frozen"))],
    ids=["all adapters", "the second wraps the body", "the first wraps the body"],
)
def test_both_say_what_score_says_on_one_copy_of_the_base(run_dir, reward_model, how, kinds):
    given = {
        REWARD: reward_model("reward", preference_rows(), method=kinds[0]),
        AUDIT: reward_model("audit", opposed(preference_rows()), method=kinds[1]),
    }
    settings = PpoSettings(method=how, precision="fp32")
    ready = prepared(given[REWARD]["path"], settings)
    ready.validation = ["some"]
    roles, run = Roles(ready, settings, critic=True), RunDirectory(run_dir("ppo", {}, name="policy"))
    judges = [make(run, given, settings, ready, roles) for make in (judge_of, audit_of)]
    questions = [row["prompt"] for row in prompt_rows(len(TEXTS))]
    held = {weight.data_ptr() for weight in roles.parameters() if weight.numel() > 1000}
    assert len(held) <= (2 if how == "full" else 1) * len({w.data_ptr() for w in ready.model.parameters()})
    for _ in range(2):  # each in turn, so that one leaves nothing behind for the other
        for name, judge in zip((REWARD, AUDIT), judges, strict=True):
            answers = [
                {"id": n, "prompt": question, "completion": [assistant(text)]}
                for n, (question, text) in enumerate(zip(questions, TEXTS))
            ]
            ours = judge.opinions(questions, TEXTS, lambda: None, 4)
            folder = run_dir("score", {"answers": answers}, {"precision": "fp32", "batch_size": 4},
                             reward=given[name], name=f"score-{name}-{_}")  # fmt: skip
            finished(folder)
            said = {row["id"]: row["heads"] for row in rows_of(folder / "scores.jsonl")}
            torch.testing.assert_close(torch.tensor(ours), torch.tensor([said[n] for n in range(len(TEXTS))]))


def test_the_reward_model_itself_is_no_audit(run_dir, reward_model):
    reward = reward_model("reward", preference_rows())
    folder = run_dir("grpo", {"train": prompt_rows()}, {"max_steps": 1}, reward=reward, audit=reward)
    kind, message = failure(folder)
    assert kind == "bad_run"
    assert "Name another one" in message


def test_without_validation_prompts_it_says_that_it_sees_nothing(run_dir, against):
    folder = run_dir("grpo", {"train": prompt_rows()}, {**SETTINGS, "max_steps": 1}, audit=against)
    assert finished(folder)["steps"] == 1
    assert any("Add data.validation" in event["message"] for event in events(folder, "warning"))


def test_with_few_validation_prompts_it_says_that_it_stops_nothing(run_dir, against):
    files = {"train": prompt_rows(), "validation": prompt_rows(3)}
    folder = run_dir("grpo", files, {**SETTINGS, "max_steps": 2}, audit=against)
    assert "validation_audit" in finished(folder)["metrics"]
    assert any("it is shown and stops nothing" in event["message"] for event in events(folder, "warning"))


def test_the_settings_name_what_is_done():
    assert GrpoSettings().on_hacking == "audit"
