"""The recipe generate: answers to prompts, appended to outputs.jsonl as they are written; resumable."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from . import data
from .config import GenerateSettings
from .directory import RunDirectory, to_json
from .models import base_of, load_policy, load_tokenizer
from .networks.decoding import Answer, Decoding, decode, end_tokens
from .networks.encoder_decoder import tokens_of
from .outputs import OUTPUTS, outputs_done, stream_seed, with_system


@dataclass(frozen=True)
class Wanted:
    """One answer that is to be written: the index-th to the prompt of a row."""

    id: object
    index: int
    prompt: list[int]

    @property
    def key(self) -> tuple[str, int]:
        return json.dumps(self.id), self.index


def generate(run: RunDirectory, spec: dict, settings: GenerateSettings) -> dict:
    """Run the recipe; returns what result.json is to say.

    data.prompts: rows `{id, messages, system?, n?}`. outputs.jsonl: rows `{id, index, text, tokens, latency_ms, seed,
    finish_reason}`; latency_ms runs from the start of the answer's batch to its last token.
    """
    base = base_of(spec)
    tokenizer = load_tokenizer(base.path)
    run.check_stop()
    wanted = prompts_wanted(run, spec, settings, tokens_of(tokenizer, base.path), context_of(base.path))
    done = outputs_done(run.path / OUTPUTS)
    todo = [answer for answer in wanted if answer.key not in done]
    run.status(message=f"{len(wanted)} answers wanted, {len(wanted) - len(todo)} there already")
    tokens, seconds = 0, 0.0
    if todo:
        tokens, seconds = _write(run, settings, base, tokenizer, todo, already=len(wanted) - len(todo))
    return {
        "outputs_path": str(run.path / OUTPUTS),
        "base_path": base.path,
        "steps": len(wanted),
        "rows": len(wanted),
        "metrics": {},
        "tokens": tokens,
        "tokens_per_second": tokens / seconds if seconds else None,
    }


def context_of(path: str) -> int | None:
    """The most tokens that the model can see at once, if its configuration says."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def prompts_wanted(
    run: RunDirectory, spec: dict, settings: GenerateSettings, tokens: data.ChatTokens, context: int | None
) -> list[Wanted]:
    """All answers that the prompts file asks for, in its order. Warns of prompts that had to be cut."""
    name = data.data_file(spec, "prompts")
    wanted, seen = [], set()
    fitting = data.Fitting(context or 1 << 30)
    count = 0
    for place, row in data.read_rows(run.path, name):
        count += 1
        if "id" not in row:
            raise place.wrong('a prompt must have an "id".')
        if json.dumps(row["id"]) in seen:
            raise place.wrong(f"the id {row['id']!r} occurred before; each prompt needs its own.")
        seen.add(json.dumps(row["id"]))
        n = row.get("n", settings.n)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise place.wrong(f'"n" must be a whole number from 1 on; it is {n!r}.')
        messages = with_system(data.prompt_messages(row, place), row.get("system") or settings.system)
        prompt = tokens.fit(fitting, tokens.prompt(messages), settings.max_new_tokens, place.line)
        if prompt is not None:
            wanted += [Wanted(row["id"], index, prompt) for index in range(n)]
    if words := fitting.words(name, count):
        run.warn(words)
    return data.need_rows(wanted, name, "there is nothing to answer.")


def _write(run: RunDirectory, settings: GenerateSettings, base, tokenizer, todo: list[Wanted], already: int):
    """Write the answers batch by batch, longest prompts first; returns (tokens written, seconds)."""
    model = load_policy(base, settings.precision, merge=True)
    run.check_stop()
    names = ("max_new_tokens", "temperature", "top_p", "repetition_penalty")
    how = Decoding(**{name: getattr(settings, name) for name in names})
    ends, pad = end_tokens(model, tokenizer), tokenizer.eos_token_id
    todo = sorted(todo, key=lambda answer: -len(answer.prompt))
    total, written, started = already + len(todo), 0, time.monotonic()
    done = 0
    _tell(run, already, total, None)
    for start in range(0, len(todo), settings.batch_size):
        batch = todo[start : start + settings.batch_size]
        seeds = [stream_seed(settings.seed, *answer.key) for answer in batch]
        prompts = [answer.prompt for answer in batch]
        answers = decode(model, prompts, how, seeds=seeds, ends=ends, pad=pad, check_stop=run.check_stop)
        _append(run.path / OUTPUTS, batch, answers, seeds, tokenizer)
        done += len(batch)
        written += sum(len(answer.tokens) for answer in answers)
        seconds = time.monotonic() - started
        _tell(run, already + done, total, (len(todo) - done) * seconds / done)
        run.metric(
            step=already + done,
            epoch=0.0,
            split="generate",
            values={
                "tokens_per_second": written / seconds,
                "answer_tokens": written / done,
                "cut_share": sum(answer.finish_reason == "length" for answer in answers) / len(answers),
            },
        )
    return written, time.monotonic() - started


def _tell(run: RunDirectory, done: int, total: int, eta: float | None) -> None:
    eta = None if eta is None else round(eta, 1)
    run.status("generating", step=done, max_steps=total, progress=0.02 + 0.98 * done / total, eta_seconds=eta)


def _append(path: Path, batch: list[Wanted], answers: list[Answer], seeds: list[int], tokenizer) -> None:
    """Append a batch's rows, and see that they are on disk."""
    with path.open("a", encoding="utf-8") as file:
        for wanted, answer, seed in zip(batch, answers, seeds):
            row = {
                "id": wanted.id,
                "index": wanted.index,
                "text": tokenizer.decode(answer.tokens, skip_special_tokens=True).strip(),
                "tokens": len(answer.tokens),
                "latency_ms": answer.latency_ms,
                "seed": seed,
                "finish_reason": answer.finish_reason,
            }
            file.write(to_json(row) + "\n")
        file.flush()
        os.fsync(file.fileno())
