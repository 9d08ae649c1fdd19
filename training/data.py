"""Frozen rows → token ids: reading the files that run.json names, checking each row, cutting what is too long."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from .errors import TrainingError

# A prompt that must be cut to fewer tokens than this says nothing any more: its row is dropped.
PROMPT_TOKENS_AT_LEAST = 8


@dataclass(frozen=True)
class Place:
    """Where a row stands, for messages."""

    file: str
    line: int

    def wrong(self, what: str) -> TrainingError:
        return TrainingError("bad_data", f"{self.file} line {self.line}: {what}")


@dataclass(frozen=True)
class Example:
    """A prompt and its answer in tokens; the answer ends with the token that ends a turn.

    start: the token that a decoder begins the answer with, of an encoder–decoder's rows (encoder_decoder.py).
    """

    prompt: list[int]
    answer: list[int]
    id: object
    start: int | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Pair:
    """A prompt with a chosen and a rejected answer, in tokens. characters: of the two answers' texts. margin: by how
    much the rewards are to differ at least. texts: the two answers; category: of the row, or its source. line: of
    the file, 0 unknown; tiers: where the two answers stand in that line's ranking."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    characters: tuple[int, int]
    id: object
    margin: float = 0.0
    start: int | None = None
    texts: tuple[str, str] = ("", "")
    category: str = ""
    line: int = 0
    tiers: tuple[int, int] = (0, 1)

    @property
    def length(self) -> int:
        """Tokens when the prompt is held once."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass(frozen=True)
class Labelled:
    """A prompt, an answer in tokens, and whether the answer is good (thumbs up)."""

    prompt: list[int]
    answer: list[int]
    good: bool
    id: object
    start: int | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass
class Fitting:
    """How many rows had to be cut to `max_length`, or dropped."""

    max_length: int
    cut: int = 0
    dropped: list[int] = field(default_factory=list)

    def prompt(self, prompt: list[int], answer_tokens: int, line: int) -> list[int] | None:
        """The prompt's last tokens that fit beside an answer; None when too few are left (the row is dropped)."""
        room = self.max_length - answer_tokens
        if len(prompt) <= room:
            return prompt
        if room < PROMPT_TOKENS_AT_LEAST:
            self.dropped.append(line)
            return None
        self.cut += 1
        return prompt[-room:]

    def words(self, file: str, rows: int) -> str | None:
        """What happened, for a warning; None when all rows fitted."""
        if not self.cut and not self.dropped:
            return None
        said = [f"{file}: of {rows} rows"]
        if self.cut:
            said.append(f"{self.cut} lost the beginning of their prompt")
        if self.dropped:
            lines = ", ".join(map(str, self.dropped[:5])) + (", …" if len(self.dropped) > 5 else "")
            said.append(f"{len(self.dropped)} were left out (lines {lines})")
        return f"{said[0]} {' and '.join(said[1:])}: max_length is {self.max_length} tokens."


# --- Reading --------------------------------------------------------------------------------------------------------


def read_rows(directory: Path, name: str) -> Iterator[tuple[Place, dict]]:
    """(place, row) of each line of a .jsonl file of the run directory. Raises TrainingError (`bad_data`)."""
    path = directory / name
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        message = (
            f"The data file {path} cannot be read: {error.strerror}. run.json's data must name files that are there."
        )
        raise TrainingError("bad_data", message) from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = Place(name, number)
            try:
                row = json.loads(line)
            except ValueError as error:
                raise place.wrong(f"this is not JSON ({error}).") from None
            if not isinstance(row, dict):
                raise place.wrong("a row must be a JSON object.")
            yield place, row


def data_file(spec: dict, key: str) -> str:
    """The name of the data file `key`. Raises TrainingError when run.json names none."""
    name = spec.get("data", {}).get(key)
    if not isinstance(name, str) or not name:
        raise TrainingError("bad_run", f'run.json: data.{key} must name a file, such as "data/{key}.jsonl".')
    return name


def need_rows(rows: list, name: str, what: str) -> list:
    """The rows, if there are any; TrainingError (`empty_data`) otherwise."""
    if not rows:
        raise TrainingError("empty_data", f"{name} has no usable row: {what}")
    return rows


# --- Conversations ---------------------------------------------------------------------------------------------------


def text_of(content: object, place: Place) -> str:
    """A message's content as text: a string, or parts of type text joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise place.wrong("a message's content must be a text or a list of parts.")
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else part
            raise place.wrong(f"a part of type {kind!r} cannot be used: this recipe reads text only.")
        texts.append(part["text"])
    return "".join(texts)


def conversation(messages: object, place: Place, key: str = "messages") -> list[dict]:
    """Messages with role and text; a bare string is one user message."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, list) or not messages:
        raise place.wrong(f'"{key}" must be a list of messages, such as [{{"role": "user", "content": "…"}}].')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
            raise place.wrong(f'each of "{key}" must have a role and a content.')
    return [{"role": message["role"], "content": text_of(message["content"], place)} for message in messages]


def answer_text(row: dict, key: str, place: Place) -> str:
    """The answer in row[key]: a string, or a conversation of one assistant message."""
    if isinstance(row.get(key), str):
        return row[key]
    messages = conversation(row.get(key), place, key)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise place.wrong(f'"{key}" must be one message of the assistant.')
    return messages[0]["content"]


def prompt_messages(row: dict, place: Place) -> list[dict]:
    """The conversation to be answered: `messages`, or `prompt`; it must not end with an answer."""
    key = "messages" if "messages" in row else "prompt"
    messages = conversation(row.get(key), place, key)
    if messages[-1]["role"] == "assistant":
        raise place.wrong(f'"{key}" ends with an answer of the assistant; it must end with what is to be answered.')
    return messages


# --- Tokens ----------------------------------------------------------------------------------------------------------


class ChatTokens:
    """Conversations in tokens, by a tokenizer's chat template."""

    start: int | None = None  # of an encoder–decoder: the token that its decoder begins with

    def __init__(self, tokenizer, place_of_base: str):
        if not tokenizer.chat_template:
            raise TrainingError(
                "no_chat_template",
                f"The tokenizer of {place_of_base} has no chat template, so it is not known how a conversation is "
                "written for it. Use an instruction-tuned base, or add a chat_template.jinja to its folder.",
            )
        self.tokenizer = tokenizer

    def prompt(self, messages: list[dict]) -> list[int]:
        """A conversation up to where the assistant begins to write."""
        return self._ids(messages, add_generation_prompt=True)

    def answer(self, messages: list[dict], text: str) -> list[int]:
        """What the assistant writes after `messages`: its text and the token that ends its turn, and nothing after.

        Tokenised together with the prompt, as the model will see it. A template that writes the prompt otherwise once
        it is answered (some drop earlier reasoning) leaves only the answer's own tokens and an end token.
        """
        prompt = self.prompt(messages)
        whole = self._ids([*messages, {"role": "assistant", "content": text}], add_generation_prompt=False)
        end = self.tokenizer.eos_token_id
        if whole[: len(prompt)] != prompt:
            return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], end]
        answer = whole[len(prompt) :]
        if end in answer:  # a template may write a newline after the turn's end; the model never has to
            return answer[: len(answer) - answer[::-1].index(end)]
        return [*answer, end]

    def fit(self, fitting: Fitting, prompt: list[int], answer_tokens: int, line: int) -> list[int] | None:
        """The prompt as it fits beside an answer; None when it does not."""
        return fitting.prompt(prompt, answer_tokens, line)

    def _ids(self, messages: list[dict], *, add_generation_prompt: bool) -> list[int]:
        return self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
        )


def alpaca(row: dict) -> list[dict] | None:
    """A row of Alpaca's form (Taori et al. 2023) as messages: the input, where there is one, below the instruction.

    Written by the base's own chat template, not by Alpaca's: an instruction-tuned base knows that one. None where the
    row is none.
    """
    asked, given, answer = (row.get(key, "") for key in ("instruction", "input", "output"))
    if not asked or not all(isinstance(text, str) for text in (asked, given, answer)):
        return None
    content = f"{asked}\n\n{given}" if given.strip() else asked
    return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]


def examples(tokens: ChatTokens, rows: Iterable[tuple[Place, dict]], fitting: Fitting) -> list[Example]:
    """SFT rows `{messages}` whose last message is the assistant's, or `{instruction, input?, output}`, as examples."""
    made = []
    for place, row in rows:
        messages = conversation(row["messages"] if "messages" in row else alpaca(row), place)
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise place.wrong('"messages" must end with an answer of the assistant, after at least one other message.')
        if not messages[-1]["content"].strip():
            raise place.wrong("the answer is empty.")
        answer = tokens.answer(messages[:-1], messages[-1]["content"])
        prompt = tokens.fit(fitting, tokens.prompt(messages[:-1]), len(answer), place.line)
        if prompt is not None:
            made.append(Example(prompt, answer, row.get("id", place.line), tokens.start))
    return made


def pairs(tokens: ChatTokens, rows: Iterable[tuple[Place, dict]], fitting: Fitting) -> list[Pair]:
    """Preference rows `{prompt, chosen, rejected}` as pairs; each answer must fit beside the prompt.

    A row `{prompt, ranking: [[answer, …], …]}`, the best first, ties in one list, becomes a pair of each two answers
    that are not tied.
    """
    made = []
    for place, row in rows:
        messages = prompt_messages({"prompt": row.get("prompt")}, place)
        start = tokens.prompt(messages)
        for better, worse, tiers in _compared(row, place):
            if better == worse:
                raise place.wrong("chosen and rejected are the same text.")
            chosen, rejected = (tokens.answer(messages, text) for text in (better, worse))
            prompt = tokens.fit(fitting, start, max(len(chosen), len(rejected)), place.line)
            if prompt is not None:
                texts, lengths = (better, worse), (len(better), len(worse))
                about = {"margin": _margin(row, place), "category": _category(row), "line": place.line}
                about |= {"texts": texts, "tiers": tiers, "start": tokens.start}
                made.append(Pair(prompt, chosen, rejected, lengths, row.get("id", place.line), **about))
    return made


@dataclass(frozen=True)
class Question:
    """A prompt to be answered, as messages and in tokens."""

    messages: list[dict]
    prompt: list[int]
    id: object


def questions(
    tokens: ChatTokens, rows: Iterable[tuple[Place, dict]], fitting: Fitting, answer_tokens: int
) -> list[Question]:
    """Prompts `{prompt}` (or `{messages}`) that leave room for an answer of `answer_tokens`."""
    made = []
    for place, row in rows:
        messages = prompt_messages(row, place)
        prompt = fitting.prompt(tokens.prompt(messages), answer_tokens, place.line)
        if prompt is not None:
            made.append(Question(messages, prompt, row.get("id", place.line)))
    return made


def _compared(row: dict, place: Place) -> list[tuple[str, str, tuple[int, int]]]:
    """(better text, worse text, their tiers) of a row: one pair, or all of a ranking."""
    if "ranking" not in row:
        return [(answer_text(row, "chosen", place), answer_text(row, "rejected", place), (0, 1))]
    tiers = row["ranking"]
    if not isinstance(tiers, list) or len(tiers) < 2 or not all(isinstance(tier, list) and tier for tier in tiers):
        raise place.wrong(
            '"ranking" must be a list of at least two lists of answers, the best first, such as [["a"], ["b"]].'
        )
    texts = [[answer_text({"ranking": answer}, "ranking", place) for answer in tier] for tier in tiers]
    return [
        (better, worse, (first, second))
        for first, second in combinations(range(len(texts)), 2)
        for better in texts[first]
        for worse in texts[second]
    ]


def _margin(row: dict, place: Place) -> float:
    margin = row.get("margin") or 0
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin <= 100:
        raise place.wrong('"margin" must be a number from 0 to 100.')
    return float(margin)


def _category(row: dict) -> str:
    return str(row.get("category") or row.get("source") or "")


def answered(tokens: ChatTokens, rows: Iterable[tuple[Place, dict]], fitting: Fitting) -> list[Example]:
    """Answers to be scored, `{id, prompt, completion}`."""
    made = []
    for place, row in rows:
        messages = prompt_messages({"prompt": row.get("prompt")}, place)
        answer = tokens.answer(messages, answer_text(row, "completion", place))
        prompt = tokens.fit(fitting, tokens.prompt(messages), len(answer), place.line)
        if prompt is not None:
            made.append(Example(prompt, answer, row.get("id", place.line)))
    return made


def labelled(tokens: ChatTokens, rows: Iterable[tuple[Place, dict]], fitting: Fitting) -> list[Labelled]:
    """Thumbs `{prompt, completion, label}`: label is true for a good answer and false for a bad one."""
    made = []
    for place, row in rows:
        messages = prompt_messages({"prompt": row.get("prompt")}, place)
        text = answer_text(row, "completion", place)
        if not isinstance(row.get("label"), bool):
            raise place.wrong('"label" must be true (a good answer) or false (a bad one).')
        answer = tokens.answer(messages, text)
        prompt = tokens.fit(fitting, tokens.prompt(messages), len(answer), place.line)
        if prompt is not None:
            made.append(Labelled(prompt, answer, row["label"], row.get("id", place.line), tokens.start))
    return made
