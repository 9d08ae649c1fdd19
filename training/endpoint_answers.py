"""What an endpoint writes: the recipe generate, and the answers of a suite. Needs no weights and no tokenizer here."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import data
from .config import EvaluateSettings, GenerateSettings
from .directory import RunDirectory, to_json
from .endpoint import Endpoint, Reply
from .outputs import OUTPUTS, outputs_done, stream_seed, with_system

AT_ONCE = 8  # requests on their way


@dataclass(frozen=True)
class Wanted:
    """One answer that is to be written: the index-th to a conversation."""

    id: object
    index: int
    messages: list[dict]

    @property
    def key(self) -> tuple[str, int]:
        return json.dumps(self.id), self.index


def generate(run: RunDirectory, spec: dict, settings: GenerateSettings) -> dict:
    """The recipe generate by an endpoint: the same rows come and go as in generate.py."""
    name = data.data_file(spec, "prompts")
    wanted = _wanted(run, name, settings, settings.n)
    rows, started, tokens = 0, time.monotonic(), 0
    for row in written(run, spec, settings, wanted, run.path / OUTPUTS, share=0.98):
        rows, tokens = rows + 1, tokens + (row["tokens"] or 0)
    seconds = time.monotonic() - started
    told = {"tokens": tokens, "tokens_per_second": tokens / seconds if tokens and seconds else None}
    return {"outputs_path": str(run.path / OUTPUTS), "steps": len(wanted), "rows": len(wanted), "metrics": {}, **told}


def suite_answers(run: RunDirectory, spec: dict, settings: EvaluateSettings, path: Path) -> list[dict]:
    """All answers of the suite answers, in the questions' order, in answers.py's shape; nothing is reused."""
    wanted = _wanted(run, data.data_file(spec, "items"), settings, settings.samples)
    for _row in written(run, spec, settings, wanted, path, share=0.85):
        pass
    rows = (row for _, row in data.read_rows(run.path, path.name))
    by_key = {(json.dumps(row["id"]), row["index"]): {**row, "reused": False} for row in rows}
    return [by_key[answer.key] for answer in wanted]


def _wanted(run: RunDirectory, name: str, settings: GenerateSettings | EvaluateSettings, each: int) -> list[Wanted]:
    wanted, seen = [], set()
    for place, row in data.read_rows(run.path, name):
        if "id" not in row or json.dumps(row["id"]) in seen:
            raise place.wrong('a prompt must have an "id" of its own.')
        seen.add(json.dumps(row["id"]))
        messages = with_system(data.prompt_messages(row, place), row.get("system") or settings.system)
        wanted += [Wanted(row["id"], index, messages) for index in range(row.get("n", each))]
    return data.need_rows(wanted, name, "there is nothing to answer.")


def written(
    run: RunDirectory,
    spec: dict,
    settings: GenerateSettings | EvaluateSettings,
    wanted: Sequence[Wanted],
    path: Path,
    *,
    share: float,
) -> Iterator[dict]:
    """Ask for what is not in the file yet and append it, some requests at a time; yields each new row."""
    done = outputs_done(path)
    todo = [answer for answer in wanted if answer.key not in done]
    run.status(message=f"{len(wanted)} answers wanted, {len(wanted) - len(todo)} there already")
    names = ("max_new_tokens", "temperature", "top_p", "repetition_penalty")
    how = {name: getattr(settings, name) for name in names}
    endpoint = Endpoint(spec["base"], run.check_stop)

    def ask(answer: Wanted) -> tuple[int, Reply]:
        seed = stream_seed(settings.seed, *answer.key)
        return seed, endpoint.chat(answer.messages, seed=seed, **how)

    def told(asked: int) -> None:
        step = len(wanted) - len(todo) + asked
        run.status("generating", step=step, max_steps=len(wanted), progress=0.02 + share * step / len(wanted))

    for answers, replies in in_parts(run, settings.batch_size, todo, ask, told):
        rows = [_row(answer, *reply) for answer, reply in zip(answers, replies)]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(to_json(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        yield from rows


def continued(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> Callable:
    """How an endpoint writes on after plain texts (harness_writing.Continue)."""
    endpoint = Endpoint(spec["base"], run.check_stop)

    def write(contexts: Sequence[str], seeds: Sequence[int], how: dict) -> list[str]:
        # OpenAI takes four stop words at most; the text is cut at all of them here.
        how = {**how, "stop": how["stop"][:4]} if how["stop"] else {k: v for k, v in how.items() if k != "stop"}
        todo = list(zip(contexts, seeds))

        def told(asked: int) -> None:
            run.status("generating", step=asked, max_steps=len(todo), progress=0.05 + 0.85 * asked / len(todo))

        def ask(one: tuple[str, int]) -> str:
            return endpoint.complete(one[0], seed=one[1], **how).text

        return [text for _, texts in in_parts(run, settings.batch_size, todo, ask, told) for text in texts]

    return write


def in_parts(
    run: RunDirectory, size: int, todo: Sequence, ask: Callable, told: Callable[[int], None]
) -> Iterator[tuple[Sequence, list]]:
    """(part of todo, what was answered), some requests on their way at a time; looks for a stop between parts."""
    size = min(size, AT_ONCE)
    with ThreadPoolExecutor(size) as pool:
        for start in range(0, len(todo), size):
            run.check_stop()
            told(start)
            part = todo[start : start + size]
            yield part, list(pool.map(ask, part))


def _row(answer: Wanted, seed: int, reply: Reply) -> dict:
    return {
        "id": answer.id,
        "index": answer.index,
        "text": reply.text.strip(),
        "tokens": reply.tokens,
        "latency_ms": reply.latency_ms,
        "seed": seed,
        "finish_reason": reply.finish_reason,
    }
