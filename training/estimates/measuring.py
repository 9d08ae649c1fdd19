"""What a rehearsed run needs: some micro-batches measured, and what follows from them for the whole."""

import math
from collections.abc import Callable
from statistics import fmean
from time import monotonic as clock

from .. import data
from ..config import Tuning
from ..device import device, memory_free, memory_now, memory_peak, synchronise
from .rehearsal import Rehearsal

# Which micro-batches to measure, by place in the order of size: the first two always, the others while time is left.
PLACES = (0.5, 1.0, 0.25, 0.75, 0.9, 0.1, 0.6, 0.4)
TOKENS_TRIED = (2, 10)  # of a sample
# What a run's many micro-batches of unlike lengths leave in the C library's heap, as a share of what the largest takes:
# four real runs had 11 to 23 % more at their peak than the few micro-batches of a rehearsal (measured: docs/rounds.md).
HEAP = 0.15


class Measuring:
    """The measurements of one rehearsal, and what follows from them."""

    def __init__(self, rehearsal: Rehearsal, training, spec: dict, settings: Tuning, check_stop: Callable[[], None]):
        self.rehearsal, self.training, self.spec, self.settings = rehearsal, training, spec, settings
        self.check_stop = check_stop
        self.objective, self.model = training.objective, training.model
        self.first: dict[int, float] = {}  # padded tokens → seconds, when the rows are seen first
        self.again: dict[int, float] = {}  # …and in later epochs, when a reference is known
        self.logits_bytes = 0
        self.extrapolated = False
        self.tried = 0  # micro-batches

    def all(self, loading: float, seconds: float) -> dict:
        schedule, settings = self.training.schedule, self.settings
        batches = schedule.in_epoch(0)
        in_first_epoch = batches[: schedule.steps * settings.gradient_accumulation]
        before = memory_peak()
        self._micro_batches(in_first_epoch, seconds)
        longest = memory_peak() - before
        step = self._optimiser_step()
        parts = {
            "loading": loading,
            "training": self._training(batches) + step * schedule.steps,
            "evaluations": self._evaluations(),
            "samples": self._samples(),
        }
        return self._told(parts, self._tokens_of(batches), longest)

    def _told(self, parts: dict[str, float], tokens: int, longest: int) -> dict:
        """The estimate. parts: seconds, without saving. longest: bytes that the largest micro-batch took."""
        parts["saving"] = self._checkpoint() * (2 + parts["training"] // 180)
        return {
            "recipe": self.spec["recipe"],
            "device": device(self.settings.precision),
            "rows": self._rows(),
            "steps": self.training.steps,
            "tokens": tokens,
            "tokens_per_second": tokens / parts["training"] if parts["training"] else None,
            "seconds": sum(parts.values()),
            "parts": parts,
            "memory": self._memory(longest),
            "measured": {"micro_batches": self.tried, "settings": self.settings.as_dict()},
            "warnings": self.rehearsal.warnings,
        }

    # --- Time --------------------------------------------------------------------------------------------------------

    def _padded(self, rows: list[int], objective=None) -> int:
        objective = objective or self.objective
        return len(rows) * max(objective.tokens(row) for row in rows)

    def _micro_batches(self, batches: list[list[int]], seconds: float) -> None:
        """Measure some of the batches: a middle one, the largest, then others while there is time."""
        ordered = sorted(batches, key=self._padded)
        # Not the first of all: whatever is done once (threads, kernels) is done with it.
        self._micro_batch(ordered[0])
        deadline = clock() + seconds
        resident = memory_now()
        several = self.training.schedule.steps > self.training.schedule.steps_an_epoch
        for number, place in enumerate(PLACES):
            rows = ordered[round(place * (len(ordered) - 1))]
            padded = self._padded(rows)
            if padded in self.first or (number > 1 and clock() > deadline):
                continue
            if place == 1.0 and self._too_large(padded, resident):
                self.extrapolated = True
                continue
            self.check_stop()
            self.tried += 1
            self.first[padded] = self._micro_batch(rows)
            self.again[padded] = self._micro_batch(rows) if several else self.first[padded]

    def _too_large(self, padded: int, resident: int) -> bool:
        """Whether the largest micro-batch would fill the memory that is left, as the middle one tells."""
        if not self.first:
            return False
        middle = max(self.first)
        self._peak_per_token = max(0, memory_peak() - resident) / middle
        return self._peak_per_token * padded > 0.9 * memory_free()

    def _micro_batch(self, rows: list[int]) -> float:
        """Seconds of one forward and backward pass, as the loop makes it."""
        self.model.train()
        started = clock()
        with self._logits_seen():
            loss, _ = self.objective.loss(self.model, rows)
        loss.item()
        (loss / sum(self.objective.weight(row) for row in rows)).backward()
        self.training.optimiser.collect()
        synchronise()
        return clock() - started

    def _logits_seen(self):
        """Within it the head's output is looked at, for the bytes that logits take with their gradient in fp32."""
        from contextlib import contextmanager, nullcontext

        head = self.model.get_output_embeddings() if hasattr(self.model, "get_output_embeddings") else None
        if head is None:
            return nullcontext()

        def see(_, __, out) -> None:
            self.logits_bytes = max(self.logits_bytes, out.numel() * (2 * out.element_size() + 8))

        @contextmanager
        def seen():
            handle = head.register_forward_hook(see)
            try:
                yield
            finally:
                handle.remove()

        return seen()

    def _optimiser_step(self) -> float:
        """Seconds of one step; the first one, which lays out the moments, is not timed."""
        seconds = 0.0
        for _ in range(2):
            if not any(master.grad is not None for master in self.training.optimiser.masters.values()):
                for master in self.training.optimiser.masters.values():
                    master.grad = master.detach().clone().zero_()
            started = clock()
            self.training.optimiser.step(0.0, self.settings.max_grad_norm)
            synchronise()
            seconds = clock() - started
        return seconds

    def _training(self, batches: list[list[int]]) -> float:
        """Seconds of all micro-batches: the first epoch at first sight, later ones with what is known by then."""
        schedule = self.training.schedule
        in_all = schedule.steps * self.settings.gradient_accumulation
        first = sum(interpolated(self.first, self._padded(rows)) for rows in batches[:in_all])
        # An epoch's last step may have fewer batches than others.
        later = max(0.0, schedule.steps / schedule.steps_an_epoch - 1)
        return first + later * sum(interpolated(self.again, self._padded(rows)) for rows in batches)

    def _tokens_of(self, batches: list[list[int]]) -> int:
        schedule = self.training.schedule
        seen = batches[: schedule.steps * self.settings.gradient_accumulation]
        later = max(0.0, schedule.steps / schedule.steps_an_epoch - 1)
        count = sum(self.objective.tokens(row) for rows in seen for row in rows)
        return round(count + later * sum(schedule.lengths[row] for rows in batches for row in rows))

    def _evaluations(self) -> float:
        """Seconds of all looks at the validation rows: a middle batch stands for all."""
        import torch

        validation = self.training.validation
        if not validation:
            return 0.0
        self.check_stop()
        size = self.settings.batch_size
        order = sorted(range(len(validation)), key=validation.tokens)
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        middle = batches[len(batches) // 2]
        taken = []
        self.model.eval()
        for _ in range(2):
            started = clock()
            with torch.no_grad():
                validation.loss(self.model, middle)[0].item()
            taken.append(clock() - started)
        looks = self._looks()
        share = sum(self._padded(rows, validation) for rows in batches) / self._padded(middle, validation)
        return share * (taken[0] + (looks - 1) * taken[1])

    def _looks(self) -> int:
        """How often the validation rows are looked at: before, on the way, after; once more where a reward model, to be
        calibrated, may go back to the weights of an earlier look."""
        steps = self.training.steps
        every = self.settings.eval_every or max(1, math.ceil(steps / 4))
        again = self.spec["recipe"] == "reward" and self.settings.early_stopping_patience > 0
        return 2 + sum(1 for step in range(every, steps, every)) + again

    def _samples(self) -> float:
        """Seconds of the answers before, while and after it trains, should none of them end before it must."""
        from ..loop.tuning import SAMPLE_TOKENS

        if not self.spec["data"].get("samples") or not self.settings.sample_count or self.spec["recipe"] == "reward":
            return 0.0
        self.check_stop()
        short, long = (self._answered(tokens) for tokens in TOKENS_TRIED)
        each = max(0.0, long - short) / (TOKENS_TRIED[1] - TOKENS_TRIED[0])
        steps = self.training.steps
        times = 2 + (steps - 1) // (self.settings.sample_every or max(1, math.ceil(steps / 2)))
        return times * (short + (SAMPLE_TOKENS - TOKENS_TRIED[0]) * each)

    def _answered(self, tokens: int) -> float:
        from ..models import base_of, load_tokenizer
        from ..networks.decoding import Decoding, decode
        from ..networks.encoder_decoder import tokens_of

        base = base_of(self.spec)
        chat = tokens_of(load_tokenizer(base.path), base.path)
        read = list(data.read_rows(self.rehearsal.path, self.spec["data"]["samples"]))[: self.settings.sample_count]
        if not read:
            return 0.0
        self.model.eval()
        prompts = [chat.prompt(data.prompt_messages(row, place))[-self.settings.max_length :] for place, row in read]
        started = clock()
        # No token ends an answer: all of them are as long as was asked for.
        decode(self._policy(), prompts, Decoding(max_new_tokens=tokens), seeds=[0] * len(read), ends=set(), pad=0)
        return clock() - started

    def _policy(self):
        return self.model

    def _checkpoint(self) -> float:
        started = clock()
        self.training.save()
        return clock() - started

    # --- Rows and memory ---------------------------------------------------------------------------------------------

    def _rows(self) -> dict:
        from ..loop.mixture import train_files

        fitted = [self.rehearsal.fitted[name] for name in train_files(self.spec)]
        lengths = sorted(self._row_lengths())
        at = lambda share: lengths[min(len(lengths) - 1, int(share * len(lengths)))]  # noqa: E731
        return {
            "given": sum(given for given, _ in fitted),
            "used": len(lengths),
            "cut": sum(fitting.cut for _, fitting in fitted),
            "dropped": sum(len(fitting.dropped) for _, fitting in fitted),
            "validation": self._validation_rows(),
            "tokens": {"mean": fmean(lengths), "median": at(0.5), "p95": at(0.95), "longest": lengths[-1]},
        }

    def _validation_rows(self) -> int:
        return len(self.training.validation) if self.training.validation else 0

    def _row_lengths(self) -> list[int]:
        return getattr(self.objective, "lengths", None) or self.training.schedule.lengths

    def _memory(self, longest: int) -> dict:
        """Bytes at the peak, and what of them is what. What the largest micro-batch adds is measured."""
        peak, total = memory_peak(), device(self.settings.precision)["memory_bytes"]
        if self.extrapolated:
            largest = max(self._padded(rows) for rows in self._all_batches())
            longest = round(self._peak_per_token * largest)
            peak = memory_now() + longest
        if next(self.model.parameters()).device.type == "cpu":
            peak, longest = peak + round(HEAP * longest), round((1 + HEAP) * longest)
        parameters = list(self.model.parameters())
        weights = sum(one.numel() * one.element_size() for one in parameters)
        # A master, its gradient and two moments in fp32 of each weight that is trained, and the gradient at work.
        trained = sum(one.numel() * (16 + one.element_size()) for one in parameters if one.requires_grad)
        logits = min(self.logits_bytes, max(0, longest))
        known = {"weights": weights, "optimiser": trained, "logits": logits}
        known["activations"] = max(0, min(longest - logits, peak - sum(known.values())))
        rest = max(0, peak - sum(known.values()))
        return {
            "peak_bytes": peak,
            "parts": {**known, "program": rest},
            "trained_parameters": sum(one.numel() for one in parameters if one.requires_grad),
            "parameters": sum(one.numel() for one in parameters),
            "extrapolated": self.extrapolated,
            "fits": peak < 0.95 * total,
        }

    def _all_batches(self) -> list[list[int]]:
        return self.training.schedule.in_epoch(0)


def interpolated(points: dict[int, float], x: int) -> float:
    """The value at x of a line through points from one to the next; outside them in proportion to the nearest."""
    known = sorted(points)
    if x <= known[0]:
        return points[known[0]] * x / known[0]
    for low, high in zip(known, known[1:]):
        if x <= high:
            return points[low] + (points[high] - points[low]) * (x - low) / (high - low)
    return points[known[-1]] * x / known[-1]
