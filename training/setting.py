"""What a setting is: a field with its help and bounds, and how given values are held against them."""

import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, get_args

from .errors import TrainingError


def setting(default: Any, help: str, *, minimum=None, maximum=None, choices=None, pattern=None) -> Any:
    """A field of a settings class; the bounds are inclusive. pattern: what a text without choices must match, whole."""
    rule = {"help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "pattern": pattern}
    return field(default=default, metadata=rule)


@dataclass(frozen=True)
class Settings:
    """What all settings classes can do."""

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Settings with these values and defaults for the rest.

        Raises TrainingError (`bad_setting`) naming every unknown name and bad value, and what would do.
        """
        if not isinstance(values, dict):
            raise TrainingError("bad_setting", f"run.json: settings must be an object, not {values!r}.")
        rules = {rule.name: rule for rule in fields(cls)}
        problems = []
        for name, value in values.items():
            if name not in rules:
                problems.append(f'"{name}" is no setting of {cls.recipe}; these are: {", ".join(rules)}')
            elif problem := problem_with(value, rules[name]):
                problems.append(f"{name} {problem}; it is {value!r}")
        if problems:
            raise TrainingError("bad_setting", f"run.json, settings: {'. '.join(problems)}.")
        return cls(**values)

    def as_dict(self) -> dict:
        return asdict(self)


def type_of(rule) -> tuple[type, bool]:
    """(type, may be None) of a settings field."""
    kinds = get_args(rule.type) or (rule.type,)
    return kinds[0], type(None) in kinds


def problem_with(value: object, rule) -> str:
    """What is wrong with a field's value, or the empty text."""
    kind, optional = type_of(rule)
    bounds = rule.metadata
    if value is None:
        return "" if optional else "must have a value"
    if kind is str:
        if not isinstance(value, str):
            return "must be a text"
        if bounds["choices"] and value not in bounds["choices"]:
            return f"must be one of {', '.join(bounds['choices'])}"
        if bounds["pattern"] and not re.fullmatch(bounds["pattern"], value):
            return f"is not written as its help says ({rule.metadata['help']})"
        return ""
    if kind is bool:
        return "" if isinstance(value, bool) else "must be true or false"
    number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return "must be a whole number" if kind is int else "must be a number"
    low, high = bounds["minimum"], bounds["maximum"]
    if low is not None and value < low:
        return f"must be at least {low}"
    if high is not None and value > high:
        return f"must be at most {high}"
    return ""
