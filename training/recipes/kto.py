"""Kahneman–Tversky optimisation: make answers with a thumb up likelier and those with a thumb down less so.

With the implicit reward r(x, y) = β (log π(y|x) − log π_ref(y|x)) and the reference point z (Ethayarajh et al. 2024,
arXiv 2402.01306, equations 7 and 8):
  good answer  λ_good (1 − σ(r(x, y) − z))
  bad answer   λ_bad  (1 − σ(z − r(x, y)))
  z            β max(0, mean of log π(y′|x) − log π_ref(y′|x)) over the rows of the batch, y′ another row's answer
z estimates β KL(π ‖ π_ref); no gradient flows through it. The reference π_ref is the parent.
"""

import torch
from torch import Tensor

from ..config import KtoSettings
from ..data import Example, Labelled, labelled
from ..directory import RunDirectory
from ..errors import TrainingError
from ..loop.tuning import parent_copy, prepare, tuned
from ..networks.scoring import answer_logprobs, answer_logprobs_shown, example_batch
from ..processes import ALONE, Processes
from .dpo import reference_policy


def thumb_losses(log_ratios: Tensor, divergence: Tensor, good: Tensor, settings: KtoSettings) -> Tensor:
    """Loss of each row; [rows].

    log_ratios: [rows] of log π − log π_ref; divergence: [] the estimate of KL(π ‖ π_ref), at least 0; good: [rows].
    """
    against = settings.beta * (log_ratios - divergence)
    gains = settings.good_weight * (1 - torch.sigmoid(against))
    return torch.where(good, gains, settings.bad_weight * (1 - torch.sigmoid(-against)))


class Thumbs:
    """The KTO loss of rows; each counts once.

    A row's mismatched answer is that of the row half the file away: rows of one prompt stand together. The reference's
    log-probabilities of both are reckoned when a row is first seen, and kept.
    """

    def __init__(
        self, rows: list[Labelled], pad: int, settings: KtoSettings, frozen=None, processes: Processes = ALONE
    ):
        self.rows, self.pad, self.settings, self.frozen, self.processes = rows, pad, settings, frozen, processes
        self.reference = torch.full((len(rows), 2), torch.nan)

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return 1.0

    def tokens(self, row: int) -> int:
        return self.rows[row].length + self._mismatched(row).length

    def _mismatched(self, row: int) -> Example:
        own, answer = self.rows[row], self.rows[(row + len(self.rows) // 2) % len(self.rows)].answer
        room = max(1, self.settings.max_length - len(answer))
        prompt = own.prompt[-room:] if own.start is None else own.prompt  # an encoder's has its own row
        return Example(prompt, answer, own.id, own.start)

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        own = example_batch([self.rows[row] for row in rows], self.pad, model.device)
        mismatched = example_batch([self._mismatched(row) for row in rows], self.pad, model.device)
        reference = self._reference(model, rows, own, mismatched)
        logprobs, _, shown = answer_logprobs_shown(model, own)
        log_ratios = logprobs - reference[:, 0]
        with torch.no_grad():
            drifts = answer_logprobs(model, mismatched)[0] - reference[:, 1]
            divergence = self.processes.mean(drifts).clamp(min=0)
        good = torch.tensor([self.rows[row].good for row in rows], device=log_ratios.device)
        losses = thumb_losses(log_ratios, divergence, good, self.settings)
        rewards = self.settings.beta * log_ratios.detach()
        margins = torch.where(good, rewards, -rewards)
        return losses.sum(), {
            "accuracy": (margins > 0).sum().item(),
            "margin": margins.sum().item(),
            "kl": divergence.item() * len(rows),
            **{name: values.sum().item() for name, values in shown.items()},
        }

    def accompany(self) -> None:
        """Add nothing to the reference point of a micro-batch that has no row for this process."""
        self.processes.mean(torch.zeros(0))

    @torch.no_grad()
    def _reference(self, model, rows: list[int], own, mismatched) -> Tensor:
        """The reference's log-probabilities of the rows' own and mismatched answers; [rows, 2]."""
        known = self.reference[rows]
        if not known.isnan().any():
            return known.to(model.device)
        training = model.training
        model.eval()
        with reference_policy(model, self.frozen) as parent:
            found = torch.stack([answer_logprobs(parent, batch)[0] for batch in (own, mismatched)], dim=1)
        model.train(training)
        self.reference[rows] = found.cpu()
        return found

    def state(self) -> dict[str, Tensor]:
        return {"reference": self.reference}

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.reference = tensors["reference"]


def balance_words(rows: list[Labelled], settings: KtoSettings) -> str | None:
    """A warning where good and bad answers weigh too unequally (the paper's equation 9), with the weight to set."""
    good = sum(row.good for row in rows)
    bad = len(rows) - good
    if not good or not bad:
        return (
            f"All {len(rows)} answers have the same thumb: the model can learn only to write more, or less, like them."
        )
    ratio = settings.good_weight * good / (settings.bad_weight * bad) if settings.bad_weight else float("inf")
    if 0.99 <= ratio <= 4 / 3 + 0.01:
        return None
    advice = settings.bad_weight * bad / good
    return (
        f"{good} good and {bad} bad answers weigh {ratio:.2f} to 1; the method wants 1 to 1.33. "
        f"Set good_weight to {advice:.2f}–{advice * 4 / 3:.2f}."
    )


def kto(run: RunDirectory, spec: dict, settings: KtoSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt, completion, label}`, conversational."""
    ready = prepare(run, spec, settings, labelled)
    if len(ready.train) < 2:
        message = (
            "KTO compares answers with those of other rows and needs at least two; there is one. Rate more answers."
        )
        raise TrainingError("empty_data", message)
    if words := balance_words(ready.train, settings):
        run.warn(words)
    frozen = parent_copy(ready)
    train = Thumbs(ready.train, ready.pad, settings, frozen, run.processes)
    validation = None
    if len(ready.validation) > 1:
        validation = Thumbs(ready.validation, ready.pad, settings, frozen, run.processes)
    return tuned(run, spec, settings, ready, train, validation)
