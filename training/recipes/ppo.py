"""Proximal policy optimisation from a reward, with a critic; TRL dropped its own, so this one is ours.

Ouyang et al. 2022 (InstructGPT, arXiv 2203.02155), with the details that make it work of Huang et al. 2024 (arXiv
2403.17031). A token is an action, an answer an episode. Scores are told in standard deviations from the mean of those
that the parent's own answers got, in the first rollout. For token t of an answer of T tokens with score s:
  reward     r_t = −β (log π_old(t) − log π_ref(t)), and s on top at t = T            Ziegler et al. 2019, equation 2
  advantage  Â_t = Σ_l (γλ)^l δ_{t+l},  δ_t = r_t + γ V_{t+1} − V_t,  V_{T+1} = 0      Schulman et al. 2016, equation 16
  return     R_t = Â_t + V_t; then the advantages are whitened over the rollout's tokens
  policy     −min(ρ Â_t, clip(ρ, 1 − ε, 1 + ε) Â_t),  ρ = π / π_old                    Schulman et al. 2017, equation 7
  critic     ½ max((V − R_t)², (clip(V, V_old ± c) − R_t)²)                            Huang et al. 2024
  β          β (1 + 0.1 clip(KL / target − 1, ±0.2)) after a rollout, given a target   Ziegler et al. 2019, section 2.2
Schulman et al. 2016: arXiv 1506.02438; 2017: arXiv 1707.06347; Ziegler et al. 2019: arXiv 1909.08593. The loss is the
mean over tokens of policy + value_coefficient × critic. Policy and critic go through the base one after the other, as
batches of their own: no more is held in memory at once than in supervised tuning.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import PpoSettings
from ..directory import RunDirectory
from ..networks.scoring import Batch
from ..online.loop import learn
from ..online.objective import OnlineObjective
from ..online.roles import Roles
from ..online.rollout import Rollout, token_logprobs


def token_rewards(scores: Tensor, old: Sequence[Tensor], reference: Sequence[Tensor], beta: float) -> list[Tensor]:
    """Rewards of each answer's tokens: the price of leaving the reference, and the score [answers] at the last one."""
    rewards = [-beta * (ours - theirs) for ours, theirs in zip(old, reference)]
    for of_answer, score in zip(rewards, scores):
        of_answer[-1] += score
    return rewards


def standard(scores: Tensor, mean: float, spread: float) -> Tensor:
    """Scores [answers] in standard deviations `spread` from `mean`; only moved where all were alike."""
    return (scores - mean) / (spread if spread > 1e-6 else 1.0)


def generalised_advantages(rewards: Tensor, values: Tensor, gamma: float, lambda_: float) -> Tensor:
    """GAE of one answer's tokens; all [tokens]. After the last token there is nothing: its value is 0."""
    advantages, ahead, following = torch.zeros_like(rewards), 0.0, 0.0
    for token in reversed(range(len(rewards))):
        surprise = rewards[token] + gamma * following - values[token]
        ahead = surprise + gamma * lambda_ * ahead
        advantages[token], following = ahead, values[token]
    return advantages


def whitened(values: Tensor, *, centred: bool = True) -> Tensor:
    """The values over their standard deviation, with mean 0 unless not `centred`."""
    scaled = (values - values.mean()) * torch.rsqrt(values.var(correction=0) + 1e-8)
    return scaled if centred else scaled + values.mean() * torch.rsqrt(values.var(correction=0) + 1e-8)


def policy_losses(logprobs: Tensor, old: Tensor, advantages: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """(loss, whether the clipping took the gradient) of each token; all [tokens]."""
    ratios = (logprobs - old).exp()
    clipped = ratios.clamp(1 - epsilon, 1 + epsilon)
    gains = torch.minimum(ratios * advantages, clipped * advantages)
    return -gains, clipped * advantages < ratios * advantages


def value_losses(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """The critic's loss of each token; all [tokens]."""
    held = torch.minimum(torch.maximum(values, old - clip), old + clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (held - returns) ** 2)


def next_beta(beta: float, divergence: float, target: float | None) -> float:
    """The price of divergence after a rollout of this mean divergence, in nats an answer."""
    if target is None:
        return beta
    return beta * (1 + 0.1 * max(-0.2, min(0.2, divergence / target - 1)))


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1: the critic knows the returns; 0: no more than their mean; below: less."""
    spread = returns.var(correction=0)
    return float(1 - (returns - values).var(correction=0) / spread) if spread > 0 else 0.0


class Episodes(OnlineObjective):
    """The PPO loss of a rollout's answers: row i is answer i for the policy, row i + answers the same for the critic.

    Each token counts once. A critic's row weighs nothing: its loss is divided by the tokens of the policy's rows.
    """

    has_critic = True
    settings: PpoSettings

    def __init__(self, *given):
        super().__init__(*given)
        self.beta = self.settings.beta
        self.of_parent: tuple[float, float] | None = None  # mean and standard deviation of the parent's scores

    def weight(self, row: int) -> float:
        return self.rollout.lengths[row] if row < len(self) else 0.0

    def tokens(self, row: int) -> int:
        return super().tokens(row) if row < len(self) else 0

    @torch.no_grad()
    def regard(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> None:
        values = []
        for batch in self.batches(roles, rollout):
            check_stop()
            values.append(roles.values(batch).cpu())
        rollout.of_tokens["value"] = torch.cat(values)

    def weigh(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> dict[str, float]:
        s, known = self.settings, rollout.of_tokens
        scores = self._scores(rollout)
        rewards = token_rewards(scores, rollout.split("old"), rollout.split("reference"), self.beta)
        if s.whiten_rewards:
            rewards = whitened(torch.cat(rewards), centred=False).split(rollout.lengths)
        answers = zip(rewards, rollout.split("value"))
        advantages = torch.cat([generalised_advantages(*answer, s.gamma, s.gae_lambda) for answer in answers])
        known["return"] = advantages + known["value"]
        known["advantage"] = whitened(advantages)
        divergence = (known["old"] - known["reference"]).sum().item() / len(rollout.rows)
        metrics = {"beta": self.beta, "explained_variance": explained_variance(known["value"], known["return"])}
        self.beta = next_beta(self.beta, divergence, s.kl_target)
        return metrics

    def _scores(self, rollout: Rollout) -> Tensor:
        """What the answers are worth, the penalty for not ending taken off; [answers]."""
        given = rollout.of_answers["reward"]
        penalties = self.settings.missing_eos_penalty * ~torch.tensor(rollout.ended)
        if not self.settings.normalise_rewards:
            return given.clone()
        scores = given + penalties
        if self.of_parent is None:  # the first rollout is the parent's: its adapter changes nothing yet
            self.of_parent = scores.mean().item(), scores.std(correction=0).item()
        return standard(scores, *self.of_parent) - penalties

    def loss(self, roles: Roles, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        critic = rows[0] >= len(self)
        rows = [row % len(self) for row in rows]
        batch = self.batch(roles, rows)
        return self._critic_loss(roles, batch, rows) if critic else self._policy_loss(roles, batch, rows)

    def _policy_loss(self, roles: Roles, batch: Batch, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        logprobs = token_logprobs(roles.acting(), batch, self.settings.temperature)
        old, advantages = (self.rollout.tokens(name, rows, roles.device) for name in ("old", "advantage"))
        losses, clipped = policy_losses(logprobs, old, advantages, self.settings.epsilon)
        return losses.sum(), {"policy_loss": losses.sum().item(), "clip_share": clipped.float().sum().item()}

    def _critic_loss(self, roles: Roles, batch: Batch, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        old, returns = (self.rollout.tokens(name, rows, roles.device) for name in ("value", "return"))
        losses = value_losses(roles.values(batch), old, returns, self.settings.value_clip)
        return self.settings.value_coefficient * losses.sum(), {"value_loss": losses.sum().item()}

    def state(self) -> dict[str, Tensor]:
        kept = {**super().state(), "beta": torch.tensor([self.beta], dtype=torch.float64)}
        if self.of_parent:
            kept["of_parent"] = torch.tensor(self.of_parent, dtype=torch.float64)
        return kept

    def load(self, tensors: dict[str, Tensor]) -> None:
        super().load(tensors)
        self.beta = float(tensors["beta"])
        if "of_parent" in tensors:
            self.of_parent = tuple(tensors["of_parent"].tolist())


def ppo(run: RunDirectory, spec: dict, settings: PpoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt}`, conversational."""
    return learn(run, spec, settings, Episodes)
