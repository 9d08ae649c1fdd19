"""GRPO and RLOO: advantages by hand, losses by TRL's own code, a known optimum reached."""

import pytest
import torch
from online_cast import LEARN, by_hand, moved, objective_of, prompt_rows
from training_cast import events, finished

from training.config import GrpoSettings, RlooSettings
from training.models import load_tokenizer
from training.recipes.grpo import Groups, group_advantages
from training.recipes.rloo import LeaveOneOut, leave_one_out

ANSWERS = [[7, 8, 9, 1], [30, 1], [12, 13, 14, 15, 16], [31, 5, 1]]  # two prompts, two answers each
ADVANTAGES = torch.tensor([0.9, -0.9, -1.3, 1.3])


def test_advantages_by_hand():
    rewards = torch.tensor([1.0, 3.0, 5.0, 5.0])
    group = group_advantages(rewards, 2, "group")
    torch.testing.assert_close(group, torch.tensor([-1, 1, 0, 0]) / (2**0.5 + 1e-4))
    assert group_advantages(rewards, 2, "none").tolist() == [-1, 1, 0, 0]
    spread = (((1 - 3.5) ** 2 + (3 - 3.5) ** 2 + 2 * 1.5**2) / 3) ** 0.5
    torch.testing.assert_close(group_advantages(rewards, 2, "batch"), torch.tensor([-1, 1, 0, 0]) / (spread + 1e-4))
    assert leave_one_out(torch.tensor([1.0, 3.0, 8.0, 0.0, 0.0, 6.0]), 3).tolist() == [-4.5, -1.5, 6, -3, -3, 6]


def trl_inputs(rollout) -> dict:
    """A rollout as TRL has it: prompts padded on the left, answers on the right."""
    examples, lengths = rollout.examples, rollout.lengths
    width, long = max(len(one.prompt) for one in examples), max(lengths)

    def right(values) -> torch.Tensor:
        return torch.stack([torch.cat([value, value.new_zeros(long - len(value))]) for value in values])

    return {
        "prompt_ids": torch.tensor([[0] * (width - len(one.prompt)) + one.prompt for one in examples]),
        "prompt_mask": torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in examples]),
        "completion_ids": right([torch.tensor(one.answer) for one in examples]),
        "completion_mask": right([torch.ones(length, dtype=torch.long) for length in lengths]),
        "old_per_token_logps": right(rollout.split("old")),
        "ref_per_token_logps": right(rollout.split("reference")),
        "old_logps": rollout.totals("old"),
        "advantages": ADVANTAGES,
        "num_items_in_batch": torch.tensor(sum(lengths)),
    }


def trl_loss(name: str, tiny, tmp_path, policy, rollout, **settings) -> float:
    """The loss of TRL's own trainer of a rollout, its model being the policy with its adapter merged."""
    import copy

    import trl
    from datasets import Dataset

    config = getattr(trl, f"{name}Config")(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=6,
        temperature=0.7,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **settings,
    )
    trainer = getattr(trl, f"{name}Trainer")(
        model=copy.deepcopy(policy).merge_and_unload(),
        args=config,
        reward_funcs=lambda completions, **kwargs: [0.0 for _ in completions],
        train_dataset=Dataset.from_list(prompt_rows()),
        processing_class=load_tokenizer(str(tiny)),
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer._compute_loss(trainer.model.train(), trl_inputs(rollout)).item()


def of_ours(objective, roles, rows: list[list[int]]) -> float:
    """As the loop has it: sums of micro-batches over the sum of weights."""
    weight = sum(objective.weight(row) for part in rows for row in part)
    return sum(objective.loss(roles, part)[0].item() for part in rows) / weight


@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo"])
def test_the_loss_is_that_of_trls_grpo(tiny, tmp_path, loss):
    settings = GrpoSettings(
        precision="fp32", loss=loss, beta=0.3, epsilon=0.1, temperature=0.7, max_new_tokens=6, update_epochs=2,
        num_generations=2, rollout_prompts=2,
    )  # fmt: skip
    objective, roles = objective_of(Groups, tiny, settings)
    rollout = by_hand(objective, moved(roles), ANSWERS)
    rollout.of_answers["advantage"] = ADVANTAGES
    theirs = trl_loss("GRPO", tiny, tmp_path, roles.policy, rollout, loss_type=loss, beta=0.3, epsilon=0.1)
    assert of_ours(objective, roles, [[0, 2], [3, 1]]) == pytest.approx(theirs, rel=1e-4)


def test_the_loss_is_that_of_trls_rloo(tiny, tmp_path):
    settings = RlooSettings(
        precision="fp32", epsilon=0.1, temperature=0.7, update_epochs=2, num_generations=2, rollout_prompts=2
    )
    objective, roles = objective_of(LeaveOneOut, tiny, settings)
    rollout = by_hand(objective, moved(roles), ANSWERS)
    rollout.of_answers["advantage"] = ADVANTAGES
    theirs = trl_loss("RLOO", tiny, tmp_path, roles.policy, rollout, beta=0.0, epsilon=0.1)
    assert of_ours(objective, roles, [[0, 2], [3, 1]]) == pytest.approx(theirs, rel=1e-4)


def test_divergence_costs_reward_in_rloo(tiny):
    """Of two answers with the same score the one nearer to the parent is the better."""
    settings = RlooSettings(precision="fp32", beta=0.5, num_generations=2, rollout_prompts=2)
    objective, roles = objective_of(LeaveOneOut, tiny, settings)
    rollout = by_hand(objective, moved(roles), ANSWERS)
    rollout.of_answers["reward"] = torch.ones(4)
    objective.weigh(roles, rollout, lambda: None)
    away = rollout.totals("old") - rollout.totals("reference")
    expected = -0.5 * (away - away.view(2, 2).flip(1).flatten())
    torch.testing.assert_close(rollout.of_answers["advantage"], expected)


@pytest.mark.parametrize(("recipe", "steps"), [("grpo", 30), ("rloo", 40)])
def test_the_optimum_is_reached(run_dir, recipe, steps):
    folder = run_dir(recipe, {"train": prompt_rows(), "validation": prompt_rows(8)}, {**LEARN, "max_steps": steps})
    metrics = finished(folder)["metrics"]
    assert metrics["validation_before_reward"] < 0.5
    assert metrics["validation_reward"] > 0.85
    assert metrics["train_reward"] > 0.9
    names = {"loss", "clip_share", "reward", "reward_std", "kl", "entropy", "answer_tokens", "cut_share"}
    assert names <= set(events(folder, "metric")[-2]["values"])
