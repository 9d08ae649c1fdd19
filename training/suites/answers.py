"""The suite answers: a model's answers to a suite's questions, and how like their references they are.

The site checks them by its rules; nothing is judged here. What the same weights answered before is taken from there.
"""

import json
from pathlib import Path

from .. import data
from ..config import EvaluateSettings
from ..directory import RunDirectory, to_json, write_whole
from ..endpoint import asks_endpoint
from ..models import base_of
from ..networks.encoder_decoder import tokens_of
from ..outputs import outputs_done, stream_seed, with_system
from .embedding import Embedder
from .measuring import Asked

ANSWERS = "answers.jsonl"
DECODING = ("max_new_tokens", "temperature", "top_p", "repetition_penalty")


def answers(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """Run the suite; returns what result.json is to say.

    data.items: rows `{id, messages, references?}`; each is answered settings.samples times. Or data.answers: rows `{id,
    index?, text, references?}` that are there already. answers.jsonl: rows `{id, index, text, seed, finish_reason,
    reused}`, and with run.json's `embedder` (a base) `similarity`: the cosine with the likest reference (embedding.py).
    """
    path = run.path / ANSWERS
    reuse: dict = {}
    if "answers" in spec.get("data", {}):
        given = [row for _, row in data.read_rows(run.path, data.data_file(spec, "answers"))]
        rows = [{"index": 0, "reused": False, **row} for row in given]
    else:
        given = [row for _, row in data.read_rows(run.path, data.data_file(spec, "items"))]
        rows = _by_endpoint(run, spec, settings, path) if asks_endpoint(spec) else _written(run, spec, settings, path)
        reuse = {"reuse": {"asked": len(rows), "reused": sum(row["reused"] for row in rows)}}
    data.need_rows(rows, "data", "there is nothing to answer.")
    references = {
        json.dumps(row["id"]): [text for text in row.get("references") or [] if text.strip()] for row in given
    }
    if spec.get("embedder"):
        run.status("evaluating", progress=0.9, message="comparing answers with their references")
        embedder = Embedder(run, spec, settings)
        likeness = embedder.likeness([(row["text"], references[json.dumps(row["id"])]) for row in rows])
        rows = [{**row, "similarity": value} for row, value in zip(rows, likeness)]
    write_whole(path, "".join(to_json({k: v for k, v in row.items() if k != "references"}) + "\n" for row in rows))
    return {"metrics": {}, "steps": len(rows), "rows": len(rows), **reuse}


def _by_endpoint(run: RunDirectory, spec: dict, settings: EvaluateSettings, path: Path) -> list[dict]:
    from ..endpoint_answers import suite_answers

    return suite_answers(run, spec, settings, path)


def _written(run: RunDirectory, spec: dict, settings: EvaluateSettings, path: Path) -> list[dict]:
    """All answers in the questions' order; each batch is on disk before the next begins."""
    from ..networks.decoding import Decoding, decode, end_tokens

    asked = Asked(run, spec, settings)
    wanted = _wanted(run, spec, settings, asked)
    seeds = [stream_seed(settings.seed, *answer.key) for answer in wanted]
    how = {name: getattr(settings, name) for name in DECODING}
    sampled = settings.temperature > 0
    keys = asked.reuse.keys(
        base_of(spec),
        "answer",
        {**asked.about, **how},
        ([w.prompt, s if sampled else 0] for w, s in zip(wanted, seeds)),
    )
    done = outputs_done(path)
    known = asked.reuse.known(keys, len(wanted))
    fresh = {n: value for n, value in known.items() if wanted[n].key not in done}
    _append(path, wanted, seeds, fresh, reused=True)
    todo = [n for n in range(len(wanted)) if n not in known and wanted[n].key not in done]
    run.status(message=f"{len(wanted)} answers wanted, {len(wanted) - len(todo)} there already")
    todo.sort(key=lambda number: -len(wanted[number].prompt))
    for start in range(0, len(todo), settings.batch_size):
        share = (len(wanted) - len(todo) + start) / len(wanted)
        run.status("generating", step=start, max_steps=len(wanted), progress=0.02 + 0.85 * share)
        part = todo[start : start + settings.batch_size]
        ends = end_tokens(asked.merged, asked.tokenizer)
        found = decode(
            asked.merged,
            [wanted[n].prompt for n in part],
            Decoding(**how),
            seeds=[seeds[n] for n in part],
            ends=ends,
            pad=asked.tokenizer.eos_token_id,
            check_stop=run.check_stop,
        )
        texts = [asked.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip() for answer in found]
        new = {n: [text, answer.finish_reason] for n, text, answer in zip(part, texts, found)}
        asked.reuse.keep(keys, new)
        _append(path, wanted, seeds, new, reused=False)
    rows = [row for _, row in data.read_rows(run.path, ANSWERS)]
    by_key = {(json.dumps(row["id"]), row["index"]): row for row in rows}
    return [by_key[answer.key] for answer in wanted]


def _wanted(run: RunDirectory, spec: dict, settings: EvaluateSettings, asked: Asked) -> list:
    from ..generate import Wanted, context_of

    name = data.data_file(spec, "items")
    tokens = tokens_of(asked.tokenizer, asked.base.path)
    fitting, wanted, count = data.Fitting(context_of(asked.base.path) or 1 << 30), [], 0
    for place, row in data.read_rows(run.path, name):
        count += 1
        if "id" not in row:
            raise place.wrong('a question must have an "id".')
        messages = with_system(data.prompt_messages(row, place), settings.system)
        prompt = tokens.fit(fitting, tokens.prompt(messages), settings.max_new_tokens, place.line)
        if prompt is not None:
            wanted += [Wanted(row["id"], index, prompt) for index in range(settings.samples)]
    if words := fitting.words(name, count):
        run.warn(words)
    return data.need_rows(wanted, name, "there is nothing to answer.")


def _append(path: Path, wanted: list, seeds: list[int], found: dict[int, object], *, reused: bool) -> None:
    with path.open("a", encoding="utf-8") as file:
        for number, (text, finish_reason) in found.items():
            answer = wanted[number]
            row = {"id": answer.id, "index": answer.index, "text": text, "seed": seeds[number]}
            file.write(to_json({**row, "finish_reason": finish_reason, "reused": reused}) + "\n")
