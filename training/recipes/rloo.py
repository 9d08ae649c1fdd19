"""REINFORCE with a leave-one-out baseline: an answer is measured by the mean of the others to its prompt.

Ahmadian et al. 2024 (arXiv 2402.14740). Of the k answers i to one prompt, with rewards r_i:
  R_i        r_i − β (log π_old(y_i|x) − log π_ref(y_i|x))      Ziegler et al. 2019, arXiv 1909.08593, equation 2
  advantage  Â_i = R_i − mean of R_j over j ≠ i                 the RLOO estimator, after Kool et al. 2019
  loss       −min(ρ Â_i, clip(ρ, 1 − ε, 1 + ε) Â_i),  ρ = π(y_i|x) / π_old(y_i|x), mean over answers
A whole answer is one action, so that ρ is of the whole answer. When each rollout is learnt from in one step, ρ is 1
and the gradient is REINFORCE's; the clipping (Schulman et al. 2017, arXiv 1707.06347, equation 7) keeps more steps in
bounds, as TRL has it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..config import RlooSettings
from ..directory import RunDirectory
from ..networks.scoring import answer_sums
from ..online.loop import learn
from ..online.objective import OnlineObjective
from ..online.roles import Roles
from ..online.rollout import Rollout, token_logprobs


def leave_one_out(rewards: Tensor, each: int) -> Tensor:
    """Advantages of answers, `each` of which in turn belong to one prompt; [answers]."""
    groups = rewards.view(-1, each)
    others = (groups.sum(1, keepdim=True) - groups) / (each - 1)
    return (groups - others).flatten()


def answer_losses(logprobs: Tensor, old: Tensor, advantages: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """(loss, whether the clipping took the gradient) of each answer; all [answers], log-probabilities being sums."""
    ratios = (logprobs - old).exp()
    clipped = ratios.clamp(1 - epsilon, 1 + epsilon)
    gains = torch.minimum(ratios * advantages, clipped * advantages)
    return -gains, clipped * advantages < ratios * advantages


class LeaveOneOut(OnlineObjective):
    """The RLOO loss of a rollout's answers; each counts once."""

    settings: RlooSettings

    def weigh(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> dict[str, float]:
        divergence = rollout.totals("old") - rollout.totals("reference")
        rewards = rollout.of_answers["reward"] - self.settings.beta * divergence
        advantages = leave_one_out(rewards, self.settings.num_generations)
        rollout.of_answers["advantage"] = advantages
        return {"advantage_std": advantages.std().item()}

    def loss(self, roles: Roles, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = self.batch(roles, rows)
        logprobs = answer_sums(token_logprobs(roles.acting(), batch, self.settings.temperature), batch)
        once = self.updates == 1  # then π_old is π itself: no rounding between two batches comes in
        old = logprobs.detach() if once else self.rollout.totals("old")[rows].to(roles.device)
        advantages = self.rollout.of_answers["advantage"][rows].to(roles.device)
        losses, clipped = answer_losses(logprobs, old, advantages, self.settings.epsilon)
        return losses.sum(), {"clip_share": clipped.float().sum().item()}


def rloo(run: RunDirectory, spec: dict, settings: RlooSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt}`, conversational."""
    return learn(run, spec, settings, LeaveOneOut)
