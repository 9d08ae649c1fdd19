"""Supervised fine-tuning: make the given answers likelier.

Loss: mean over the answers' tokens of −log p(token | prompt, earlier tokens); the prompt's own tokens are not learnt.
"""

import torch
from torch import Tensor

from ..config import SftSettings
from ..data import Example, examples
from ..directory import RunDirectory
from ..loop.mixture import Mixture, PartOf
from ..loop.packing import packed_parts, packing_check
from ..loop.tuning import Prepared, prepare, tuned
from ..networks.scoring import (
    Answered,
    answer_logits,
    answer_sums,
    chosen_logprobs,
    example_batch,
    pieces_batch,
    token_entropies,
)


class AnswerLikelihood:
    """Negative log-likelihood of the answers' tokens; a row counts as much as its answer has tokens.

    pieces: rows, by number, that go through the model as one (packing); else each by itself. The loop knows pieces by
    their number. part_of: of a mixture's rows; their losses are then told apart.
    """

    def __init__(
        self, rows: list[Example], pad: int, part_of: PartOf | None = None, pieces: list[list[int]] | None = None
    ):
        self.rows, self.pad, self.part_of = rows, pad, part_of
        self.is_packed = pieces is not None
        self.pieces = pieces or [[row] for row in range(len(rows))]
        self.shares = ()

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, however they are packed."""
        return [row.length for row in self.rows]

    def weight(self, piece: int) -> float:
        return sum(len(self.rows[row].answer) for row in self.pieces[piece])

    def tokens(self, piece: int) -> int:
        return sum(self.rows[row].length for row in self.pieces[piece])

    def loss(self, model, pieces: list[int]) -> tuple[Tensor, dict[str, float]]:
        rows = [row for piece in pieces for row in self.pieces[piece]]
        if self.is_packed:
            packed = [[self._answered(row) for row in self.pieces[piece]] for piece in pieces]
            batch = pieces_batch(packed, self.pad, model.device)
        else:
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

    def _answered(self, row: int) -> Answered:
        return self.rows[row].prompt, [self.rows[row].answer]

    def _by_part(self, rows: list[int], losses: list[float]) -> dict[str, float]:
        """Sums of the rows' losses for each part, and their weights beside them."""
        found = {f"loss_{name}{what}": 0.0 for name in self.part_of.names for what in ("", " over")}
        for row, loss in zip(rows, losses):
            found[f"loss_{self.part_of(row)}"] += loss
            found[f"loss_{self.part_of(row)} over"] += len(self.rows[row].answer)
        return found

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        pass


def sft(run: RunDirectory, spec: dict, settings: SftSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{messages}` ending with the answer to learn."""
    ready = prepare(run, spec, settings, examples)
    mixture: Mixture | None = ready.mixture
    pieces = _pieces(run, ready, settings) if settings.packing else None
    train = AnswerLikelihood(ready.train, ready.pad, mixture and PartOf(mixture.names, mixture.train), pieces)
    validation = None
    if ready.validation:
        part_of = mixture and PartOf(mixture.names, mixture.validation)
        validation = AnswerLikelihood(ready.validation, ready.pad, part_of)
    if not mixture:
        return tuned(run, spec, settings, ready, train, validation)
    train.shares = mixture.shares
    return {**tuned(run, spec, settings, ready, train, validation), "mixture": mixture.told()}


def _pieces(run: RunDirectory, ready: Prepared, settings: SftSettings) -> list[list[int]]:
    """The rows in pieces of at most max_length tokens; those of a mixture, whose shares are then of pieces, by part."""
    packing_check(ready.train[0].start, ready.path)
    mixture = ready.mixture
    parts = packed_parts(ready.train, mixture.train if mixture else [len(ready.train)], settings.max_length)
    if mixture:
        mixture.pieces = [len(part) for part in parts]
    pieces = [piece for part in parts for piece in part]
    full = sum(row.length for row in ready.train) / (len(pieces) * settings.max_length)
    run.status(
        message=f"{len(ready.train)} rows in {len(pieces)} pieces of {settings.max_length} tokens, {full:.0%} full"
    )
    return pieces
