"""The suite reward: what a reward model thinks of given answers."""

from .. import data, metrics
from ..config import EvaluateSettings
from ..directory import RunDirectory
from ..networks.reading import tokens_of
from .measuring import Asked, each_batch, report


def reward(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """The mean reward of data.predictions, rows `{id, prompt, completion}`, by run.json's `reward` {path, adapter}.

    A reward is the mean of the model's heads over its temperature, as the recipe score has it: σ of a difference is the
    probability of being preferred. data.baseline: the same rows answered by another model; then `differences`.
    """
    name = data.data_file(spec, "predictions")
    asked = Asked(run, {**spec, "base": spec.get("reward") or {}}, settings)
    ids, found = _rewards(asked, spec, settings, name)
    measured = {"reward": metrics.mean_of(found)}
    result = {**report(run, settings, measured, ids), **asked.reuse.told()}
    if spec["data"].get("baseline"):
        theirs = dict(zip(*_rewards(asked, spec, settings, data.data_file(spec, "baseline"))))
        shared = [(mine, theirs[id]) for id, mine in zip(ids, found) if id in theirs]
        counts = metrics.resamples(len(shared), settings.resamples, settings.seed) if shared else None
        pair = [metrics.mean_of(values) for values in zip(*shared)]
        result["differences"] = {"reward": metrics.paired_difference(*pair, counts)} if shared else {}
        result |= asked.reuse.told()
    return result


def _rewards(asked: Asked, spec: dict, settings: EvaluateSettings, name: str) -> tuple[list, list[float]]:
    """(ids, rewards) of the answers in a file."""
    run = asked.run
    fitting = data.Fitting(settings.max_length)
    read = list(data.read_rows(run.path, name))
    rows = data.answered(tokens_of(asked.tokenizer, asked.base.path), read, fitting)
    if words := fitting.words(name, len(read)):
        run.warn(words)
    data.need_rows(rows, name, "there is no answer to score.")
    keys = asked.reuse.keys(asked.base, "reward", asked.about, ([row.prompt, row.answer] for row in rows))
    found = asked.reuse.known(keys, len(rows))
    todo = [number for number in range(len(rows)) if number not in found]
    if todo:
        import torch

        from ..rewards.reward_model import rewards

        model = asked.rewarding
        for numbers, batch in each_batch(run, settings, model.device, rows, model.example_batch, todo):
            with torch.inference_mode():
                values = (rewards(model, batch).mean(1) / model.temperature).tolist()
            asked.reuse.keep(keys, new := dict(zip(numbers, values)))
            found |= new
    return [row.id for row in rows], [found[number] for number in range(len(rows))]
