"""The training loop that all recipes share: order, accumulation, schedule, evaluation, checkpoints, stopping.

Deterministic: the order of the rows follows from the seed and the epoch, dropout from the seed and the step, and a
checkpoint holds the rest. A run that was stopped or killed and resumed comes to the same weights as an undisturbed one
on the same device with the same number of threads.
"""

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Protocol

import torch
from torch import Tensor

from ..config import Tuning
from ..device import memory_now
from ..directory import RunDirectory
from ..errors import Stopped, TrainingError, out_of_memory
from ..models import checkpointing_on
from .checkpoints import checkpoint_agrees, checkpoint_last, checkpoint_save
from .optimiser import MasterAdamW, learning_rate_at
from .order import Schedule, seeded
from .remembered import Best, Memory, Sums, added

SAVE_SECONDS = 180
STATUS_SECONDS = 1.0
METRICS_A_RUN = 400
FIRST_METRICS = 5  # of a long run too: whoever watches wants to see that it works
# What may differ between two attempts without changing the weights that come out; the first two, where nothing stops on
# the validation loss.
HARMLESS = {"eval_every", "validation_rows", "save_every", "sample_count", "sample_every", "vllm_memory"}
# Divergence: the mean loss of so many steps above so many times (and so much more than) that of the first ones.
ALARM_STEPS, ALARM_TIMES, ALARM_RISE = 10, 3.0, 1.0


class Objective(Protocol):
    """What a recipe makes of its rows; rows are known by number."""

    def __len__(self) -> int: ...

    def weight(self, row: int) -> float:
        """What the row counts in a mean: its answer's tokens, or 1 for a pair."""

    def tokens(self, row: int) -> int:
        """Tokens of the row as it goes through the model, padding left out; a prompt counts for each of its answers."""

    def loss(self, model, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        """(sum of the rows' weighted losses, sums of the same weight of whatever else is to be shown).

        `reference`, where an objective has one, is a tensor of what it keeps of each row once seen; `accompany` is
        called instead of `loss` where a process has no row of a micro-batch, and others may wait for it there;
        `neighbours` says that rows which stand together are less work together.
        """

    def state(self) -> dict[str, Tensor]:
        """What of it belongs into a checkpoint."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""


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
        self.pause: Callable[[int], None] | None = None  # given the step, while it trains: see settings.sample_every
        self._paused_at = 0
        self.settings, self.processes = settings, run.processes
        self.schedule = self.schedule_of(objective, settings)
        self.optimiser = MasterAdamW(model, weight_decay=settings.weight_decay, epsilon=settings.adam_epsilon)
        harmless = HARMLESS - ({"eval_every", "validation_rows"} if self._stops_on_validation(objective) else set())
        kept = {name: value for name, value in settings.as_dict().items() if name not in harmless}
        self.identity = {**{f"settings.{name}": value for name, value in kept.items()}, **identity}
        self.identity["processes"] = self.processes.count
        self.step = 0
        self.tokens, self.seconds = 0, 0.0
        self.metrics: dict[str, float] = {}
        self.memory = Memory(checkpointing=settings.checkpointing == "on")
        self.best = Best()
        self.measured = False  # the weights are those of the last evaluation, all of which was made by this process
        self._losses: deque[float] = deque(maxlen=ALARM_STEPS)
        self._first_loss: float | None = None
        self._recent: deque[float] = deque(maxlen=30)
        self._evaluation_seconds = 0.0
        self._saved_at, self._saved_step = time.monotonic(), -1
        self._told_at = 0.0
        self._resume()
        if self.memory.checkpointing:
            checkpointing_on(model)

    def schedule_of(self, objective: Objective, settings: Tuning) -> Schedule:
        """Which rows each step takes."""
        lengths = [objective.tokens(row) for row in range(len(objective))]
        return Schedule(lengths, settings, getattr(objective, "shares", ()), self.processes.count)

    @property
    def steps(self) -> int:
        return self.schedule.steps

    def work(self) -> dict[str, float]:
        """Train to the last step; returns the metrics. Raises Stopped after a checkpoint, TrainingError on a NaN, on a
        divergence, and where the memory does not suffice."""
        self.run.training_begins(self)
        try:
            return self._work()
        except Stopped:
            self.optimiser.discard()  # the unfinished step
            if self._saved_step != self.step:
                self.save()
            raise

    def _work(self) -> dict[str, float]:
        every = self.settings.eval_every or max(1, math.ceil(self.steps / 4))
        interval = max(1, round(self.steps / METRICS_A_RUN))
        if self.validation and self.step == 0:
            self.evaluate("validation_before_")
        self.tell("training")
        sums, started, tokens = Sums(), time.monotonic(), 0
        while self.step < self.steps and not self.best.given_up:
            if self._evaluation_due(every):  # stopped in the midst of it
                self.evaluate()
                continue
            started += self._paused()
            rate, norm = self._train_step(sums)
            tokens += self._step_tokens
            if self.step % interval == 0 or self.step <= FIRST_METRICS or self.step == self.steps:
                speed = tokens / max(1e-9, time.monotonic() - started)
                self._metric("train", sums.means(), learning_rate=rate, grad_norm=norm, tokens_per_second=speed)
                self.metrics |= {f"train_{name}": value for name, value in sums.means().items()}
                sums, tokens = Sums(), 0
            if self._evaluation_due(every):
                self.evaluate()
            if self._save_due():
                self.save()
            if not tokens:
                started = time.monotonic()  # evaluations and checkpoints are not training time
            self.tell("training", seldom=True)
        if self._saved_step != self.step:
            self.save()
        if self.validation and self.best.seen_at != self.step:
            self.evaluate()
        self._take_best()
        return self.metrics

    def _paused(self) -> float:
        """Let the recipe look at the model where it is time for that; returns the seconds it took."""
        every = self.settings.sample_every or math.ceil(self.steps / 2)
        if not self.pause or not 0 < self.step < self.steps or self.step % every or self._paused_at == self.step:
            return 0.0
        started, self._paused_at = time.monotonic(), self.step
        self.pause(self.step)
        self.tell("training")
        return time.monotonic() - started

    def _evaluation_due(self, every: int) -> bool:
        return (
            bool(self.validation)
            and 0 < self.step < self.steps
            and not self.step % every
            and self.best.seen_at != self.step
        )

    def _train_step(self, sums: Sums) -> tuple[float, float]:
        """One step of the optimiser; returns (learning rate, gradient norm)."""
        started = time.monotonic()
        batches = self.schedule.batches(self.step)
        self._step_tokens = sum(self.objective.tokens(row) for batch in batches for row in batch)
        found = self._within_memory(lambda: self._gradients(batches))
        sums.add(found.weight, found.values)
        s = self.settings
        rate = learning_rate_at(self.step, peak=s.learning_rate, steps=self.steps, warmup_ratio=s.warmup_ratio)
        norm = self.optimiser.step(rate, s.max_grad_norm)
        self.measured = False
        if not math.isfinite(norm):
            raise self._diverged("The gradient became infinite or no number")
        self._watch(found.means()["loss"])
        self.step += 1
        taken = time.monotonic() - started
        self.tokens, self.seconds = self.tokens + self._step_tokens, self.seconds + taken
        self._recent.append(taken)
        return rate, norm

    def _gradients(self, batches: list[list[int]]) -> Sums:
        """Collect the gradients of a step's micro-batches, of all processes; returns the sums of their losses."""
        shares = self.processes.together(lambda: self._share(batches))
        if self.processes.count > 1:
            self.optimiser.sum_over(self.processes, [touched for _, touched, _ in shares])
            for _, _, found in shares:
                for row, values in found.items():
                    self.objective.reference[row] = values
        return added([sums for sums, _, _ in shares])

    def _share(self, batches: list[list[int]]) -> tuple[Sums, list[bool], dict[int, Tensor]]:
        """Collect the gradients of this process's share of a step; returns (sums, which weights have a gradient, the
        references of its rows)."""
        self.model.train()
        process = [self.processes.rank] if self.processes.rank else []  # a dropout of its own
        torch.manual_seed(seeded(self.settings.seed, "step", self.step, *process).getrandbits(63))
        weight = sum(self.objective.weight(row) for batch in batches for row in batch)
        sums, rows = Sums(), []
        for batch in self._parts(batches, self.objective):
            self._stop_if_wanted()
            rows += batch
            loss, values = self.objective.loss(self.model, batch)
            total = loss.item()
            if not math.isfinite(total):
                raise self._diverged("The loss became infinite or no number")
            (loss / weight).backward()
            self.optimiser.collect()
            sums.add(sum(self.objective.weight(row) for row in batch), {"loss": total, **values})
        reference = getattr(self.objective, "reference", None)
        known = {} if reference is None or self.processes.count == 1 else {row: reference[row] for row in rows}
        return sums, self.optimiser.touched(), known

    def _parts(self, batches: list[list[int]], objective: Objective) -> Iterator[list[int]]:
        """What goes through the model here, of the micro-batches of all processes."""
        share_of = self.processes.part if getattr(objective, "neighbours", False) else self.processes.share
        for batch in self.memory.parts(batches):
            if share := share_of(batch):
                yield share
            elif hasattr(objective, "accompany"):
                objective.accompany()

    def _within_memory(self, work):
        """work(); where the memory does not suffice, again in smaller parts. Raises TrainingError (`out_of_memory`)."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                said = str(error)[:200]
            # Only here, where the error no longer holds what it was that did not fit.
            self.optimiser.discard()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            words = self.memory.shrink(self.settings)
            if words is None:
                tried = " and with checkpointing" if self.memory.checkpointing else ""
                raise TrainingError(
                    "out_of_memory",
                    f"The memory does not suffice ({said}), even with half of batch_size {self.settings.batch_size} at "
                    f"once{tried}. Lower batch_size and raise gradient_accumulation by the same factor, or lower "
                    "max_length; remove checkpoints/, and run it again.",
                )
            if self.memory.checkpointing:
                checkpointing_on(self.model)
            self.run.warn(f"Step {self.step + 1} ran out of memory. {words}")

    def _watch(self, loss: float) -> None:
        """Raise TrainingError (`diverged`) once the loss has gone up far and stays there."""
        self._losses.append(loss)
        if len(self._losses) < ALARM_STEPS:
            return
        mean = sum(self._losses) / ALARM_STEPS
        if self._first_loss is None:
            self._first_loss = mean
        elif mean > ALARM_TIMES * abs(self._first_loss) + ALARM_RISE:
            raise self._diverged(f"The loss has risen from {self._first_loss:.3g} to {mean:.3g}")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            "diverged",
            f"{what} at step {self.step + 1}. Lower learning_rate (it is "
            f"{self.settings.learning_rate:g}), remove checkpoints/ and run it again.",
        )

    def evaluate(self, prefix: str = "validation_") -> None:
        """Measure the validation rows; a metric event, and `metrics` under the prefix."""
        started = time.monotonic()
        self.tell("evaluating")
        sums = self._within_memory(self._measured)
        self._metric("validation", sums.means())
        self.metrics |= {f"{prefix}{name}": value for name, value in sums.means().items()}
        self._evaluation_seconds = time.monotonic() - started
        self.best.seen_at = self.step
        self.measured = self.processes.count == 1
        if (loss := self._compared_by(sums.means())) is not None:
            self._compare(loss, sums.means())
        self.tell("training")

    def _measured(self) -> Sums:
        return added(self.processes.together(self._measured_share))

    @torch.no_grad()
    def _measured_share(self) -> Sums:
        self.model.eval()
        sums = Sums()
        rows = sorted(range(len(self.validation)), key=self.validation.tokens)
        size = self.settings.batch_size * self.processes.count
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        for batch in self._parts(batches, self.validation):
            self._stop_if_wanted()
            loss, values = self.validation.loss(self.model, batch)
            sums.add(sum(self.validation.weight(row) for row in batch), {"loss": loss.item(), **values})
        return sums

    # --- Early stopping ----------------------------------------------------------------------------------------------

    def _stops_on_validation(self, objective: Objective) -> bool:
        """Whether what is seen of the validation rows may end the training."""
        return bool(self.settings.early_stopping_patience)

    def _compared_by(self, means: dict[str, float]) -> float | None:
        """The number by which an evaluation is better or worse, the lower the better; None where nobody asks."""
        return means["loss"] if self.settings.early_stopping_patience else None

    def _compare(self, loss: float, means: dict[str, float]) -> None:
        """Keep the weights when the validation loss is the lowest so far, else count; at the last count, give up."""
        best = self.best
        if best.loss is None or loss < best.loss - self.settings.early_stopping_min_delta:
            best.loss, best.step, best.without = loss, self.step, 0
            best.weights = self.optimiser.weights()
            best.metrics = {f"validation_{name}": value for name, value in means.items()}
            return
        best.without += 1
        if 0 < self.settings.early_stopping_patience <= best.without and self.step < self.steps:
            best.given_up = True
            self.run.status(
                message=f"stopped early: {best.without} evaluations, none of them better than that of step {best.step}"
            )

    def _take_best(self) -> None:
        """Go back to the weights of the best evaluation, where the training may end by one."""
        best = self.best
        wanted = self.settings.early_stopping_patience or best.because
        if not wanted or best.weights is None or best.step == self.step:
            return
        self.optimiser.take(best.weights)
        self.measured = False
        self.metrics |= best.metrics
        self.run.status(message=f"back to the weights of step {best.step}, the best on the validation rows")

    def result(self) -> dict:
        """What result.json tells of the training."""
        speed = self.tokens / self.seconds if self.seconds else None
        known = {"steps": self.step, "epochs": self.schedule.epoch(self.step), "training_seconds": self.seconds}
        if self.settings.early_stopping_patience or self.best.because:
            known |= {"stopped_early": self.best.given_up}
            known |= {} if self.best.step is None else {"best_step": self.best.step}
            known |= {"stopped_because": self.best.because} if self.best.because else {}
        return {**known, "metrics": self.metrics, "tokens_per_second": speed, "tokens": self.tokens}

    # --- Telling -----------------------------------------------------------------------------------------------------

    def _metric(self, split: str, values: dict[str, float], **more: float) -> None:
        values = {**values, **more, "memory_bytes": memory_now()}
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
        """Between micro-batches: leave the unfinished step out; a checkpoint of the last whole one is written."""
        if self.run.stop_wanted:
            raise Stopped

    def _save_due(self) -> bool:
        if self.settings.save_every:
            return self.step % self.settings.save_every == 0
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def save(self) -> None:
        state = {**self.identity, "tokens": self.tokens, "seconds": self.seconds, "metrics": self.metrics}
        state |= {"memory": asdict(self.memory), "best": self.best.as_dict(), "first_loss": self._first_loss}
        tensors = {**self.optimiser.state(), **self.objective.state(), **self.best.tensors()}
        checkpoint_save(self.run, self.step, tensors, state)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        found = checkpoint_last(self.run)
        if not found:
            return
        tensors, state = found
        checkpoint_agrees({"processes": 1, **state}, self.identity)
        self.optimiser.load(tensors)
        self.objective.load(tensors)
        self.memory, self._first_loss = Memory(**state["memory"]), state["first_loss"]
        self.best = Best.of(state["best"], tensors)
        self.step = self._saved_step = state["step"]
        self.tokens, self.seconds, self.metrics = state["tokens"], state["seconds"], state["metrics"]
        self.run.status("loading", message=f"resuming after step {self.step} of {self.steps}")
