"""What grpo, rloo and ppo share: resuming in the middle of a rollout, rules, alarms, what is refused."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from online_cast import LEARN, by_hand, moved, objective_of, prompt_rows
from training_cast import events, failure, finished, tiny_model, user

from training.config import GrpoSettings, PpoSettings, RlooSettings
from training.directory import RunDirectory
from training.networks.scoring import example_batch
from training.online import objective as module
from training.online.loop import RolloutSchedule
from training.online.objective import OnlineObjective
from training.online.rollout import Rollout
from training.online.rules import rules_of
from training.recipes.grpo import Groups
from training.recipes.ppo import Episodes
from training.recipes.rloo import LeaveOneOut

SETTINGS = {
    **LEARN,
    "max_steps": 9,
    "rollout_prompts": 4,
    "num_generations": 4,
    "batch_size": 4,
    "gradient_accumulation": 2,
    "update_epochs": 2,
    "lora_dropout": 0.1,
    "beta": 0.1,
}


def adapter(folder) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", ["grpo", "rloo", "ppo"])
def test_stopped_and_crashed_within_a_rollout_it_comes_to_the_same_weights(run_dir, monkeypatch, recipe):
    """Four steps learn from a rollout; the stop comes after the second, the crash loses the third of the next."""
    settings = {**SETTINGS, **({"kl_target": 0.5} if recipe == "ppo" else {})}
    files = {"train": prompt_rows(6), "validation": prompt_rows(2)}
    undisturbed = run_dir(recipe, files, settings, name="undisturbed")
    finished(undisturbed)

    told, real = [], RunDirectory.metric

    def metric(self, *, step, epoch, split, values):
        real(self, step=step, epoch=epoch, split=split, values=values)
        if split == "train":
            told.append(step)
        if told == [1, 2]:
            os.kill(os.getpid(), signal.SIGTERM)
        if told[-1:] == [7] and told.count(7) == 1:
            raise RuntimeError("a crash")

    monkeypatch.setattr(RunDirectory, "metric", metric)
    disturbed = run_dir(recipe, files, {**settings, "save_every": 3}, name="disturbed")
    assert finished(disturbed)["status"] == "stopped"
    assert finished(disturbed, 1)["error"]["kind"] == "internal"
    assert finished(disturbed)["attempt"] == 3
    assert told == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    assert adapter(disturbed) == adapter(undisturbed)


def test_the_order_of_prompts_and_steps():
    """Each epoch has every prompt once, each pass over a rollout every answer once, the critic's after the policy's; a
    prompt's answers stand together in a step."""
    settings = PpoSettings(rollout_prompts=4, num_generations=2, batch_size=2, gradient_accumulation=2, update_epochs=3)
    objective = OnlineObjective(None, None, [None] * 6, None, settings)
    objective.has_critic = True
    objective.tokens = lambda row: row % 3
    objective.rollout = Rollout(0, [row // 2 for row in range(8)], [], [])
    schedule = RolloutSchedule(6, objective, settings)
    line = [row for rollout in range(6) for row in schedule.rows(rollout)]
    assert [sorted(line[start : start + 6]) for start in (0, 6, 12, 18)] == [list(range(6))] * 4
    assert schedule.steps == 2 * 6, "two rollouts see all six prompts, and six steps learn from each"
    assert schedule.epoch(6) == pytest.approx(4 / 6)
    for first in (0, 2, 4, 6):
        batches = [batch for step in (first, first + 1) for batch in schedule.batches(step)]
        assert sorted(row for batch in batches for row in batch) == list(range(16))
        assert [batch[0] >= 8 for batch in schedule.batches(first)] == [False, False, True, True]
    assert schedule.batches(0) != schedule.batches(2)
    at_once = replace(settings, gradient_accumulation=4)
    answers = [row for batch in RolloutSchedule(6, objective, at_once).batches(0)[:4] for row in batch]
    assert {row // 2 for row in answers[::2]} == {0, 1, 2, 3}
    assert answers[::2] == [row ^ 1 for row in answers[1::2]]


@pytest.mark.parametrize("recipe", ["grpo", "rloo", "ppo"])
def test_a_prompt_computed_once_gives_the_gradients_of_rows_of_their_own(tmp_path, recipe, monkeypatch):
    kind, settings = {
        "grpo": (Groups, GrpoSettings(precision="fp32", rollout_prompts=4, num_generations=2)),
        "rloo": (LeaveOneOut, RlooSettings(precision="fp32", rollout_prompts=4, num_generations=2)),
        "ppo": (Episodes, PpoSettings(precision="fp32", rollout_prompts=4, num_generations=2)),
    }[recipe]
    objective, roles = objective_of(kind, tiny_model(tmp_path / "base"), settings)
    roles.policy.double()
    moved(roles)
    rollout = by_hand(objective, roles, [[5, 6, 1], [7, 1], [8], [9, 10, 1], [11, 12], [13, 1], [5, 1], [6, 7, 8]])
    rollout.of_answers["reward"] = torch.arange(8.0)
    objective.regard(roles, rollout, lambda: None)
    objective.weigh(roles, rollout, lambda: None)

    def gradients():
        rows = []
        for numbers in ([0, 1, 2], [3, 2], [8, 9, 10] if kind.has_critic else [6, 7]):
            objective.loss(roles, numbers)[0].backward()
            rows.append(len(objective.batch(roles, [number % 8 for number in numbers]).ids))
        found = [weight.grad.clone() for weight in roles.trained if weight.grad is not None]
        for weight in roles.trained:
            weight.grad = None
        return rows, found

    shared, ours = gradients()
    monkeypatch.setattr(module, "examples_batch", lambda some, pad, model: example_batch(some, pad, model.device))
    alone, theirs = gradients()
    assert (shared, alone) == ([2, 1, 2 if kind.has_critic else 1], [3, 2, 3 if kind.has_critic else 2])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_rules_by_hand():
    settings = GrpoSettings(
        rule_min_words=4, rule_max_words=2, rule_contains="tea; COFFEE ;", rule_excludes="milk", rule_regex=r"^\w+ \w+$"
    )
    least, most, wanted, unwanted, pattern = rules_of(settings)
    assert (least("one"), least("a b c d e")) == (0.25, 1)
    assert (most("one"), most("a b c d"), most("")) == (1, 0.5, 1)
    assert (wanted("Tea and coffee"), wanted("tea"), wanted("")) == (1, 0.5, 0)
    assert (unwanted("Milk"), unwanted("tea")) == (0, 1)
    assert (pattern("two words"), pattern("one")) == (1, 0)
    assert rules_of(GrpoSettings()) == []


def test_a_policy_that_runs_away_is_stopped(run_dir):
    kind, words = failure(run_dir("grpo", {"train": prompt_rows()}, {**LEARN, "max_steps": 30, "max_kl": 0.5}))
    assert kind == "kl_blew_up"
    assert "Raise beta" in words


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"reward": 0.1, "answer_tokens": 5.0}, "paid for length"),
        ({"reward": 0.1, "doubt": 0.1}, "heads came to differ by 0.80 instead of 0.30"),
        ({"reward": -0.1, "answer_tokens": 5.0, "doubt": 0.1}, None),
        ({"reward": 0.1, "answer_tokens": 0.1, "doubt": 0.001}, None),
    ],
    ids=["longer", "unsure", "no more reward", "more reward alone"],
)
def test_a_reward_that_rises_by_what_it_is_not_meant_for_is_told(run_dir, shown, said):
    """shown: by how much each grows a rollout."""
    run = RunDirectory(run_dir("grpo", {}))
    objective = OnlineObjective(run, None, [], None, GrpoSettings(max_kl=0))

    class Quiet:
        number = 0
        of_tokens = {"old": torch.zeros(1), "reference": torch.zeros(1)}

    for number in range(12):
        start = {"reward": 0.0, "answer_tokens": 20.0, "doubt": 0.1}
        objective.shown = {name: value + number * shown.get(name, 0.0) for name, value in start.items()}
        objective._look_out(Quiet())
    warnings = [event["message"] for event in events(run.path, "warning")]
    assert len(warnings) == (said is not None)
    assert not said or said in warnings[0]


def test_what_cannot_be_learnt_from_is_refused_at_once(run_dir, tiny):
    rows = {"train": prompt_rows(2)}
    kind, words = failure(run_dir("ppo", rows, {}, name="nothing"))
    assert (kind, "set a rule" in words) == ("bad_run", True)
    kind, words = failure(run_dir("rloo", rows, {"rule_regex": "("}, name="regex"))
    assert (kind, "rule_regex" in words) == ("bad_setting", True)
    kind, words = failure(run_dir("grpo", rows, {"num_generations": 1}, name="one"))
    assert (kind, "at least 2" in words) == ("bad_setting", True)
    kind, words = failure(run_dir("grpo", rows, name="reward", reward={"path": str(tiny)}))
    assert (kind, "no reward model" in words) == ("adapter_missing", True)
    answered = {"train": [{"prompt": [user("what ?"), {"role": "assistant", "content": "yes"}]}]}
    kind, words = failure(run_dir("grpo", answered, {"rule_max_words": 3}, name="answered"))
    assert (kind, "ends with an answer" in words) == ("bad_data", True)


def test_every_weight_can_be_tuned(run_dir):
    """method full: the parent is kept as a copy, and the divergence is measured from it."""
    settings = {**LEARN, "method": "full", "learning_rate": 0.003, "max_steps": 60, "update_epochs": 2}
    folder = run_dir("ppo", {"train": prompt_rows()}, settings)
    result = finished(folder)
    values = [event["values"] for event in events(folder, "metric")]
    assert values[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert values[-1]["kl"] > 0.5
    assert values[-1]["reward"] > values[0]["reward"] + 0.3
    assert (folder / "model" / "model.safetensors").is_file()
    assert "adapter_path" not in result


@pytest.mark.parametrize("settings", [{"method": "qlora"}, {"method": "frozen"}, {"lora_variant": "dora"}])
def test_other_methods_take_their_steps(run_dir, settings):
    """Beside a base of four bits, with the last layers trained, with DoRA: policy and critic move, the parent stays."""
    settings = {**LEARN, "learning_rate": 0.003, "max_steps": 6, "update_epochs": 2, **settings}
    folder = run_dir("ppo", {"train": prompt_rows()}, settings)
    finished(folder)
    values = [event["values"] for event in events(folder, "metric")]
    assert values[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert values[-1]["kl"] > 0.01
    assert (folder / ("model" if settings.get("method") == "frozen" else "adapter")).is_dir()


def test_a_rollout_that_does_not_fit_the_memory_is_made_in_halves(run_dir, monkeypatch):
    real, sizes = OnlineObjective.write, []

    def write(self, roles, rows, seeds, check_stop):
        sizes.append(self.split)
        if self.split == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(self, roles, rows, seeds, check_stop)

    monkeypatch.setattr(OnlineObjective, "write", write)
    folder = run_dir("grpo", {"train": prompt_rows()}, {**LEARN, "max_steps": 2})
    finished(folder)
    assert sizes == [1, 2, 2]
    assert "ran out of memory" in events(folder, "warning")[0]["message"]
