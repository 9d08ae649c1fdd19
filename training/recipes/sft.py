"""Supervised fine-tuning: make the given answers likelier.

Loss: mean over the answers' tokens of −log p(token | prompt, earlier tokens); the prompt's own tokens are not learnt.
"""

from torch import Tensor

from ..config import SftSettings
from ..data import Example, examples
from ..directory import RunDirectory
from ..scoring import answer_logits, example_batch, token_logprobs
from ..tuning import prepare, tuned


class AnswerLikelihood:
    """Negative log-likelihood of the answers' tokens; a row counts as much as its answer has tokens."""

    def __init__(self, rows: list[Example], pad: int):
        self.rows, self.pad = rows, pad

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
        return -token_logprobs(logits, batch).sum(), {"accuracy": right.item()}

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        pass


def sft(run: RunDirectory, spec: dict, settings: SftSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{messages}` ending with the answer to learn."""
    ready = prepare(run, spec, settings, examples)
    train = AnswerLikelihood(ready.train, ready.pad)
    validation = AnswerLikelihood(ready.validation, ready.pad) if ready.validation else None
    return tuned(run, spec, settings, ready, train, validation)
