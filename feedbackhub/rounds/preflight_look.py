"""What a frozen dataset's rows are like, counted in one pass. Pure: no database, no tokenizer."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from feedbackhub.catalog.content import normalised

BYTES_A_TOKEN = 4.0  # of UTF-8, English in the usual vocabularies; a rehearsal counts the tokens themselves
TOKENS_A_TURN = 6  # what a chat template puts around a message
PROMPT_TOKENS_AT_LEAST = 8  # as training/data.py: a prompt cut to fewer says nothing, and its row is dropped


@dataclass(frozen=True)
class Looked:
    """One frozen row."""

    split: str
    prompt: int
    data: dict
    margin: float | None
    votes: int


@dataclass
class Look:
    """Counts over the rows; of pairs unless something else is said."""

    splits: Counter = field(default_factory=Counter)
    empty: int = 0  # rows with an answer that says nothing
    same: int = 0  # pairs whose answers differ in case or white space only
    repeated: int = 0  # rows that say exactly what an earlier one says
    conflicts: int = 0  # the same pair preferred both ways; of thumbs, the same answer up and down
    longer: int = 0  # pairs in which the longer answer was chosen …
    unlike_lengths: int = 0  # … of those whose answers differ in length
    good: int = 0
    bad: int = 0
    several: int = 0  # rows that more than one judged
    unanimous: int = 0
    tokens: list[tuple[int, int]] = field(default_factory=list)  # about: (prompt, longest answer) of each train row
    prompts: dict[int, str] = field(default_factory=dict)  # what the user says, by prompt

    @property
    def rows(self) -> int:
        return self.splits.total()


def look(rows: Iterable[Looked]) -> Look:
    found, seen, ways = Look(), set(), {}
    for row in rows:
        answers = _answers(row.data)
        said = [normalised(text) for text in answers]
        found.splits[row.split] += 1
        found.prompts.setdefault(row.prompt, user_text(_prompt(row.data)))
        found.empty += any(not text for text in said)
        if row.split == "train":
            found.tokens.append(_tokens(_prompt(row.data), answers))
        if row.votes > 1:
            found.several += 1
            found.unanimous += row.margin is not None and row.margin > 0.999
        asked = _digest(*(normalised(message["content"]) for message in _prompt(row.data)))
        _pair(found, row.data, answers, said)
        key = (asked, *map(_digest, said), row.data.get("label"))
        found.repeated += key in seen
        seen.add(key)
        _conflict(found, ways, asked, row.data, [_digest(text) for text in said])
    return found


def _pair(found: Look, data: dict, answers: list[str], said: list[str]) -> None:
    if "chosen" in data:
        found.same += said[0] == said[1]
        lengths = [len(text) for text in answers]
        found.unlike_lengths += lengths[0] != lengths[1]
        found.longer += lengths[0] > lengths[1]
    elif "label" in data:
        found.good += data["label"]
        found.bad += not data["label"]


def _conflict(found: Look, ways: dict, asked: bytes, data: dict, said: list[bytes]) -> None:
    """Count a pair (or a thumbed answer) once, when it is seen the other way round."""
    if "chosen" in data:
        key, way = (asked, *sorted(said)), said[0] < said[1]
    elif "label" in data:
        key, way = (asked, *said), data["label"]
    else:
        return
    before = ways.setdefault(key, {way})
    if way not in before:
        before.add(way)
        found.conflicts += 1


def _prompt(data: dict) -> list[dict]:
    return data["messages"][:-1] if "messages" in data else data["prompt"]


def _answers(data: dict) -> list[str]:
    if "messages" in data:
        return [data["messages"][-1]["content"]]
    return [data[key][0]["content"] for key in ("chosen", "rejected", "completion") if key in data]


def user_text(messages: list[dict]) -> str:
    """What the user says in a conversation: a system prompt is everybody's."""
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _digest(*texts: str) -> bytes:
    return hashlib.blake2b("\x00".join(texts).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _tokens(prompt: list[dict], answers: list[str]) -> tuple[int, int]:
    """About how many tokens the prompt and the longest answer have."""
    asked = sum(_bytes(message["content"]) for message in prompt) / BYTES_A_TOKEN + TOKENS_A_TURN * len(prompt)
    return round(asked), round(max(map(_bytes, answers), default=0) / BYTES_A_TOKEN + TOKENS_A_TURN)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def fitting(tokens: list[tuple[int, int]], max_length: int) -> tuple[int, int]:
    """About (rows that lose the beginning of their prompt, rows that are left out) at this length."""
    cut = dropped = 0
    for prompt, answer in tokens:
        if prompt + answer > max_length:
            if max_length - answer < PROMPT_TOKENS_AT_LEAST:
                dropped += 1
            else:
                cut += 1
    return cut, dropped


def pieces(tokens: list[tuple[int, int]], max_length: int) -> int:
    """About how many pieces of this length packing makes of the rows: no fewer than their tokens fill."""
    return max(1, ceil(sum(min(prompt + answer, max_length) for prompt, answer in tokens) / max_length))
