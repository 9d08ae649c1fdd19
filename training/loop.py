"""The training loop that all recipes share: order, accumulation, schedule, evaluation, checkpoints, stopping.

Deterministic: the order of the rows follows from the seed and the epoch, dropout from the seed and the step, and a
checkpoint holds the rest. A run that was stopped or killed and resumed comes to the same weights as an undisturbed one
on the same device with the same number of threads.
"""

import hashlib
import math
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .checkpoints import checkpoint_agrees, checkpoint_last, checkpoint_save
from .config import Tuning
from .directory import RunDirectory, Stopped
from .errors import TrainingError
from .optimiser import MasterAdamW, learning_rate_at

SAVE_SECONDS = 180
STATUS_SECONDS = 1.0
METRICS_A_RUN = 400
FIRST_METRICS = 5  # of a long run too: whoever watches wants to see that it works
# What may differ between two attempts without changing the weights that come out.
HARMLESS = {"eval_every", "save_every", "sample_count", "validation_rows"}


class Objective(Protocol):
    """What a recipe makes of its rows; rows are known by number."""

    def __len__(self) -> int: ...

    def weight(self, row: int) -> float:
        """What the row counts in a mean: its answer's tokens, or 1 for a pair."""

    def tokens(self, row: int) -> int:
        """Tokens of the row as it goes through the model, padding left out; a prompt counts for each of its answers."""

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        """(sum of the rows' weighted losses, sums of the same weight of whatever else is to be shown)."""

    def state(self) -> dict[str, Tensor]:
        """What of it belongs into a checkpoint."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""


@dataclass
class Sums:
    """Weighted sums of metrics, and their means."""

    weight: float = 0.0
    values: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, weight: float, values: dict[str, float]) -> None:
        self.weight += weight
        for name, value in values.items():
            self.values[name] += value

    def means(self) -> dict[str, float]:
        return {name: value / self.weight for name, value in self.values.items()} if self.weight else {}


# --- Order -----------------------------------------------------------------------------------------------------------


def seeded(*parts: object) -> random.Random:
    """A random generator of its own for these parts; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def epoch_batches(lengths: list[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """All rows once, in batches of like length (little padding), the batches in random order."""
    chance = seeded(seed, "epoch", epoch)
    rows = list(range(len(lengths)))
    chance.shuffle(rows)
    # Sorted within windows only: the same rows do not meet in every epoch.
    window = 32 * batch_size
    batches = []
    for start in range(0, len(rows), window):
        block = sorted(rows[start : start + window], key=lambda row: -lengths[row])
        batches += [block[i : i + batch_size] for i in range(0, len(block), batch_size)]
    chance.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Schedule:
    """Which rows each step takes."""

    lengths: list[int]
    settings: Tuning

    @property
    def steps_an_epoch(self) -> int:
        batches = math.ceil(len(self.lengths) / self.settings.batch_size)
        return math.ceil(batches / self.settings.gradient_accumulation)

    @property
    def steps(self) -> int:
        return self.settings.max_steps or max(1, math.ceil(self.settings.epochs * self.steps_an_epoch))

    def batches(self, step: int) -> list[list[int]]:
        """The micro-batches of a step."""
        epoch, place = divmod(step, self.steps_an_epoch)
        batches = epoch_batches(self.lengths, self.settings.batch_size, self.settings.seed, epoch)
        many = self.settings.gradient_accumulation
        return batches[place * many : (place + 1) * many]

    def epoch(self, step: int) -> float:
        """Epochs done once `step` steps are."""
        return step / self.steps_an_epoch


# --- The loop --------------------------------------------------------------------------------------------------------


class Training:
    """One training of a model on an objective, from its last checkpoint (or the start) to its last step.

    identity: what else must not change between attempts (hashes of rows and base), by name.
    """

    def __init__(
        self,
        run: RunDirectory,
        model: torch.nn.Module,
        objective: Objective,
        validation: Objective | None,
        settings: Tuning,
        identity: dict[str, str],
    ):
        self.run, self.model, self.objective, self.validation = run, model, objective, validation
        self.settings = settings
        self.schedule = self.schedule_of(objective, settings)
        self.optimiser = MasterAdamW(model, weight_decay=settings.weight_decay)
        kept = {name: value for name, value in settings.as_dict().items() if name not in HARMLESS}
        self.identity = {**{f"settings.{name}": value for name, value in kept.items()}, **identity}
        self.step = 0
        self.tokens, self.seconds = 0, 0.0
        self.metrics: dict[str, float] = {}
        self._recent: deque[float] = deque(maxlen=30)
        self._evaluation_seconds = 0.0
        self._saved_at, self._saved_step = time.monotonic(), -1
        self._told_at = 0.0
        self._resume()

    def schedule_of(self, objective: Objective, settings: Tuning) -> Schedule:
        """Which rows each step takes."""
        return Schedule([objective.tokens(row) for row in range(len(objective))], settings)

    @property
    def steps(self) -> int:
        return self.schedule.steps

    def work(self) -> dict[str, float]:
        """Train to the last step; returns the metrics. Raises Stopped after a checkpoint, TrainingError on a NaN."""
        every = self.settings.eval_every or max(1, math.ceil(self.steps / 4))
        interval = max(1, round(self.steps / METRICS_A_RUN))
        if self.validation and self.step == 0:
            self.evaluate("validation_before_")
        self.tell("training")
        sums, started, tokens = Sums(), time.monotonic(), 0
        while self.step < self.steps:
            rate, norm = self._train_step(sums)
            tokens += self._step_tokens
            if self.step % interval == 0 or self.step <= FIRST_METRICS or self.step == self.steps:
                speed = tokens / max(1e-9, time.monotonic() - started)
                self._metric("train", sums.means(), learning_rate=rate, grad_norm=norm, tokens_per_second=speed)
                self.metrics |= {f"train_{name}": value for name, value in sums.means().items()}
                sums, tokens = Sums(), 0
            if self.validation and self.step % every == 0 and self.step < self.steps:
                self.evaluate()
            if self._save_due():
                self.save()
            if not tokens:
                started = time.monotonic()  # evaluations and checkpoints are not training time
            self.tell("training", seldom=True)
        if self._saved_step != self.step:
            self.save()
        if self.validation:
            self.evaluate()
        return self.metrics

    def _train_step(self, sums: Sums) -> tuple[float, float]:
        """One step of the optimiser; returns (learning rate, gradient norm)."""
        started = time.monotonic()
        self.model.train()
        torch.manual_seed(seeded(self.settings.seed, "step", self.step).getrandbits(63))
        batches = self.schedule.batches(self.step)
        weight = sum(self.objective.weight(row) for batch in batches for row in batch)
        self._step_tokens = sum(self.objective.tokens(row) for batch in batches for row in batch)
        for batch in batches:
            self._stop_if_wanted()
            loss, values = self.objective.loss(self.model, batch)
            total = loss.item()
            if not math.isfinite(total):
                raise self._diverged("loss")
            (loss / weight).backward()
            self.optimiser.collect()
            sums.add(sum(self.objective.weight(row) for row in batch), {"loss": total, **values})
        s = self.settings
        rate = learning_rate_at(self.step, peak=s.learning_rate, steps=self.steps, warmup_ratio=s.warmup_ratio)
        norm = self.optimiser.step(rate, s.max_grad_norm)
        if not math.isfinite(norm):
            raise self._diverged("gradient")
        self.step += 1
        taken = time.monotonic() - started
        self.tokens, self.seconds = self.tokens + self._step_tokens, self.seconds + taken
        self._recent.append(taken)
        return rate, norm

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            "diverged",
            f"The {what} became infinite or no number at step {self.step + 1}. Lower learning_rate (it is "
            f"{self.settings.learning_rate:g}), remove checkpoints/ and run it again.",
        )

    def evaluate(self, prefix: str = "validation_") -> None:
        """Measure the validation rows; a metric event, and `metrics` under the prefix."""
        started = time.monotonic()
        self.tell("evaluating")
        sums = self._measured()
        self._metric("validation", sums.means())
        self.metrics |= {f"{prefix}{name}": value for name, value in sums.means().items()}
        self._evaluation_seconds = time.monotonic() - started
        self.tell("training")

    @torch.no_grad()
    def _measured(self) -> Sums:
        self.model.eval()
        sums = Sums()
        rows = sorted(range(len(self.validation)), key=self.validation.tokens)
        size = self.settings.batch_size
        for start in range(0, len(rows), size):
            self._stop_if_wanted()
            batch = rows[start : start + size]
            loss, values = self.validation.loss(self.model, batch)
            sums.add(sum(self.validation.weight(row) for row in batch), {"loss": loss.item(), **values})
        return sums

    def result(self) -> dict:
        """What result.json tells of the training."""
        speed = self.tokens / self.seconds if self.seconds else None
        known = {"steps": self.step, "epochs": self.schedule.epoch(self.step), "training_seconds": self.seconds}
        return {**known, "metrics": self.metrics, "tokens_per_second": speed, "tokens": self.tokens}

    # --- Telling -----------------------------------------------------------------------------------------------------

    def _metric(self, split: str, values: dict[str, float], **more: float) -> None:
        values = {**values, **more, "memory_bytes": memory_bytes()}
        self.run.metric(step=self.step, epoch=self.schedule.epoch(self.step), split=split, values=values)

    def tell(self, phase: str, *, seldom: bool = False) -> None:
        """A status event; with `seldom`, at most one a second."""
        if seldom and time.monotonic() - self._told_at < STATUS_SECONDS:
            return
        self._told_at = time.monotonic()
        # Loading comes before and the answers after: the steps are most of the bar, not all of it.
        progress = 0.02 + 0.93 * self.step / self.steps
        self.run.status(phase, step=self.step, max_steps=self.steps, progress=progress, eta_seconds=self._eta())

    def _eta(self) -> float | None:
        """Seconds until the last step, with the evaluations still to come."""
        if not self._recent:
            return None
        every = self.settings.eval_every or max(1, math.ceil(self.steps / 4))
        evaluations = math.ceil((self.steps - self.step) / every) if self.validation else 0
        steps = (self.steps - self.step) * sum(self._recent) / len(self._recent)
        return round(steps + evaluations * self._evaluation_seconds, 1)

    # --- Checkpoints -------------------------------------------------------------------------------------------------

    def _stop_if_wanted(self) -> None:
        """Between micro-batches: leave the unfinished step out, write a checkpoint of the last whole one, stop."""
        if not self.run.stop_wanted:
            return
        self.optimiser.discard()
        if self._saved_step != self.step:
            self.save()
        raise Stopped

    def _save_due(self) -> bool:
        if self.settings.save_every:
            return self.step % self.settings.save_every == 0
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def save(self) -> None:
        state = {**self.identity, "tokens": self.tokens, "seconds": self.seconds, "metrics": self.metrics}
        checkpoint_save(self.run, self.step, {**self.optimiser.state(), **self.objective.state()}, state)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        found = checkpoint_last(self.run)
        if not found:
            return
        tensors, state = found
        checkpoint_agrees(state, self.identity)
        self.optimiser.load(tensors)
        self.objective.load(tensors)
        self.step = self._saved_step = state["step"]
        self.tokens, self.seconds, self.metrics = state["tokens"], state["seconds"], state["metrics"]
        self.run.status("loading", message=f"resuming after step {self.step} of {self.steps}")


def memory_bytes() -> int:
    """Memory in use now: of the GPU where there is one, else this process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    import psutil

    return psutil.Process().memory_info().rss
