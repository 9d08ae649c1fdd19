"""A judgment as it is sent (CONTRACT's shape): read strictly, every error naming its field."""

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import TaskKind

from .models import Judgment
from .spans import spans_read

COMMENT_AT_MOST = 10_000
CORRECTION_AT_MOST = 100_000
FLAGS_AT_MOST = 20
FLAG_AT_MOST = 60
DURATION_AT_MOST = 2**31 - 1
ID_AT_MOST = 2**63 - 1


@dataclass(frozen=True)
class Asked:
    """What a judgment answers: the kind of task, its project's criteria, the output ids in the order served.

    texts: gives {output id: its text as shown} of those outputs; asked only where spans were marked.
    """

    kind: str
    criteria: list[dict]
    served: list[int]
    texts: Callable[[], Mapping[int, str]] = dict


@dataclass
class Said:
    """A checked judgment. tiers: {output: tier}, 0 is best; empty where the kind asks for no order."""

    key: uuid.UUID
    shown: list[int]
    duration_ms: int
    tiers: dict[int, int] = field(default_factory=dict)
    none_acceptable: bool = False
    strength: str = ""
    thumbs: dict[int, int] = field(default_factory=dict)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    correction: dict[int, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    comment: str = ""
    supersedes: int | None = None


def payload_digest(task_id: int, payload: dict) -> str:
    """Of what was said of which task: the same key with another digest is another judgment.

    How long it took is left out: a client that sends again may measure again.
    """
    said = {name: value for name, value in payload.items() if name != "duration_ms"}
    text = json.dumps([task_id, said], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def judgment_read(payload: object, asked: Asked) -> Said:
    """Check a whole judgment. Raises DomainError whose `fields` names everything that is wrong or unknown."""
    if not isinstance(payload, dict):
        raise DomainError("A judgment is a JSON object.", fields={"ranking": "missing"})
    errors = {name: f"unknown field; the fields are {', '.join(READ)}." for name in payload if name not in READ}
    values: dict[str, Any] = {}
    for name, read in READ.items():
        given = payload.get(name)
        try:
            if given is not None:
                values[_ATTRIBUTE.get(name, name)] = read(given, asked)
            elif name in _REQUIRED or name in _REQUIRED_OF[asked.kind]:
                raise ValueError(f"is missing: {_REQUIRED.get(name) or _REQUIRED_OF[asked.kind][name]}")
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise DomainError("; ".join(f"{name} {problem}" for name, problem in errors.items()), fields=errors)
    if asked.kind in (TaskKind.THUMBS, TaskKind.SCORES):
        values.pop("tiers", None)
    return Said(**values)


def expected_read(given: object, asked: Asked) -> dict:
    """Check the known answer of a gold item: the part of a judgment that its kind asks for, as JSON keeps it.

    Raises DomainError naming `expected`.
    """
    wanted = next(iter(_REQUIRED_OF[asked.kind]))
    try:
        if not isinstance(given, dict) or wanted not in given:
            raise ValueError(f"must hold {wanted}: {_REQUIRED_OF[asked.kind][wanted]}")
        if unknown := sorted(set(given) - {wanted, "none_acceptable"}):
            raise ValueError(f'"{unknown[0]}" says nothing of what is right; give {wanted}.')
        READ[wanted](given[wanted], asked)
        if "none_acceptable" in given:
            _none_acceptable(given["none_acceptable"], asked)
    except ValueError as error:
        message = f"expected {error}"
        raise DomainError(message, fields={"expected": message}) from error
    return dict(given)


# --- Field by field ----------------------------------------------------------------------------------------------


def _key(given: object, asked: Asked) -> uuid.UUID:
    try:
        return uuid.UUID(given) if isinstance(given, str) else _refuse()
    except ValueError as error:
        raise ValueError("must be a UUID of your own making, new for every judgment.") from error


def _refuse() -> uuid.UUID:
    raise ValueError


def _shown(given: object, asked: Asked) -> list[int]:
    if not asked.served:
        raise ValueError("cannot be right: this task was never served to you. Ask for the next task first.")
    if not isinstance(given, list) or not all(_is_id(one) for one in given) or given != asked.served:
        raise ValueError(f"must be the outputs in the order served: {asked.served}.")
    return given


def _tiers(given: object, asked: Asked) -> dict[int, int]:
    there = ", ".join(map(str, sorted(asked.served)))
    problem = f"must hold each of the outputs {there} exactly once, best first, ties in one list."
    if not isinstance(given, list) or not all(isinstance(tier, list) and tier for tier in given):
        raise ValueError(problem)
    ranked = [output for tier in given for output in tier]
    if not all(_is_id(output) for output in ranked) or sorted(ranked) != sorted(asked.served):
        raise ValueError(problem)
    return {output: place for place, tier in enumerate(given) for output in tier}


def _none_acceptable(given: object, asked: Asked) -> bool:
    if not isinstance(given, bool):
        raise ValueError("must be true or false.")
    if given and asked.kind in (TaskKind.THUMBS, TaskKind.SCORES):
        raise ValueError(f"says something of a comparison; this task is of kind {asked.kind}.")
    return given


def _strength(given: object, asked: Asked) -> str:
    if given not in Judgment.Strength.values:
        raise ValueError(f'"{given}" is none of {", ".join(Judgment.Strength.values)}.')
    if asked.kind in (TaskKind.THUMBS, TaskKind.SCORES):
        raise ValueError(f"says something of a comparison; this task is of kind {asked.kind}.")
    return given


def _thumbs(given: object, asked: Asked) -> dict[int, int]:
    thumbs = _by_output(given, asked)
    for thumb in thumbs.values():
        if isinstance(thumb, bool) or thumb not in (1, -1):
            raise ValueError(f"must be 1 or -1 for each output, not {thumb!r}.")
    if asked.kind == TaskKind.THUMBS and len(thumbs) < len(asked.served):
        raise ValueError("must say 1 or -1 of every output shown.")
    return {output: int(thumb) for output, thumb in thumbs.items()}


def _scores(given: object, asked: Asked) -> dict[int, dict[str, float]]:
    scores = _by_output(given, asked)
    criteria = {criterion["key"]: criterion for criterion in asked.criteria}
    for output, marks in scores.items():
        if not isinstance(marks, dict):
            raise ValueError(f"of output {output} must be an object of criterion and number.")
        if unknown := sorted(str(key) for key in marks if key not in criteria):
            there = ", ".join(criteria) or "none"
            raise ValueError(f'of output {output}: "{unknown[0]}" is no criterion of the project; there are: {there}.')
        if asked.kind == TaskKind.SCORES and (missing := [key for key in criteria if key not in marks]):
            raise ValueError(f'of output {output}: "{missing[0]}" is missing.')
        for key, mark in marks.items():
            low, high = criteria[key]["min"], criteria[key]["max"]
            if not _is_number(mark) or not low <= mark <= high:
                raise ValueError(f'of output {output}: "{key}" must be a number from {low} to {high}.')
    if asked.kind == TaskKind.SCORES and len(scores) < len(asked.served):
        raise ValueError("must be given for every output shown.")
    return scores


def _correction(given: object, asked: Asked) -> dict[int, str]:
    return {output: _text(text, CORRECTION_AT_MOST) for output, text in _by_output(given, asked).items()}


def _flags(given: object, asked: Asked) -> list[str]:
    if not isinstance(given, list) or len(given) > FLAGS_AT_MOST:
        raise ValueError(f"must be a list of at most {FLAGS_AT_MOST} texts.")
    return list(dict.fromkeys(_text(flag, FLAG_AT_MOST) for flag in given))


def _spans(given: object, asked: Asked) -> list[dict[str, Any]]:
    return spans_read(given, asked.texts() if given else {})


def _comment(given: object, asked: Asked) -> str:
    return _text(given, COMMENT_AT_MOST)


def _duration(given: object, asked: Asked) -> int:
    if not _is_number(given) or not 0 <= given <= DURATION_AT_MOST:
        raise ValueError(f"must be a number of milliseconds from 0 to {DURATION_AT_MOST}.")
    return round(given)


def _supersedes(given: object, asked: Asked) -> int:
    if not _is_id(given):
        raise ValueError("must be the id of the judgment that this one replaces.")
    return given


READ: dict[str, Callable[[Any, Asked], Any]] = {
    "key": _key,
    "ranking": _tiers,
    "none_acceptable": _none_acceptable,
    "strength": _strength,
    "thumbs": _thumbs,
    "scores": _scores,
    "correction": _correction,
    "flags": _flags,
    "spans": _spans,
    "comment": _comment,
    "shown": _shown,
    "duration_ms": _duration,
    "supersedes": _supersedes,
}
_ATTRIBUTE = {"ranking": "tiers"}
_REQUIRED = {
    "key": "send a new UUID with every judgment, and the same one when you send it again.",
    "shown": "send the output ids in the order they were served.",
    "duration_ms": "send how long it took, in milliseconds.",
}
_RANKING = {"ranking": "send the outputs best first, ties in one list."}
_REQUIRED_OF: dict[str, dict[str, str]] = {
    TaskKind.PAIRWISE: _RANKING,
    TaskKind.RANKING: _RANKING,
    TaskKind.THUMBS: {"thumbs": "send 1 or -1 for every output."},
    TaskKind.SCORES: {"scores": "send a number for every output and criterion."},
}


# --- Values --------------------------------------------------------------------------------------------------------


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= ID_AT_MOST


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _by_output(given: object, asked: Asked) -> dict[int, Any]:
    """{output id: value}; JSON writes the ids as texts."""
    if not isinstance(given, dict):
        raise ValueError("must be an object of output id and value.")
    ids = {str(output): output for output in asked.served}
    if unknown := [output for output in given if str(output) not in ids]:
        raise ValueError(f'names output "{unknown[0]}"; those shown are {", ".join(ids) or "none"}.')
    return {ids[str(output)]: value for output, value in given.items()}


def _text(value: object, at_most: int) -> str:
    if not isinstance(value, str) or len(value) > at_most:
        raise ValueError(f"must be a text of at most {at_most} characters.")
    # No database stores a NUL, or half of a surrogate pair, in a text.
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
