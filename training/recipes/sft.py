"""Supervised fine-tuning: make the given answers likelier.

Loss: mean over the answers' tokens of −log p(token | prompt, earlier tokens); the prompt's own tokens are not learnt.
"""

import torch
from torch import Tensor

from ..config import SftSettings
from ..data import Example, examples
from ..directory import RunDirectory
from ..mixture import Mixture, PartOf
from ..scoring import answer_logits, answer_sums, chosen_logprobs, example_batch, token_entropies
from ..tuning import prepare, tuned


class AnswerLikelihood:
    """Negative log-likelihood of the answers' tokens; a row counts as much as its answer has tokens.

    part_of: of a mixture's rows; their losses are then told apart.
    """

    def __init__(self, rows: list[Example], pad: int, part_of: PartOf | None = None):
        self.rows, self.pad, self.part_of = rows, pad, part_of
        self.shares = ()

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return len(self.rows[row].answer)

    def tokens(self, row: int) -> int:
        return self.rows[row].length

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        batch = example_batch([self.rows[row] for row in rows], self.pad, model.device)
        logits = answer_logits(model, batch)
        right = (logits.detach().argmax(-1) == batch.targets).sum()
        losses = -chosen_logprobs(logits, batch.targets)
        values = {"accuracy": right.item()}
        if not torch.is_grad_enabled():
            values["entropy"] = token_entropies(logits).sum().item()
        if self.part_of:
            values |= self._by_part(rows, answer_sums(losses.detach(), batch).tolist())
        return losses.sum(), values

    def _by_part(self, rows: list[int], losses: list[float]) -> dict[str, float]:
        """Sums of the rows' losses for each part, and their weights beside them."""
        found = {f"loss_{name}{what}": 0.0 for name in self.part_of.names for what in ("", " over")}
        for row, loss in zip(rows, losses):
            found[f"loss_{self.part_of(row)}"] += loss
            found[f"loss_{self.part_of(row)} over"] += self.weight(row)
        return found

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        pass


def sft(run: RunDirectory, spec: dict, settings: SftSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{messages}` ending with the answer to learn."""
    ready = prepare(run, spec, settings, examples)
    mixture: Mixture | None = ready.mixture
    train = AnswerLikelihood(ready.train, ready.pad, mixture and PartOf(mixture.names, mixture.train))
    validation = None
    if ready.validation:
        part_of = mixture and PartOf(mixture.names, mixture.validation)
        validation = AnswerLikelihood(ready.validation, ready.pad, part_of)
    if not mixture:
        return tuned(run, spec, settings, ready, train, validation)
    train.shares = mixture.shares
    return {**tuned(run, spec, settings, ready, train, validation), "mixture": mixture.told()}
