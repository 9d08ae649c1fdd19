"""The estimate of a recipe that learns from answers of its own: a rollout and the steps that learn from it, for real.

How long the policy's answers are is known only once it has written some, so that a whole rollout is the least that says
anything. Answers that grow longer while it learns take longer than this.
"""

import math
from time import monotonic as clock

from ..device import memory_peak, synchronise
from ..loop.training import Sums
from .measuring import Measuring


class MeasuringRollouts(Measuring):
    """One step with a rollout before it, and one without, where a rollout serves several."""

    def all(self, loading: float, seconds: float) -> dict:
        training, updates = self.training, self.objective.updates
        before = memory_peak()
        with_rollout = self._step()
        alone = self._step() if updates > 1 and training.steps > 1 else 0.0
        longest = memory_peak() - before
        rollouts = math.ceil(training.steps / updates)
        parts = {
            "loading": loading,
            "training": rollouts * with_rollout + (training.steps - rollouts) * alone,
            "evaluations": self._evaluations(),
            "samples": self._samples(),
        }
        return self._told(parts, round(training.tokens / training.step * training.steps), longest)

    def _step(self) -> float:
        self.check_stop()
        self.tried += 1
        started = clock()
        with self._logits_seen():
            self.training._train_step(Sums())
        synchronise()
        return clock() - started

    def _evaluations(self) -> float:
        validation = self.training.validation
        if not validation:
            return 0.0
        self.check_stop()
        started = clock()
        validation.examine(self.model, self.check_stop)
        return self._looks() * (clock() - started)

    def _policy(self):
        return self.model.acting()

    def _row_lengths(self) -> list[int]:
        """Of the prompts: the answers are yet to be written."""
        return [len(question.prompt) for question in self.objective.prompts]

    def _validation_rows(self) -> int:
        return len(self.training.validation.prompts) if self.training.validation else 0
