"""Direct preference optimisation: make chosen answers likelier than rejected ones, relative to the parent.

With the implicit reward r(x, y) = β (log π(y|x) − log π_ref(y|x)):
  sigmoid  −log σ(r(x, chosen) − r(x, rejected))                        Rafailov et al. 2023, equation 7
  ipo      (h − 1 / 2β)², h the difference of mean log-ratios a token   Azar et al. 2023, equation 17
The reference π_ref is the parent: the same weights with the adapter off (a frozen copy when every weight is tuned).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..checkpoints import checkpoints_remove
from ..config import DpoSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop import Training
from ..scoring import Batch, answer_logprobs, pair_batch
from ..tuning import prepare, sample, save


@contextmanager
def reference_policy(model, frozen=None) -> Iterator:
    """The parent to compare with: the frozen copy, or the model with its adapter off."""
    if frozen is not None:
        yield frozen
        return
    with model.disable_adapter():
        yield model


def preference_losses(log_ratios: Tensor, lengths: Tensor, *, beta: float, kind: str) -> Tensor:
    """Loss of each pair; [pairs].

    log_ratios: [pairs, 2] of log π − log π_ref of chosen and rejected; lengths: [pairs, 2] their tokens.
    """
    if kind == "sigmoid":
        return -logsigmoid(beta * (log_ratios[:, 0] - log_ratios[:, 1]))
    # Means, not sums: the authors' own reading (TRL documents it), else long answers rule the square.
    means = log_ratios / lengths
    return (means[:, 0] - means[:, 1] - 1 / (2 * beta)) ** 2


class Preference:
    """The DPO loss of pairs; each counts once.

    The reference's log-probabilities of a row are reckoned when it is first seen, and kept: they never change.
    """

    def __init__(self, rows: list[Pair], pad: int, settings: DpoSettings, frozen=None):
        self.rows, self.pad, self.settings, self.frozen = rows, pad, settings, frozen
        self.reference = torch.full((len(rows), 2), torch.nan)

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return 1.0

    def tokens(self, row: int) -> int:
        return self.rows[row].length + len(self.rows[row].prompt)

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = pair_batch([self.rows[row] for row in rows], self.pad, model.device)
        reference = self._reference(model, rows, batch)
        logprobs, lengths = answer_logprobs(model, batch)
        log_ratios = logprobs.view(-1, 2) - reference
        beta = self.settings.beta
        losses = preference_losses(log_ratios, lengths.view(-1, 2), beta=beta, kind=self.settings.loss)
        rewards = beta * log_ratios.detach()
        margins = rewards[:, 0] - rewards[:, 1]
        return losses.sum(), {
            "accuracy": (margins > 0).sum().item(),
            "margin": margins.sum().item(),
            "chosen_reward": rewards[:, 0].sum().item(),
            "rejected_reward": rewards[:, 1].sum().item(),
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
    frozen = copy.deepcopy(ready.model).requires_grad_(False).eval() if settings.method == "full" else None
    train = Preference(ready.train, ready.pad, settings, frozen)
    validation = Preference(ready.validation, ready.pad, settings, frozen) if ready.validation else None
    training = Training(run, ready.model, train, validation, settings, ready.identity)
    if training.step == 0:
        sample(run, spec, settings, ready, "before")
    metrics = training.work()
    sample(run, spec, settings, ready, "after")
    saved = save(run, spec, settings, ready, metrics)
    checkpoints_remove(run)
    return {**saved, **training.result(), "rows": len(ready.train)}
