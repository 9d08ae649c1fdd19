"""Simple preference optimisation: an answer's own mean log-probability is its reward, so length earns nothing.

With the reward r(x, y) = β / |y| · log π(y|x), |y| the answer's tokens (Meng et al. 2024, arXiv 2405.14734):
  −log σ(r(x, chosen) − r(x, rejected) − γ)                                               equations 4 and 6
No reference: a high learning rate makes everything less likely, the chosen answers too. `sft_weight` adds
−log π(chosen|x) / |chosen| as CPO does (Xu et al. 2024, arXiv 2401.08417; `cpo_alpha` in TRL).
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from ..config import SimpoSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop.tuning import prepare, tuned
from ..networks.scoring import answer_logprobs_shown, answers_batch


def margin_losses(means: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Loss of each pair; [pairs]. means: [pairs, 2] mean log-probability a token of chosen and rejected."""
    return -logsigmoid(beta * (means[:, 0] - means[:, 1]) - gamma)


class TargetMargin:
    """The SimPO loss of pairs; each counts once."""

    def __init__(self, rows: list[Pair], pad: int, settings: SimpoSettings):
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
        settings = self.settings
        losses = margin_losses(means, beta=settings.beta, gamma=settings.gamma) - settings.sft_weight * means[:, 0]
        rewards = settings.beta * means.detach()
        margins = rewards[:, 0] - rewards[:, 1]
        return losses.sum(), {
            "accuracy": (margins > 0).sum().item(),
            "margin": margins.sum().item(),
            "chosen_reward": rewards[:, 0].sum().item(),
            "rejected_reward": rewards[:, 1].sum().item(),
            "answer_loss": -means[:, 0].sum().item(),
            **{name: values.sum().item() / 2 for name, values in shown.items()},
        }

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        pass


def simpo(run: RunDirectory, spec: dict, settings: SimpoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt, chosen, rejected}`, conversational."""
    ready = prepare(run, spec, settings, pairs)
    train = TargetMargin(ready.train, ready.pad, settings)
    validation = TargetMargin(ready.validation, ready.pad, settings) if ready.validation else None
    return tuned(run, spec, settings, ready, train, validation)
