"""A judgment in the OpenAPI schema. The service itself reads it (rating/payload.py), to name all that is wrong."""

from feedbackhub.projects.models import TaskKind
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.payload import READ
from feedbackhub.rating.spans import FIELDS, REASON_AT_MOST, SPANS_AT_MOST

_ID = {"type": "integer", "minimum": 1}
_REASONS = ", ".join(Judgment.SpanReason.values)

SPAN = {
    "type": "object",
    "description": (
        "A marked passage of an output. start and end count characters (Unicode code points) of the output's stored "
        "text, as the task gives it, from 0; end is the first that is not marked."
    ),
    "properties": {
        "output": _ID,
        "start": {"type": "integer", "minimum": 0},
        "end": {"type": "integer", "minimum": 1},
        "text": {"type": "string", "description": "What stands there; refused where it does not. May be left out."},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": REASON_AT_MOST,
            "description": f"One of {_REASONS}, or a short text of your own.",
        },
    },
    "required": [name for name in FIELDS if name != "text"],
    "additionalProperties": False,
}
_BY_OUTPUT = "By output id."
_PROPERTIES = {
    "key": {"type": "string", "format": "uuid", "description": "Of your making; the same one when you send it again."},
    "ranking": {
        "type": "array",
        "items": {"type": "array", "items": _ID},
        "description": f"Best first, ties in one list. For {TaskKind.PAIRWISE} and {TaskKind.RANKING}.",
    },
    "none_acceptable": {"type": "boolean"},
    "strength": {"type": "string", "enum": Judgment.Strength.values},
    "thumbs": {"type": "object", "additionalProperties": {"enum": [1, -1]}, "description": _BY_OUTPUT},
    "scores": {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "number"}},
        "description": "By output id, then by the criterion's key.",
    },
    "correction": {"type": "object", "additionalProperties": {"type": "string"}, "description": _BY_OUTPUT},
    "flags": {"type": "array", "items": {"type": "string"}},
    "spans": {"type": "array", "items": SPAN, "maxItems": SPANS_AT_MOST},
    "comment": {"type": "string"},
    "shown": {"type": "array", "items": _ID, "description": "The outputs in the order in which they were served."},
    "duration_ms": {"type": "number", "minimum": 0},
    "supersedes": {**_ID, "description": "The judgment of yours that this one replaces."},
}
JUDGMENT = {
    "type": "object",
    "properties": {name: _PROPERTIES[name] for name in READ},
    "required": ["key", "shown", "duration_ms"],
    "additionalProperties": False,
}
