"""PPO against NumPy: advantages, ratios, losses, the price of divergence; and what the recipe makes of them."""

import numpy as np
import pytest
import torch
from online_cast import LEARN, by_hand, moved, objective_of, prompt_rows
from training_cast import events, finished

from training.config import PpoSettings
from training.networks.scoring import example_batch
from training.recipes.ppo import Episodes, explained_variance, generalised_advantages, next_beta, whitened

ANSWERS = [[7, 8, 9, 1], [30, 1], [12, 13, 14, 15, 16], [31, 5, 1]]


def numpy_gae(rewards, values, gamma, lambda_):
    """Â_t = Σ_l (γλ)^l (r_{t+l} + γ V_{t+l+1} − V_{t+l}), summed as it is written."""
    after = np.append(values[1:], 0.0)
    surprises = rewards + gamma * after - values
    return np.array(
        [sum((gamma * lambda_) ** (k - t) * surprises[k] for k in range(t, len(rewards))) for t in range(len(rewards))]
    )


def test_advantages_are_those_of_the_sum_and_its_two_ends():
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=7), rng.normal(size=7)
    ours = generalised_advantages(torch.tensor(rewards), torch.tensor(values), 0.97, 0.9)
    np.testing.assert_allclose(ours, numpy_gae(rewards, values, 0.97, 0.9), rtol=1e-12)
    # λ 1: what came minus what was expected; λ 0: the next step's surprise alone.
    np.testing.assert_allclose(
        generalised_advantages(torch.tensor(rewards), torch.tensor(values), 1.0, 1.0),
        np.cumsum(rewards[::-1])[::-1] - values,
    )
    by_hand = generalised_advantages(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.25]), 0.5, 0.0)
    np.testing.assert_allclose(by_hand, [0.5 * 0.25 - 0.5, 1 - 0.25])


def test_whitening_and_explained_variance_and_the_price_of_divergence():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])
    np.testing.assert_allclose(whitened(values), (values - 3) / values.numpy().std(), rtol=1e-6)
    np.testing.assert_allclose(whitened(values, centred=False), values / values.numpy().std(), rtol=1e-6)
    assert explained_variance(values, values) == 1
    assert explained_variance(torch.zeros(4), values) == 0
    assert explained_variance(-values, values) == pytest.approx(1 - 4)
    assert next_beta(0.1, 5.0, None) == 0.1
    assert next_beta(0.1, 60.0, 6.0) == pytest.approx(0.1 * 1.02), "at most two in a hundred"
    assert next_beta(0.1, 5.4, 6.0) == pytest.approx(0.1 * 0.99)


@pytest.mark.parametrize(("whiten", "normalise"), [(False, False), (True, False), (False, True)])
def test_the_whole_loss_is_that_of_numpy(tiny, whiten, normalise):
    """From logits and the critic's values on, in float64 and nothing of ours."""
    settings = PpoSettings(
        precision="fp32", rollout_prompts=4, beta=0.1, epsilon=0.15, value_clip=0.1, gamma=0.98, temperature=0.7,
        missing_eos_penalty=0.5, value_coefficient=0.3, whiten_rewards=whiten, batch_size=2,
        normalise_rewards=normalise,
    )  # fmt: skip
    objective, roles = objective_of(Episodes, tiny, settings)
    moved(roles)
    rollout = by_hand(objective, roles, ANSWERS)
    rollout.texts = ["good", "bad", "good good", "no"]
    objective.score(rollout, lambda: None)
    objective.regard(roles, rollout, lambda: None)
    objective.weigh(roles, rollout, lambda: None)
    # The critic has moved on since it was asked.
    moved(roles, seed=8)

    logits, values_now = [], []
    with torch.no_grad():
        for example in rollout.examples:
            ids = torch.tensor([example.prompt + example.answer])
            logits.append(roles.acting()(ids).logits[0, len(example.prompt) - 1 : -1].double().numpy() / 0.7)
            values_now.append(roles.values(example_batch([example], 0, "cpu")).double().numpy())
    names = ("old", "reference", "value")
    old, reference, values = ([part.double().numpy() for part in rollout.split(name)] for name in names)
    scores = np.array([1.0, 0.0, 1.0, 0.0])
    if normalise:
        scores = (scores - scores.mean()) / scores.std()
    scores[2] -= 0.5  # the third did not end by itself
    rewards = [-0.1 * (o - r) for o, r in zip(old, reference)]
    for of_answer, score in zip(rewards, scores):
        of_answer[-1] += score
    if whiten:
        spread = np.sqrt(np.concatenate(rewards).var() + 1e-8)
        rewards = [of_answer / spread for of_answer in rewards]
    advantages = [numpy_gae(r, v, 0.98, 0.95) for r, v in zip(rewards, values)]
    returns = np.concatenate([a + v for a, v in zip(advantages, values)])
    flat = np.concatenate(advantages)
    flat = (flat - flat.mean()) / np.sqrt(flat.var() + 1e-8)
    logprobs = np.concatenate(
        [
            (x - np.log(np.exp(x).sum(-1, keepdims=True)))[np.arange(len(answer)), answer]
            for x, answer in zip(logits, ANSWERS)
        ]
    )
    ratios = np.exp(logprobs - np.concatenate(old))
    policy = -np.minimum(ratios * flat, np.clip(ratios, 0.85, 1.15) * flat)
    now, before = np.concatenate(values_now), np.concatenate(values)
    held = np.clip(now, before - 0.1, before + 0.1)
    critic = 0.5 * np.maximum((now - returns) ** 2, (held - returns) ** 2)

    total, shown, weight = 0.0, {}, 0.0
    for rows in ([0, 2], [1, 3], [4, 6], [5, 7]):  # the policy's batches, then the critic's
        loss, sums = objective.loss(roles, rows)
        total += loss.item()
        weight += sum(objective.weight(row) for row in rows)
        for name, value in sums.items():
            shown[name] = shown.get(name, 0) + value
    tokens = sum(map(len, ANSWERS))
    assert weight == tokens
    assert shown["policy_loss"] / tokens == pytest.approx(policy.mean(), rel=1e-4)
    assert shown["value_loss"] / tokens == pytest.approx(critic.mean(), rel=1e-4)
    assert total / tokens == pytest.approx(policy.mean() + 0.3 * critic.mean(), rel=1e-4)
    clipped = (np.clip(ratios, 0.85, 1.15) * flat < ratios * flat).mean()
    assert shown["clip_share"] / tokens == pytest.approx(clipped)
    assert 0 < clipped < 1


def test_scores_are_told_by_those_of_the_first_rollout(tiny):
    """Which the parent wrote; what comes later is held against it, in a resumed run too."""
    settings = PpoSettings(precision="fp32", rollout_prompts=4, missing_eos_penalty=0.5, beta=0.0)
    objective, roles = objective_of(Episodes, tiny, settings)
    rollout = by_hand(objective, roles, ANSWERS)
    ended = [True, True, False, True]
    for given, wanted in (([1.0, 3.0, 1.0, 3.0], [-1, 1, -1 - 0.5, 1]), ([5.0, 2.0, 2.0, 2.0], [3, 0, -0.5, 0])):
        assert rollout.ended == ended
        rollout.of_answers["reward"] = torch.tensor(given) - 0.5 * ~torch.tensor(ended)
        torch.testing.assert_close(objective._scores(rollout), torch.tensor(wanted, dtype=torch.float32))
    resumed, _ = objective_of(Episodes, tiny, settings)
    resumed.load(objective.state())
    torch.testing.assert_close(resumed._scores(rollout), torch.tensor([3, 0, -0.5, 0], dtype=torch.float32))
    alike, _ = objective_of(Episodes, tiny, settings)
    rollout.of_answers["reward"] = torch.ones(4) - 0.5 * ~torch.tensor(ended)
    torch.testing.assert_close(alike._scores(rollout), torch.tensor([0, 0, -0.5, 0]))


def test_policy_and_critic_learn_each_for_itself(tiny):
    """A loss gives gradients to its own adapter only, whichever role was asked before."""
    objective, roles = objective_of(Episodes, tiny, PpoSettings(precision="fp32", rollout_prompts=4))
    moved(roles)
    rollout = by_hand(objective, roles, ANSWERS)
    rollout.texts = ["good", "", "", ""]
    objective.score(rollout, lambda: None)
    objective.regard(roles, rollout, lambda: None)
    objective.weigh(roles, rollout, lambda: None)
    for rows, mine in (([0, 1, 2, 3], ".default."), ([4, 5, 6, 7], ".critic.")):
        loss, _ = objective.loss(roles, rows)
        loss.backward()
        given = {name for name, weight in roles.named_parameters() if weight.grad is not None and weight.grad.any()}
        assert given - {"value_head"} == {name for name, _ in roles.named_parameters() if mine in name}
        assert ("value_head" in given) == (mine == ".critic.")
        roles.zero_grad(set_to_none=True)


def test_activations_computed_twice_are_of_the_same_role(tiny):
    """Checkpointing runs the base again in the backward pass, when another role may be switched on."""
    gradients = []
    for twice in (False, True):
        objective, roles = objective_of(Episodes, tiny, PpoSettings(precision="fp32", rollout_prompts=4))
        moved(roles)
        rollout = by_hand(objective, roles, ANSWERS)
        rollout.texts = ["good", "", "", ""]
        objective.score(rollout, lambda: None)
        objective.regard(roles, rollout, lambda: None)
        objective.weigh(roles, rollout, lambda: None)
        if twice:
            roles.policy.activation_checkpointing_enable({"use_reentrant": False})
        roles.train()
        for rows in ([0, 1, 2, 3], [4, 5, 6, 7], [0, 1], [4, 5]):
            objective.loss(roles, rows)[0].backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in roles.trained]))
    torch.testing.assert_close(*gradients)


def test_the_optimum_is_reached(run_dir):
    settings = {**LEARN, "max_steps": 60, "update_epochs": 2, "batch_size": 64, "rollout_prompts": 64}
    folder = run_dir("ppo", {"train": prompt_rows(), "validation": prompt_rows(8)}, settings)
    metrics = finished(folder)["metrics"]
    assert metrics["validation_before_reward"] < 0.5
    assert metrics["validation_reward"] > 0.85
    assert metrics["train_reward"] > 0.9
    names = {"loss", "policy_loss", "value_loss", "clip_share", "explained_variance", "beta", "reward", "kl", "entropy"}
    assert names | {"answer_tokens", "cut_share"} <= set(events(folder, "metric")[-2]["values"])


def test_divergence_is_steered_to_its_target(run_dir):
    """Below the target beta falls, above it rises, once a rollout."""
    settings = {**LEARN, "max_steps": 12, "update_epochs": 2, "beta": 0.5, "kl_target": 0.05}
    folder = run_dir("ppo", {"train": prompt_rows()}, settings)
    finished(folder)
    values = [event["values"] for event in events(folder, "metric")][::2]
    betas = [one["beta"] for one in values]
    assert betas[:2] == [0.5, pytest.approx(0.49)], "nothing had diverged in the first rollout"
    for (before, now), one in zip(zip(betas[1:], betas[2:]), values[1:]):
        assert now == pytest.approx(before * (1 + 0.1 * max(-0.2, min(0.2, one["kl"] / 0.05 - 1))))
    assert betas[-1] > betas[1]
