"""What a line of each kind may hold, and how a source's own field names are brought to ours."""

import json
from collections.abc import Mapping
from string import Formatter

from django.utils.translation import gettext_lazy as _

from feedbackhub.core.errors import DomainError

PROMPT_FIELDS = {
    "prompt": _("the prompt's text"),
    "messages": _("the conversation, [{role, content}]; wins over prompt"),
    "references": _("texts that a good answer resembles"),
    "category": _("for leaderboards by category"),
    "language": _("such as en, de or German; for groups of raters"),
    "split": _("train, validation or test; without it a hash decides"),
    "id": _("the source's own id"),
}
FIELDS: dict[str, dict[str, str]] = {
    "prompts": PROMPT_FIELDS,
    "outputs": {
        **PROMPT_FIELDS,
        "outputs": "[{model, text, media?}]",
        "outputs.model": _("the model's name within each of the outputs"),
        "outputs.text": _("the text within each of the outputs"),
        "outputs.media": _("the pictures and videos within each of the outputs"),
        "outputs.parts": _("text, pictures and videos within each of the outputs, in one list"),
        "model": _("the model's name, where a line holds one output"),
        "text": _("the output's text, where a line holds one output"),
        "media": _("the output's pictures and videos, [{type, url or file, alt}], where a line holds one output"),
        "parts": _("text, pictures and videos in one list, where a line holds one output"),
    },
    "votes": {
        "model_a": _("name of the one model"),
        "model_b": _("name of the other"),
        "winner": _("model_a, model_b, tie or both_bad"),
        "judge": _("who judged"),
        "question_id": _("the question's id; a prompt imported with this id is linked"),
        "prompt": _("the prompt's text"),
        "messages": _("the conversation, [{role, content}]; wins over prompt"),
        "output_a": _("what model_a answered"),
        "output_b": _("what model_b answered"),
        "chars_a": _("length of model_a's answer, where its text is absent"),
        "chars_b": _("length of model_b's answer, where its text is absent"),
        "category": _("for leaderboards by category"),
        "split": _("of the prompt: train, validation or test"),
        "timestamp": _("unix seconds or ISO 8601"),
        "id": _("the source's own id"),
    },
    "preferences": {
        "prompt": _("the prompt's text"),
        "messages": _("the conversation, [{role, content}]; wins over prompt"),
        "chosen": _("the better answer"),
        "rejected": _("the worse answer"),
        "chosen_model": _("who wrote the better one"),
        "rejected_model": _("who wrote the worse one"),
        "source": _("where the judgment is from"),
        "category": _("for leaderboards by category"),
        "split": _("train, validation or test; without it a hash decides"),
        "id": _("the source's own id"),
    },
}
MISSING = object()


class LineError(ValueError):
    """Why a line is not taken, in words. The line's number is told beside it."""


# --- The map: our field → theirs -------------------------------------------------------------------------------


def map_check(kind: str, field_map: object) -> dict[str, str]:
    """The map as stored: our field → a field of the source, or "" for "leave it out".

    Raises DomainError: not an object, a field that this kind does not have, a name that is no text.
    """
    if field_map is None:
        return {}
    if not isinstance(field_map, Mapping):
        _refuse("map", _('map must be a JSON object of our field → theirs, like {"prompt": "question"}.'))
    checked = {}
    for ours, theirs in field_map.items():
        if ours not in FIELDS[kind]:
            _refuse(
                "map",
                _('map: %(kind)s have no field "%(ours)s"; there are %(names)s.')
                % {"kind": kind, "ours": ours, "names": ", ".join(FIELDS[kind])},
            )
        if theirs is not None and not isinstance(theirs, str):
            _refuse(
                "map",
                _('map: "%(ours)s" must name a field of the source (a text), not %(given)s.')
                % {"ours": ours, "given": json.dumps(theirs)[:80]},
            )
        checked[ours] = theirs or ""
    return checked


def lookup(row: dict, path: str) -> object:
    """The value of `path` in a row: the field of that very name, else step by step along the dots. MISSING if none."""
    if path in row:
        return row[path]
    value: object = row
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


# --- The template: a prompt written from the source's fields ---------------------------------------------------


def template_check(template: str) -> str:
    """The template, if its braces are whole and each names a field. Raises DomainError."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        _refuse(
            "template", _("template: %(error)s. Write {{ and }} for braces that are meant as such.") % {"error": error}
        )
    for _text, name, spec, conversion in parts:
        if name is not None and not name.strip():
            _refuse("template", _("template: {} names no field; write {field}, or {{}} for the braces themselves."))
        if spec or conversion:
            _refuse(
                "template", _("template: {%(name)s} takes a field's name only, no : or ! behind it.") % {"name": name}
            )
    return template


def template_fill(template: str, row: dict) -> str:
    """The template with the row's values; an empty value (null) is the empty text.

    Raises LineError naming a field that the row does not have.
    """
    written = []
    for text, name, *_rest in Formatter().parse(template):
        written.append(text)
        if name is None:
            continue
        value = lookup(row, name.strip())
        if value is MISSING:
            there = ", ".join(list(map(str, row))[:20]) or "none"
            raise LineError(f'the template names "{name.strip()}", which this line does not have (its fields: {there})')
        written.append(_as_text(value))
    return "".join(written)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})
