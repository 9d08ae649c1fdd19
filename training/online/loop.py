"""The loop of grpo, rloo and ppo: a rollout, the steps that learn from it, an eye on what the reward really pays."""

import math
import time
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ..config import Online
from ..data import questions
from ..directory import RunDirectory
from ..errors import Stopped, TrainingError
from ..loop.checkpoints import checkpoints_remove
from ..loop.order import seeded
from ..loop.remembered import Sums
from ..loop.training import Training
from ..loop.tuning import prepare, save, trained
from ..models import base_of
from .audit import fall, seen_too
from .judge import audit_of, judge_check, judge_of
from .objective import OnlineObjective
from .roles import AUDIT, Roles
from .vllm_rollout import vllm_check, vllm_engine


@dataclass(frozen=True)
class RolloutSchedule:
    """Which prompts each rollout answers, and which of its answers each step learns from."""

    prompts: int
    objective: OnlineObjective
    settings: Online
    processes: int = 1  # each adds rollout_prompts to a rollout, and takes batch_size answers at once

    @property
    def rollout_prompts(self) -> int:
        return self.settings.rollout_prompts * self.processes

    @property
    def answers(self) -> int:
        return len(self.objective)

    @property
    def steps(self) -> int:
        rollouts = math.ceil(self.settings.epochs * self.prompts / self.rollout_prompts)
        return self.settings.max_steps or max(1, rollouts * self.objective.updates)

    def epoch(self, step: int) -> float:
        """Epochs of the prompts done once `step` steps are."""
        return step / self.objective.updates * self.rollout_prompts / self.prompts

    def rows(self, rollout: int) -> list[int]:
        """The prompts of a rollout: the next of an endless line in which each epoch stands in an order of its own."""
        first = rollout * self.rollout_prompts
        found, orders = [], {}
        for place in range(first, first + self.rollout_prompts):
            epoch, place = divmod(place, self.prompts)
            if epoch not in orders:
                orders[epoch] = list(range(self.prompts))
                seeded(self.settings.seed, "epoch", epoch).shuffle(orders[epoch])
            found.append(orders[epoch][place])
        return found

    def batches(self, step: int) -> list[list[int]]:
        """The micro-batches of a step, a prompt's answers together, then prompts whose longest are alike; the critic's,
        numbered on, come last."""
        rollout, place = divmod(step, self.objective.updates)
        epoch, part = divmod(place, self.objective.updates_an_epoch)
        order = list(range(self.answers))
        seeded(self.settings.seed, "rollout", rollout, epoch).shuffle(order)
        size = self.settings.batch_size * self.settings.gradient_accumulation * self.processes
        tokens, prompts = self.objective.tokens, self.objective.rollout.rows
        chosen, longest = order[part * size : (part + 1) * size], {}
        for row in chosen:
            longest[prompts[row]] = max(tokens(row), longest.get(prompts[row], 0))
        rows = sorted(chosen, key=lambda row: (-longest[prompts[row]], prompts[row], -tokens(row)))
        size = self.settings.batch_size * self.processes
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        if self.objective.has_critic:
            batches += [[row + self.answers for row in batch] for batch in batches]
        return batches


class OnlineTraining(Training):
    """The loop of the other recipes, with a rollout before the steps that learn from it."""

    schedule: RolloutSchedule

    def schedule_of(self, objective: OnlineObjective, settings: Online) -> RolloutSchedule:
        return RolloutSchedule(len(objective.prompts), objective, settings, self.processes.count)

    def _train_step(self, sums: Sums) -> tuple[float, float]:
        started = time.monotonic()
        number, place = divmod(self.step, self.objective.updates)
        if place == 0:
            rows = self.schedule.rows(number)
            self._within_memory(lambda: self._roll_out(self.objective, number, rows))
            if self.objective.alarm:
                self._give_up(self.objective.alarm)
        written = time.monotonic() - started
        found = super()._train_step(sums)
        self.model.acting()
        self.seconds += written
        self._recent[-1] += written
        return found

    def _roll_out(self, objective: OnlineObjective, number: int, rows: list[int]) -> None:
        objective.split = self.memory.split
        objective.roll_out(self.model, number, rows, self._stop_if_wanted)

    def _watch(self, loss: float) -> None:
        """A loss on answers that keep changing may rise; `max_kl` looks out instead."""

    def _measured(self) -> Sums:
        """What the policy's answers to the held-out prompts are like."""
        sums = Sums()
        self.validation.split = self.memory.split
        sums.add(1.0, self.validation.examine(self.model, self._stop_if_wanted))
        if self.validation.audit:
            self._remember(*self.validation.looked)
        return sums

    # --- The audit ---------------------------------------------------------------------------------------------------

    def _stops_on_validation(self, objective: OnlineObjective) -> bool:
        return bool(self.validation and self.validation.audit) or super()._stops_on_validation(objective)

    def _compared_by(self, means: dict[str, float]) -> float | None:
        return -means[AUDIT] if AUDIT in means else super()._compared_by(means)

    def _remember(self, rewards: Tensor, opinions: Tensor) -> None:
        """What the audit saw at this step; a step that is looked at again after a stop is not seen twice."""
        of = self.objective
        if of.audited_at and of.audited_at[-1] == self.step:
            of.audited, of.audited_at = of.audited[:-1], of.audited_at[:-1]
        of.audited = seen_too(of.audited if of.audited_at else None, rewards, opinions)
        of.audited_at.append(self.step)

    def evaluate(self, prefix: str = "validation_") -> None:
        super().evaluate(prefix)
        found = fall(self.objective.audited) if self.objective.audited is not None else None
        if found is None:
            return
        if self.settings.on_hacking == "warn":
            self.run.warn(f"{found.words()} Read samples, raise beta, or stop.")
        else:
            self.run.warn(f"{found.words()} The training stops and goes back to the weights of step {self.best.step}.")
            self._give_up(found.words())

    def _give_up(self, because: str) -> None:
        self.best.given_up, self.best.because = True, because

    def _metric(self, split: str, values: dict[str, float], **more: float) -> None:
        """A training step tells of its rollout too."""
        if split == "train":
            shown = self.objective.shown
            self.metrics |= {f"train_{name}": value for name, value in shown.items()}
            values = {**values, **shown}
        super()._metric(split, values, **more)


# --- The recipe around them ------------------------------------------------------------------------------------------


def learn(run: RunDirectory, spec: dict, settings: Online, kind: type[OnlineObjective]) -> dict:
    """Prepare, train, save; returns what result.json is to say. Rows: `{prompt}`, conversational."""
    judge_check(spec, settings)
    by_vllm = settings.rollout_engine == "vllm"
    if by_vllm:
        vllm_check(base_of(spec), settings, run.processes.count)
    ready = prepare(run, spec, settings, partial(questions, answer_tokens=settings.max_new_tokens))
    roles = Roles(ready, settings, critic=kind.has_critic)
    judge = judge_of(run, spec, settings, ready, roles)
    ready.identity |= judge.identity
    objective = kind(run, ready, ready.train, judge, settings)
    validation = kind(run, ready, ready.validation, judge, settings) if ready.validation else None
    if audit := audit_of(run, spec, settings, ready, roles):
        validation.audit = audit
        ready.identity |= audit.identity
    engine = vllm_engine(run, ready.path, roles.policy, settings) if by_vllm else None
    for one in filter(None, (objective, validation)):
        one.engine = engine
    training = OnlineTraining(run, roles, objective, validation, settings, ready.identity)
    try:
        metrics = trained(run, spec, settings, ready, training)
    except (Stopped, TrainingError):  # not a rehearsal's end (estimate.py), after which there is writing still
        if engine:
            engine.close()
        raise
    if engine:
        engine.close()
    saved = save(run, spec, settings, ready, metrics)
    checkpoints_remove(run)
    return {**saved, **training.result(), "rows": len(ready.train)}
