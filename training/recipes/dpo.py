"""Direct preference optimisation: make chosen answers likelier than rejected ones, relative to the parent.

With the log-ratio h(y) = log π(y|x) − log π_ref(y|x), Δ = h(chosen) − h(rejected), and |y| the tokens of an answer:
  sigmoid       −log σ(βΔ)                                            Rafailov et al. 2023, arXiv 2305.18290, equation 7
                −log σ(βΔ − αm), m the row's margin                 Amini et al. 2024 (ODPO), arXiv 2402.10571
  sigmoid_norm  −log σ(β (h(chosen)/|chosen| − h(rejected)/|rejected|))  Lambert et al. 2024 (Tülu 3), 2411.15124
  ipo           (h(chosen)/|chosen| − h(rejected)/|rejected| − 1/2β)²  Azar et al. 2023, 2310.12036, equation 17
  robust        (−(1 − ε) log σ(βΔ) + ε log σ(−βΔ)) / (1 − 2ε)        Chowdhury et al. 2024, 2403.00409
  hinge         max(0, 1 − βΔ)                                        Zhao et al. 2023 (SLiC), 2305.10425
  apo_zero      1 − σ(βh(chosen)) + σ(βh(rejected))                   D'Oosterlinck et al. 2024, 2408.06266, equation 7
  apo_down      σ(βh(chosen)) + 1 − σ(βΔ)                             ibid., equation 8
  sppo_hard     (h(chosen) − 1/2β)² + (h(rejected) + 1/2β)²           Wu et al. 2024, 2405.00675, equation 4.7, P 1, 0
  bco_pair      −log σ(βh(chosen)) − log σ(−βh(rejected))             Jung et al. 2024 (BCO), 2404.04656, shift 0
  sft           −log π(chosen|x) / |chosen|                           Pang et al. 2024 (RPO), 2404.19733
A mixture is their weighted sum (MPO, Wang et al. 2024, 2411.10442: sigmoid 0.8 + bco_pair 0.2 + sft 1). The names are
TRL's, and so are the values, but that its sft is a mean over a batch's tokens and not over its rows. The reference
π_ref is the parent: the same weights with the adapter off (a frozen copy of what is trained when it is the base).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..config import DpoSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop.tuning import parent_copy, prepare, tuned
from ..networks.scoring import Batch, answer_logprobs, answer_logprobs_shown, answers_batch


@contextmanager
def reference_policy(model, frozen=None) -> Iterator:
    """The parent to compare with: the frozen copy, or the model with its adapter off."""
    if frozen is not None:
        yield frozen
        return
    with model.disable_adapter():
        yield model


def preference_losses(
    log_ratios: Tensor,
    lengths: Tensor,
    *,
    beta: float,
    kind: str,
    label_smoothing: float = 0.0,
    margins: Tensor | float = 0.0,
    chosen_logprobs: Tensor | None = None,
) -> Tensor:
    """Loss of each pair; [pairs].

    log_ratios: [pairs, 2] of log π − log π_ref of chosen and rejected; lengths: [pairs, 2] their tokens; margins:
    [pairs] what sigmoid asks for at least; chosen_logprobs: [pairs] of log π, for sft.
    """
    chosen, rejected = log_ratios.unbind(1)
    difference = beta * (chosen - rejected)
    if kind == "sigmoid":
        return -logsigmoid(difference - margins)
    if kind in ("sigmoid_norm", "ipo"):
        # Means, not sums: for ipo the authors' own reading (TRL documents it), else long answers rule the square.
        means = log_ratios / lengths
        by_token = means[:, 0] - means[:, 1]
        return -logsigmoid(beta * by_token) if kind == "sigmoid_norm" else (by_token - 1 / (2 * beta)) ** 2
    if kind == "robust":
        kept, flipped = -logsigmoid(difference), -logsigmoid(-difference)
        return ((1 - label_smoothing) * kept - label_smoothing * flipped) / (1 - 2 * label_smoothing)
    if kind == "hinge":
        return torch.relu(1 - difference)
    if kind == "apo_zero":
        return 1 - torch.sigmoid(beta * chosen) + torch.sigmoid(beta * rejected)
    if kind == "apo_down":
        return torch.sigmoid(beta * chosen) + 1 - torch.sigmoid(difference)
    if kind == "sppo_hard":
        return (chosen - 0.5 / beta) ** 2 + (rejected + 0.5 / beta) ** 2
    if kind == "bco_pair":
        return -logsigmoid(beta * chosen) - logsigmoid(-beta * rejected)
    if kind == "sft":
        return -chosen_logprobs / lengths[:, 0]
    raise ValueError(kind)


def losses_wanted(settings: DpoSettings) -> list[tuple[str, float]]:
    """(loss, weight) of the mixture, or of the one loss."""
    if not settings.loss_mixture:
        return [(settings.loss, 1.0)]
    found = re.findall(r"(\w+)\s+([\d.]+)", settings.loss_mixture)
    return [(kind, float(weight)) for kind, weight in found]


class Preference:
    """The DPO loss of pairs; each counts once.

    The reference's log-probabilities of a row are reckoned when it is first seen, and kept: they never change.
    """

    def __init__(self, rows: list[Pair], pad: int, settings: DpoSettings, frozen=None):
        self.rows, self.pad, self.settings, self.frozen = rows, pad, settings, frozen
        self.reference = torch.full((len(rows), 2), torch.nan)
        self.losses = losses_wanted(settings)

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return 1.0

    def tokens(self, row: int) -> int:
        return self.rows[row].length + len(self.rows[row].prompt)

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = answers_batch([self.rows[row] for row in rows], self.pad, model)
        reference = self._reference(model, rows, batch)
        logprobs, lengths, shown = answer_logprobs_shown(model, batch)
        logprobs = logprobs.view(-1, 2)
        log_ratios = logprobs - reference
        margins = self.settings.margin * torch.tensor([self.rows[row].margin for row in rows], device=model.device)
        losses = sum(
            weight
            * preference_losses(
                log_ratios,
                lengths.view(-1, 2),
                beta=self.settings.beta,
                kind=kind,
                label_smoothing=self.settings.label_smoothing,
                margins=margins,
                chosen_logprobs=logprobs[:, 0],
            )
            for kind, weight in self.losses
        )
        rewards = self.settings.beta * log_ratios.detach()
        margins = rewards[:, 0] - rewards[:, 1]
        return losses.sum(), {
            "accuracy": (margins > 0).sum().item(),
            "margin": margins.sum().item(),
            "chosen_reward": rewards[:, 0].sum().item(),
            "rejected_reward": rewards[:, 1].sum().item(),
            **{name: values.sum().item() / 2 for name, values in shown.items()},
        }

    @torch.no_grad()
    def _reference(self, model, rows: list[int], batch: Batch) -> Tensor:
        """The reference's log-probabilities; [pairs, 2]."""
        known = self.reference[rows]
        if not known.isnan().any():
            return known.to(model.device)
        training = model.training
        model.eval()
        with reference_policy(model, self.frozen) as parent:
            found = answer_logprobs(parent, batch)[0].view(-1, 2)
        model.train(training)
        self.reference[rows] = found.cpu()
        return found

    def state(self) -> dict[str, Tensor]:
        return {"reference": self.reference}

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.reference = tensors["reference"]


def dpo(run: RunDirectory, spec: dict, settings: DpoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt, chosen, rejected}`, conversational."""
    ready = prepare(run, spec, settings, pairs)
    frozen = parent_copy(ready)
    train = Preference(ready.train, ready.pad, settings, frozen)
    validation = Preference(ready.validation, ready.pad, settings, frozen) if ready.validation else None
    return tuned(run, spec, settings, ready, train, validation)
