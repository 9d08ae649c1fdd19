"""Lines of each kind, checked (CONTRACT, "Import lines"; docs/imports.md has the choices where it is silent)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.conf.locale import LANG_INFO

from feedbackhub.catalog.content import SPLITS, media_of, messages_of, messages_read, text_of
from feedbackhub.core.json_reading import json_read
from feedbackhub.projects.groups import LANGUAGE

from .fields import MISSING, LineError, lookup, template_fill
from .media_lines import media_list_read, media_part_read

NAME_AT_MOST = 120
CATEGORY_AT_MOST = 80
ID_AT_MOST = 200
LANGUAGES = {info["name"].lower(): tag for tag, info in reversed(LANG_INFO.items()) if "name" in info}
CHARS_AT_MOST = 2**31 - 1
WINNERS = ("model_a", "model_b", "tie", "both_bad")
# What other tools call the same split.
SPLIT_NAMES = {**{split: split for split in SPLITS}, "dev": "validation", "val": "validation", "valid": "validation"}
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass
class PromptLine:
    messages: list[dict]
    references: list[str] = field(default_factory=list)
    category: str = ""
    split: str | None = None
    id: str = ""
    language: str = ""


@dataclass
class Answer:
    """A model's output: a text, pictures and videos (parts), or both."""

    model: str
    text: str
    media: list[dict] = field(default_factory=list)


@dataclass
class OutputsLine:
    prompt: PromptLine
    outputs: list[Answer]


@dataclass
class VoteLine:
    model_a: str
    model_b: str
    winner: str
    judge: str
    id: str | None
    question_id: str | None
    prompt: PromptLine | None
    outputs: tuple[str | None, str | None]
    chars: tuple[int | None, int | None]
    category: str
    occurred_at: datetime | None


@dataclass
class PreferenceLine:
    prompt: PromptLine
    chosen: str
    rejected: str
    chosen_model: str | None
    rejected_model: str | None
    source: str
    id: str | None


class Line:
    """A row of the source, seen through the map."""

    def __init__(self, row: dict, field_map: dict[str, str], template: str = ""):
        self.row, self.map, self.template = row, field_map, template

    def value(self, name: str) -> object:
        """The field's value, None where it is absent or null. A field mapped to nothing is absent."""
        path = self.map.get(name, name)
        found = lookup(self.row, path) if path else MISSING
        return None if found is MISSING else found

    def called(self, name: str) -> str:
        """The field as the source's owner knows it."""
        theirs = self.map.get(name)
        return f'{name} ("{theirs}")' if theirs and theirs != name else name

    def text(self, name: str) -> str | None:
        """A text that says something, or None where there is none. Raises LineError: another type, only white space."""
        value = self.value(name)
        if value is None:
            return None
        text = clean(value, self.called(name))
        if not text.strip():
            raise LineError(f"{self.called(name)} is empty")
        return text

    def name(self, name: str, *, at_most: int) -> str | None:
        """A short text or a number as text (ids may be numbers; 0 is one), without white space around it."""
        value = self.value(name)
        if value is None or value == "":
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        text = clean(value, self.called(name)).strip()
        if not text:
            return None
        if len(text) > at_most:
            raise LineError(f"{self.called(name)} is longer than {at_most} characters")
        return text

    def required(self, name: str) -> str:
        found = self.text(name)
        if found is None:
            raise LineError(f"{self.called(name)} is missing")
        return found

    def model(self, name: str, *, required: bool) -> str | None:
        found = self.name(name, at_most=NAME_AT_MOST)
        if found is None and required:
            raise LineError(f"{self.called(name)} is missing")
        return found


def clean(value: object, what: str) -> str:
    """The text as it can be stored: without NUL. Raises LineError: no text, or half of a surrogate pair in it."""
    if not isinstance(value, str):
        raise LineError(f"{what} must be a text, not {shown(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise LineError(f"{what} holds half a character (a lone surrogate) at position {error.start + 1}") from error
    return value.replace("\x00", "")


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


def listed(value: object, what: str) -> object:
    """A list that a CSV holds as JSON, else the value itself."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json_read(value)
        except ValueError as error:
            raise LineError(f"{what} begins like a JSON list but is none: {error}") from error
    return value


# --- Prompts and outputs -------------------------------------------------------------------------------------------


def prompt_line(line: Line) -> PromptLine:
    return PromptLine(
        messages=conversation(line),
        references=references(line),
        category=line.name("category", at_most=CATEGORY_AT_MOST) or "",
        split=split(line),
        id=line.name("id", at_most=ID_AT_MOST) or "",
        language=language(line),
    )


def language(line: Line) -> str:
    """A BCP 47 tag; English names of languages become one."""
    given = (line.name("language", at_most=60) or "").strip()
    tag = LANGUAGES.get(given.lower(), given)
    if tag and not LANGUAGE.fullmatch(tag):
        raise LineError(f'{line.called("language")} "{given}" is neither a tag (en, pt-BR) nor the name of a language')
    return tag


def conversation(line: Line) -> list[dict]:
    """What is to be answered: the template, else messages, else prompt (which may itself be a list of messages)."""
    found = conversation_if_any(line)
    if found is None:
        raise LineError(f"neither {line.called('messages')} nor {line.called('prompt')} says what is to be answered")
    return found


def conversation_if_any(line: Line) -> list[dict] | None:
    if line.template:
        text = clean(template_fill(line.template, line.row), "the prompt made from the template")
        if not text.strip():
            raise LineError("the prompt made from the template has no text")
        return messages_of(text)
    for name in ("messages", "prompt"):
        value = line.value(name)
        if value is None:
            continue
        if name == "messages":
            value = listed(value, line.called(name))
        if name == "messages" or isinstance(value, list):
            return messages_clean(value, line.called(name))
        return messages_of(line.required(name))
    return None


def messages_clean(value: object, what: str) -> list[dict]:
    try:
        messages = messages_read(value, media_part_read)
    except ValueError as error:
        raise LineError(f"{what}: {error}") from error
    for message in messages:
        for part in message["content"]:
            if part["type"] == "text":
                part["text"] = clean(part["text"], what)
    return messages


def references(line: Line) -> list[str]:
    what = line.called("references")
    value = listed(line.value("references"), what)
    if value is None:
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise LineError(f"{what} must be a list of texts, not {shown(value)}")
    texts = [clean(text, f"{what} {number}") for number, text in enumerate(texts, start=1)]
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise LineError(f"{what} {number} is empty")
    return texts


def split(line: Line) -> str | None:
    value = line.name("split", at_most=ID_AT_MOST)
    if value is None:
        return None
    if value not in SPLIT_NAMES:
        raise LineError(f'{line.called("split")} "{value}" is none of {", ".join(SPLITS)}')
    return SPLIT_NAMES[value]


def outputs_line(line: Line) -> OutputsLine:
    return OutputsLine(prompt=prompt_line(line), outputs=outputs(line))


def outputs(line: Line) -> list[Answer]:
    """Each output: of `outputs`, or of `model` and `text`, `media` or `parts` where a line holds one."""
    what = line.called("outputs")
    value = listed(line.value("outputs"), what)
    if value is None:
        if line.model("model", required=False) is None or not holds_answer(line):
            raise LineError(f"{what} is missing (nor are there a model and a text of one output)")
        return [answer_of(line)]
    if not isinstance(value, list) or not value:
        raise LineError(f"{what} must be a list with at least one {{model, text}}, not {shown(value)}")
    found = []
    inner = {name: line.map.get(f"outputs.{name}", name) for name in ("model", "text", "media", "parts")}
    for number, entry in enumerate(value, start=1):
        if not isinstance(entry, dict):
            raise LineError(f"{what} {number} must be {{model, text}}, not {shown(entry)}")
        try:
            found.append(answer_of(Line(entry, inner)))
        except LineError as error:
            raise LineError(f"{what} {number}: {error}") from error
    return found


def holds_answer(line: Line) -> bool:
    return any(line.value(name) is not None for name in ("text", "media", "parts"))


def answer_of(line: Line) -> Answer:
    """`parts` win over `text` and `media`; a text may be left out, or be empty, where there is something to see."""
    model = line.model("model", required=True)
    parts = listed(line.value("parts"), line.called("parts"))
    if parts is not None:
        try:
            (message,) = messages_read([{"role": "user", "content": parts}], media_part_read)
        except ValueError as error:
            raise LineError(f"{line.called('parts')}: {error}") from error
        return Answer(model, clean(text_of(message["content"]), line.called("parts")), media_of(message["content"]))
    media = media_list_read(listed(line.value("media"), line.called("media")), line.called("media"))
    if media and not str(line.value("text") or "").strip():
        return Answer(model, "", media)
    return Answer(model, line.required("text"), media)


# --- Votes -----------------------------------------------------------------------------------------------------------


def vote_line(line: Line) -> VoteLine:
    model_a, model_b = line.model("model_a", required=True), line.model("model_b", required=True)
    if model_a == model_b:
        raise LineError(f'model "{model_a}" against itself')
    winner = line.value("winner")
    if winner is None:
        raise LineError(f"{line.called('winner')} is missing")
    if not isinstance(winner, str) or winner.strip() not in WINNERS:
        raise LineError(f"{line.called('winner')} {shown(winner)} is none of {', '.join(WINNERS)}")
    category = line.name("category", at_most=CATEGORY_AT_MOST) or ""
    question = line.name("question_id", at_most=ID_AT_MOST)
    messages = conversation_if_any(line)
    prompt = None
    if messages is not None:
        prompt = PromptLine(messages=messages, category=category, split=split(line), id=question or "")
    texts = line.text("output_a"), line.text("output_b")
    return VoteLine(
        model_a=model_a,
        model_b=model_b,
        winner=winner.strip(),
        judge=line.name("judge", at_most=ID_AT_MOST) or "",
        id=line.name("id", at_most=10_000),
        question_id=question,
        prompt=prompt,
        outputs=texts,
        chars=(chars(line, "chars_a", texts[0]), chars(line, "chars_b", texts[1])),
        category=category,
        occurred_at=timestamp(line),
    )


def chars(line: Line, name: str, text: str | None) -> int | None:
    """The stated length, else the text's, else None."""
    value = line.value(name)
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value == "":
        return None if text is None else len(text)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= CHARS_AT_MOST:
        raise LineError(f"{line.called(name)} must be a number of characters, not {shown(value)}")
    return value


def timestamp(line: Line) -> datetime | None:
    """Unix seconds or ISO 8601 (without a zone: UTC)."""
    value, what = line.value("timestamp"), line.called("timestamp")
    if value is None or value == "":
        return None
    try:
        moment = _moment(value)
    except (ValueError, OverflowError, OSError) as error:
        raise LineError(f"{what} {shown(value)} is neither unix seconds nor ISO 8601") from error
    if moment is None or not EARLIEST <= moment < LATEST:
        raise LineError(f"{what} {shown(value)} is not between 1970 and 2200 (unix seconds, not milliseconds?)")
    return moment


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool):
        raise ValueError("a truth value")
    if isinstance(value, str):
        value = value.strip()
        try:
            value = float(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, tz=UTC) if abs(value) < LATEST.timestamp() else None
    raise ValueError("no moment")


# --- Preferences -----------------------------------------------------------------------------------------------------


def preference_line(line: Line) -> PreferenceLine:
    turns_chosen, chosen = answer(line, "chosen")
    turns_rejected, rejected = answer(line, "rejected")
    messages = conversation_if_any(line)
    if messages is None and turns_chosen:
        if turns_chosen != turns_rejected:
            raise LineError("chosen and rejected are conversations that begin differently")
        messages = messages_clean(turns_chosen, line.called("chosen"))
    if messages is None:
        messages = conversation(line)
    if chosen.strip() == rejected.strip():
        raise LineError("chosen and rejected are the same text")
    prompt = PromptLine(
        messages=messages,
        category=line.name("category", at_most=CATEGORY_AT_MOST) or "",
        split=split(line),
    )
    models = line.model("chosen_model", required=False), line.model("rejected_model", required=False)
    source = line.name("source", at_most=ID_AT_MOST) or ""
    return PreferenceLine(prompt, chosen, rejected, *models, source, line.name("id", at_most=10_000))


def answer(line: Line, name: str) -> tuple[Sequence[dict], str]:
    """An answer's text; where a conversation is given, the turns before its last message, the assistant's, too."""
    what = line.called(name)
    value = line.value(name)
    if isinstance(value, str):
        return [], line.required(name)
    if value is None:
        raise LineError(f"{what} is missing")
    if not isinstance(value, list) or not value:
        raise LineError(f"{what} must be a text or a list of messages, not {shown(value)}")
    last = value[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise LineError(f"{what}: the last message must be the assistant's")
    try:
        # Read as a user's: messages_read refuses a conversation that the assistant ends.
        text = text_of(messages_read([{**last, "role": "user"}])[0]["content"])
    except ValueError as error:
        raise LineError(f"{what} is empty or no text") from error
    return value[:-1], clean(text, what)
