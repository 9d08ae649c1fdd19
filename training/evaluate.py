"""The recipe evaluate: measure answers or a model; every number with a bootstrap interval, each row in scores.jsonl."""

import math

from . import data, metrics
from .config import EvaluateSettings
from .directory import RunDirectory, to_json
from .metrics import Measured
from .networks.encoder_decoder import tokens_of
from .suites.forgetting import forgetting
from .suites.measuring import Asked, each_batch, losses, report, text_examples
from .suites.overlap import ANSWER_MATCH, TEXT_OVERLAP, Overlap


def evaluate(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """Run the recipe; returns what result.json is to say, `metrics` as {name: {value, lower, upper, n}}."""
    if settings.suite == "answers":
        from .suites.answers import answers as suite
    elif settings.suite == "task":
        from .suites.harness.tasks import task as suite
    elif settings.suite == "reward":
        from .suites.rewarding import reward as suite
    else:
        suite = SUITES[settings.suite]
    return suite(run, spec, settings)


# --- Texts against references ----------------------------------------------------------------------------------------


def text_overlap(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """ROUGE, BLEU and chrF, or exact match and F1 of words; no model is needed.

    data.predictions: rows `{id, text, references}`.
    data.baseline: rows `{id, text}` of another model; then `differences` tells ours minus theirs on the rows of both.
    """
    name = data.data_file(spec, "predictions")
    rows, without = _predictions(run, name)
    notes = []
    if without:
        notes.append(f"{without} of {without + len(rows)} rows in {name} have no reference and were left out.")
        run.warn(notes[0])
    data.need_rows(rows, name, "none has a reference to compare with. Import prompts with references.")
    if settings.references == "first":
        rows = [{**row, "references": row["references"][:1]} for row in rows]
    kinds = ANSWER_MATCH if settings.suite == "answer-match" else TEXT_OVERLAP
    measured = _overlap(run, kinds, rows, 0.05, 0.5)
    result = report(run, settings, measured, [row["id"] for row in rows], notes)
    if spec["data"].get("baseline"):
        result |= _compared(run, spec, settings, kinds, rows, measured, result["notes"])
    return result


def _predictions(run: RunDirectory, name: str) -> tuple[list[dict], int]:
    """(rows with references, how many had none)."""
    rows, without = [], 0
    for place, row in data.read_rows(run.path, name):
        if "id" not in row or not isinstance(row.get("text"), str):
            raise place.wrong('a prediction must have an "id" and a "text".')
        references = row.get("references")
        if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
            raise place.wrong('"references" must be a list of texts.')
        references = [text for text in references if text.strip()]
        if references:
            rows.append({**row, "references": references})
        else:
            without += 1
    return rows, without


def _overlap(
    run: RunDirectory, kinds: dict[str, Overlap], rows: list[dict], start: float, end: float
) -> dict[str, Measured]:
    """All text metrics of the rows, telling progress from start to end."""
    texts, references = [row["text"] for row in rows], [row["references"] for row in rows]
    measured = {}
    for number, (name, metric) in enumerate(kinds.items()):
        run.check_stop()
        share = number / len(kinds)
        run.status("evaluating", progress=start + (end - start) * share, message=f"{name} of {len(rows)} rows")
        measured |= metric(texts, references)
    return measured


def _compared(
    run: RunDirectory,
    spec: dict,
    settings: EvaluateSettings,
    kinds: dict[str, Overlap],
    rows: list[dict],
    ours: dict[str, Measured],
    notes: list,
) -> dict:
    """`differences`: {metric: {value, lower, upper, n, p_value}} of ours minus the baseline's."""
    name = data.data_file(spec, "baseline")
    texts = {to_json(row.get("id")): row.get("text") for _, row in data.read_rows(run.path, name)}
    shared = [number for number, row in enumerate(rows) if isinstance(texts.get(to_json(row["id"])), str)]
    if not shared:
        notes.append(f"{name} shares no id with the predictions: nothing was compared.")
        run.warn(notes[-1])
        return {"differences": {}, "notes": notes}
    theirs = _overlap(run, kinds, [{**rows[i], "text": texts[to_json(rows[i]["id"])]} for i in shared], 0.55, 0.95)
    counts = metrics.resamples(len(shared), settings.resamples, settings.seed)
    differences = {}
    for metric, measured in ours.items():
        part = Measured(measured.statistics[shared], measured.value, measured.scores[shared])
        differences[metric] = metrics.paired_difference(part, theirs[metric], counts)
    return {"differences": differences, "notes": notes}


# --- What a model finds likely ---------------------------------------------------------------------------------------


def perplexity(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """How unlikely the model finds given texts: exp of the mean negative log-likelihood a token.

    data.texts: rows `{id, text}` (every token counts) or `{id, messages}` (the last answer's tokens).
    data.references: rows `{id, messages, references}`: each reference as the answer to the messages.
    With an adapter also base_perplexity, and divergence: the mean of log π − log π_base a text, in nats. Of texts that
    the model wrote by itself (at temperature 1) that is an estimate of KL(π ‖ π_base).
    """
    key = "texts" if "texts" in spec.get("data", {}) else "references"
    name = data.data_file(spec, key)
    asked = Asked(run, spec, settings)
    base, tokenizer = asked.base, asked.tokenizer
    tokens = tokens_of(tokenizer, base.path) if key == "references" else None
    fitting, count, rows = data.Fitting(settings.max_length), 0, []
    for place, row in data.read_rows(run.path, name):
        count += 1
        if key == "texts" and isinstance(row.get("text"), str):
            rows += text_examples(asked, row["text"], settings.max_length, row.get("id"))
            continue
        tokens = tokens or tokens_of(tokenizer, base.path)
        if key == "texts":
            rows += data.examples(tokens, [(place, row)], fitting)
            continue
        references = [text for text in row.get("references") or [] if isinstance(text, str) and text.strip()]
        answered = [
            {"id": row.get("id"), "messages": [*data.prompt_messages(row, place), _assistant(text)]}
            for text in references
        ]
        rows += data.examples(tokens, [(place, one) for one in answered], fitting)
    if words := fitting.words(name, count):
        run.warn(words)
    data.need_rows(rows, name, "there is no text to measure.")
    found, lengths = losses(asked, rows)
    measured = {"perplexity": metrics.perplexity_of(found, lengths)}
    if base.adapter:
        before, _ = losses(asked, rows, adapter=False)
        measured["base_perplexity"] = metrics.perplexity_of(before, lengths)
        measured["divergence"] = metrics.mean_of([b - a for a, b in zip(found, before)])
    return {**report(run, settings, measured, [row.id for row in rows]), "base_path": base.path, **asked.reuse.told()}


def _assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def preference_accuracy(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """How often the model prefers the chosen answer of data.pairs, rows as for dpo; a tie is half.

    logprob_accuracy: the chosen answer is likelier (log-probability summed over its tokens).
    With an adapter also implicit_reward_accuracy: the chosen answer gained more likelihood over the base (adapter off)
    than the rejected one (Rafailov et al. 2023, section 5), its margin in nats, and the base's own accuracy.
    longer_accuracy: what "the longer text wins" would get, without any model.
    """
    name = data.data_file(spec, "pairs")
    asked = Asked(run, spec, settings)
    base, model, tokenizer = asked.base, asked.model, asked.tokenizer
    fitting = data.Fitting(settings.max_length)
    read = list(data.read_rows(run.path, name))
    pairs = data.pairs(tokens_of(tokenizer, base.path), read, fitting)
    if words := fitting.words(name, len(read)):
        run.warn(words)
    data.need_rows(pairs, name, "there is no pair to measure.")
    policy, reference = _pair_logprobs(run, settings, model, pairs, with_reference=bool(base.adapter))
    measured = {"logprob_accuracy": metrics.mean_of([_win(a - b) for a, b in policy])}
    if reference:
        margins = [(a - c) - (b - d) for (a, b), (c, d) in zip(policy, reference)]
        measured["implicit_reward_accuracy"] = metrics.mean_of([_win(margin) for margin in margins])
        measured["implicit_reward_margin"] = metrics.mean_of(margins)
        measured["base_logprob_accuracy"] = metrics.mean_of([_win(a - b) for a, b in reference])
    measured["longer_accuracy"] = metrics.mean_of([_win(a - b) for a, b in (pair.characters for pair in pairs)])
    return {**report(run, settings, measured, [pair.id for pair in pairs]), "base_path": base.path}


def _win(difference: float) -> float:
    return 0.5 if difference == 0 or math.isnan(difference) else float(difference > 0)


def _pair_logprobs(run: RunDirectory, settings: EvaluateSettings, model, pairs: list, *, with_reference: bool):
    """Log-probabilities (chosen, rejected) of each pair: by the model, and by the base if wanted (else [])."""
    import torch

    from .networks.scoring import answer_logprobs, pair_batch

    policy, reference = [(0.0, 0.0)] * len(pairs), [(0.0, 0.0)] * len(pairs) if with_reference else []
    for numbers, batch in each_batch(run, settings, model.device, pairs, pair_batch):
        with torch.inference_mode():
            _place(policy, numbers, answer_logprobs(model, batch)[0])
            if with_reference:
                with model.disable_adapter():
                    _place(reference, numbers, answer_logprobs(model, batch)[0])
    return policy, reference


def _place(into: list, numbers: list[int], logprobs) -> None:
    for row, values in zip(numbers, logprobs.view(-1, 2).tolist()):
        into[row] = tuple(values)


SUITES = {
    "text-overlap": text_overlap,
    "answer-match": text_overlap,
    "perplexity": perplexity,
    "preference-accuracy": preference_accuracy,
    "forgetting": forgetting,
}
