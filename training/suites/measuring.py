"""What the suites of evaluate share: intervals and scores.jsonl, and what a model finds likely, computed once."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from .. import data, metrics
from ..config import EvaluateSettings
from ..directory import RunDirectory, to_json, write_whole
from ..metrics import Measured
from .reuse import Reuse

SCORES = "scores.jsonl"


def report(
    run: RunDirectory, settings: EvaluateSettings, measured: dict[str, Measured], ids: list, notes: list[str] = ()
) -> dict:
    """Intervals of the metrics, and scores.jsonl with each row's values."""
    run.status("evaluating", message="bootstrap intervals")
    rows = [
        {"id": id, **{name: float(of_metric.scores[row]) for name, of_metric in measured.items()}}
        for row, id in enumerate(ids)
    ]
    return {**report_rows(run, settings, measured, rows), "notes": list(notes)}


def report_rows(run: RunDirectory, settings: EvaluateSettings, measured: dict[str, Measured], rows: list[dict]) -> dict:
    """The same, with rows for scores.jsonl that are the suite's own; a metric may be of some of them only."""
    counts, found = {}, {}
    for name, of_metric in measured.items():
        run.check_stop()
        size = len(of_metric.statistics)
        if size not in counts:
            counts[size] = metrics.resamples(size, settings.resamples, settings.seed)
        found[name] = metrics.interval(of_metric, counts[size])
    write_whole(run.path / SCORES, "".join(to_json(row) + "\n" for row in rows))
    for name, values in found.items():
        run.log("{0:28} {value:10.4f}  [{lower:.4f}, {upper:.4f}]  n {n}".format(name, **values))
    return {"metrics": found, "steps": len(rows), "rows": len(rows)}


class Asked:
    """The model that is measured. Its weights are loaded when the first number has to be computed, and not before."""

    def __init__(self, run: RunDirectory, spec: dict, settings: EvaluateSettings):
        from ..models import base_of, load_tokenizer

        self.run, self.settings, self.reuse = run, settings, Reuse(run, spec)
        self.base = base_of(spec)
        self.tokenizer = load_tokenizer(self.base.path)
        run.check_stop()

    @cached_property
    def start(self) -> int | None:
        """Of an encoder–decoder the token that its decoder begins with."""
        from ..networks.encoder_decoder import start_of

        return start_of(self.base.path)

    @cached_property
    def model(self):
        """The policy with its adapter beside it, so that it can be switched off."""
        from ..models import load_policy

        model = load_policy(self.base, self.settings.precision)
        self.run.check_stop()
        return model

    @cached_property
    def merged(self):
        """The policy with its adapter in the weights, for writing."""
        from ..models import load_policy

        model = load_policy(self.base, self.settings.precision, merge=True)
        self.run.check_stop()
        return model

    @cached_property
    def rewarding(self):
        """The reward model whose adapter and heads the base names."""
        from ..rewards.reward_model import reward_load

        model = reward_load(self.base, self.settings.precision)
        self.run.check_stop()
        return model

    @property
    def about(self) -> dict:
        """What the settings say of how numbers come about: part of every key."""
        from ..device import device_and_dtype

        return {"dtype": str(device_and_dtype(self.settings.precision)[1])}


def text_examples(asked: Asked, text: str, max_length: int, id: object) -> list[data.Example]:
    """A plain text as examples without a prompt, in pieces of at most max_length tokens.

    An encoder–decoder reads the first half of a piece and is measured on the second: prefix language modelling, Raffel
    et al. 2020, arXiv 1910.10683, section 3.2.1.
    """
    ids = asked.tokenizer(text)["input_ids"]
    pieces = [ids[start : start + max_length] for start in range(0, len(ids), max_length)]
    pieces = [piece for piece in pieces if len(piece) > 1]
    if asked.start is None:
        return [data.Example([], piece, id) for piece in pieces]
    halves = [(piece[: len(piece) // 2], piece[len(piece) // 2 :]) for piece in pieces]
    return [data.Example(first, second, id, asked.start) for first, second in halves]


def by_length(rows: list, numbers: Iterable[int]) -> list[int]:
    """Rows of like length side by side: a batch is padded to its longest."""
    return sorted(numbers, key=lambda number: -rows[number].length)


def by_prompt(rows: list, numbers: Iterable[int]) -> list[int]:
    """The same, and the answers to one prompt side by side, so that it can be held once; what has none comes first."""
    numbers, longest = list(numbers), {}
    for number in numbers:
        prompt = tuple(rows[number].prompt)
        longest[prompt] = max(longest.get(prompt, 0), rows[number].length)

    def place(number: int) -> tuple:
        prompt = tuple(rows[number].prompt)
        return bool(prompt), -longest[prompt], prompt, -rows[number].length

    return sorted(numbers, key=place)


def each_batch(
    run: RunDirectory,
    settings: EvaluateSettings,
    device,
    rows: list,
    batch_of: Callable,
    numbers: list[int] | None = None,
    order_of: Callable = by_length,
) -> Iterator[tuple[list[int], object]]:
    """(numbers of the rows, their batch) in batches of like rows, telling progress and looking for a stop."""
    order = order_of(rows, range(len(rows)) if numbers is None else numbers)
    for start in range(0, len(order), settings.batch_size):
        run.check_stop()
        progress = 0.05 + 0.9 * start / len(order)
        run.status("evaluating", step=start, max_steps=len(order), progress=progress)
        part = order[start : start + settings.batch_size]
        yield part, batch_of([rows[row] for row in part], 0, device)


def losses(asked: Asked, rows: list, *, adapter: bool = True) -> tuple[list[float], list[int]]:
    """(negative log-likelihood, tokens) of each example's answer; with `adapter` False by the base alone.

    A prompt that several examples have goes through the model once for them, where that is less work.
    """
    from dataclasses import replace

    from ..networks.scoring import answer_logprobs, examples_batch

    base = asked.base if adapter else replace(asked.base, adapter=None)
    keys = asked.reuse.keys(base, "loss", asked.about, ([row.prompt, row.answer] for row in rows))
    found = asked.reuse.known(keys, len(rows))
    # the very first token of a text has nothing before it that could predict it
    tokens = [len(row.answer) - (not row.prompt) for row in rows]
    todo = [number for number in range(len(rows)) if number not in found]
    if todo:
        import torch

        model = asked.model

        def batch_of(part: list, pad: int, _device):
            return examples_batch(part, pad, model)

        for numbers, batch in each_batch(asked.run, asked.settings, model.device, rows, batch_of, todo, by_prompt):
            with torch.inference_mode():
                if adapter or not asked.base.adapter:
                    sums = answer_logprobs(model, batch)[0]
                else:
                    with model.disable_adapter():
                        sums = answer_logprobs(model, batch)[0]
            new = dict(zip(numbers, (-sums).tolist()))
            asked.reuse.keep(keys, new)
            found |= new
    return [float("nan") if found[number] is None else found[number] for number in range(len(rows))], tokens
