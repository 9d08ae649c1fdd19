"""Odds ratio preference optimisation: learn the chosen answers, and make them likelier than the rejected, in one step.

With P(y|x) the geometric mean of an answer's token probabilities (Hong et al. 2024, arXiv 2403.07691):
  odds(y|x)  P(y|x) / (1 − P(y|x))                                                        equation 4
  L_OR       −log σ(log (odds(chosen|x) / odds(rejected|x)))                              equation 7
  loss       −log P(chosen|x) + β L_OR, β the paper's λ                                   equation 6
No reference: nothing but the first term holds the model to where it came from. The answers' tokens are learnt, not the
prompt's (TRL's ORPO learns those too, in its first term).
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..config import OrpoSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop.tuning import prepare, tuned
from ..networks.scoring import answer_logprobs_shown, answers_batch


def log_odds_ratios(means: Tensor) -> Tensor:
    """log (odds of chosen / odds of rejected); [pairs]. means: [pairs, 2] of log P, below 0."""
    # log (1 − e^m): by expm1 near 0, by log1p far from it (Mächler 2012), else a sure answer's odds drown in rounding.
    below = means.clamp(max=-1e-7)
    against = torch.where(below > -0.693, torch.log(-torch.expm1(below)), torch.log1p(-torch.exp(below)))
    odds = means - against
    return odds[:, 0] - odds[:, 1]


class OddsRatio:
    """The ORPO loss of pairs; each counts once."""

    def __init__(self, rows: list[Pair], pad: int, settings: OrpoSettings):
        self.rows, self.pad, self.settings = rows, pad, settings

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return 1.0

    def tokens(self, row: int) -> int:
        return self.rows[row].length + len(self.rows[row].prompt)

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = answers_batch([self.rows[row] for row in rows], self.pad, model)
        logprobs, lengths, shown = answer_logprobs_shown(model, batch)
        means = (logprobs / lengths).view(-1, 2)
        ratios = log_odds_ratios(means)
        losses = self.settings.beta * -logsigmoid(ratios) - means[:, 0]
        rewards = self.settings.beta * means.detach()
        margins = rewards[:, 0] - rewards[:, 1]
        return losses.sum(), {
            "accuracy": (margins > 0).sum().item(),
            "margin": margins.sum().item(),
            "chosen_reward": rewards[:, 0].sum().item(),
            "rejected_reward": rewards[:, 1].sum().item(),
            "answer_loss": -means[:, 0].sum().item(),
            **{name: values.sum().item() / 2 for name, values in shown.items()},
            "log_odds": ratios.sum().item(),
        }

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        pass


def orpo(run: RunDirectory, spec: dict, settings: OrpoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt, chosen, rejected}`, conversational."""
    ready = prepare(run, spec, settings, pairs)
    train = OddsRatio(ready.train, ready.pad, settings)
    validation = OddsRatio(ready.validation, ready.pad, settings) if ready.validation else None
    return tuned(run, spec, settings, ready, train, validation)
