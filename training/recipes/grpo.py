"""Group relative policy optimisation: answers that score above the others to their prompt become likelier.

Shao et al. 2024 (DeepSeekMath, arXiv 2402.03300). Of the answers i to one prompt, with rewards r_i:
  advantage  Â_i = (r_i − mean(r)) / (std(r) + 1e-4)                                   section 4.1.2
  per token  −min(ρ Â_i, clip(ρ, 1 − ε, 1 + ε) Â_i) + β ρ k,  ρ = π / π_old            equation 3
  k          π_ref / π − log(π_ref / π) − 1, an estimate of KL(π ‖ π_ref) that is never below 0   equation 4
The ρ before k is DeepSeek-V3.2's (arXiv 2512.02556) and TRL's: with it the gradient of the last term is that of the
divergence, without bias. The loss is the mean over tokens (dapo: Yu et al. 2025, arXiv 2503.14476, equation 8), over
the answers' own means (grpo), or over max_new_tokens times the answers (dr_grpo: Liu et al. 2025, arXiv 2503.20783,
section 3.2).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..config import GrpoSettings
from ..directory import RunDirectory
from ..networks.scoring import answer_sums
from ..online.loop import learn
from ..online.objective import OnlineObjective
from ..online.roles import Roles
from ..online.rollout import Rollout, token_logprobs


def group_advantages(rewards: Tensor, each: int, scale: str) -> Tensor:
    """Advantages of answers, `each` of which in turn belong to one prompt; [answers]. scale: group, batch or none."""
    groups = rewards.view(-1, each)
    advantages = groups - groups.mean(1, keepdim=True)
    if scale == "none":
        return advantages.flatten()
    spread = groups.std(1, keepdim=True) if scale == "group" else rewards.std()
    return (advantages / (spread + 1e-4)).flatten()


def token_losses(
    logprobs: Tensor, old: Tensor, reference: Tensor, advantages: Tensor, *, epsilon: float, beta: float
) -> tuple[Tensor, Tensor]:
    """(loss, whether the clipping took the gradient) of each token; all [tokens], advantages being their answers'."""
    ratios = (logprobs - old).exp()
    clipped = ratios.clamp(1 - epsilon, 1 + epsilon)
    gains = torch.minimum(ratios * advantages, clipped * advantages)
    away = reference - logprobs
    return -gains + beta * ratios * (away.exp() - away - 1), clipped * advantages < ratios * advantages


class Groups(OnlineObjective):
    """The GRPO loss of a rollout's answers."""

    settings: GrpoSettings

    def weight(self, row: int) -> float:
        """What the answer counts in the mean that the loss is."""
        of_answer = {"grpo": 1, "dr_grpo": self.settings.max_new_tokens, "dapo": self.rollout.lengths[row]}
        return of_answer[self.settings.loss]

    def weigh(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> dict[str, float]:
        rewards, each = rollout.of_answers["reward"], self.settings.num_generations
        rollout.of_answers["advantage"] = group_advantages(rewards, each, self.settings.scale_rewards)
        alike = rewards.view(-1, each).std(1) < 1e-6  # nothing is learnt from such a prompt
        return {"alike_share": alike.float().mean().item()}

    def loss(self, roles: Roles, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = self.batch(roles, rows)
        logprobs = token_logprobs(roles.acting(), batch, self.settings.temperature)
        once = self.updates == 1  # then π_old is π itself: no rounding between two batches comes in
        old = logprobs.detach() if once else self.rollout.tokens("old", rows, roles.device)
        reference = self.rollout.tokens("reference", rows, roles.device)
        advantages = self.rollout.of_answers["advantage"][rows].to(roles.device)[batch.owner]
        s = self.settings
        losses, clipped = token_losses(logprobs, old, reference, advantages, epsilon=s.epsilon, beta=s.beta)
        lengths = answer_sums(torch.ones_like(losses), batch)
        each = lengths if s.loss == "grpo" else torch.ones_like(lengths)
        weights = torch.tensor([self.weight(row) for row in rows], device=roles.device)
        return (answer_sums(losses, batch) / each).sum(), {
            "clip_share": (weights * answer_sums(clipped.float(), batch) / lengths).sum().item()
        }


def grpo(run: RunDirectory, spec: dict, settings: GrpoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt}`, conversational."""
    return learn(run, spec, settings, Groups)
