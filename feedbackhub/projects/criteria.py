"""Criteria of a rubric: [{key, label, min, max, anchors?}], and how a person writes them, one a line."""

import re

from feedbackhub.core.errors import DomainError

NEEDED = {"key", "label", "min", "max"}
ANCHOR_AT_MOST = 200
RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\s*(?:-|–|\bto\b|\bbis\b)\s*(-?\d+(?:\.\d+)?)")


def criteria_check(criteria: list) -> None:
    """Each criterion is {key, label, min, max} with a key of its own and min < max; anchors: {level: what it means}.

    Raises DomainError naming `criteria`, and which one is wrong in what.
    """
    keys = set()
    for position, criterion in enumerate(criteria, start=1):
        problem = _problem(criterion)
        if not problem and criterion["key"] in keys:
            problem = f'the key "{criterion["key"]}" is taken by an earlier one.'
        if problem:
            message = f"criterion {position}: {problem}"
            raise DomainError(message, fields={"criteria": message})
        keys.add(criterion["key"])


def _problem(criterion: object) -> str:
    if not isinstance(criterion, dict) or not NEEDED <= set(criterion) <= NEEDED | {"anchors"}:
        return "give exactly key, label, min and max, and anchors if you like."
    if not all(isinstance(criterion[name], str) and criterion[name] for name in ("key", "label")):
        return "key and label must be texts."
    if not all(_is_number(criterion[name]) for name in ("min", "max")):
        return "min and max must be numbers."
    if criterion["min"] >= criterion["max"]:
        return "min must be below max."
    return _anchors_problem(criterion)


def _anchors_problem(criterion: dict) -> str:
    anchors = criterion.get("anchors", {})
    if not isinstance(anchors, dict) or not all(isinstance(text, str) and text for text in anchors.values()):
        return 'anchors must be an object of level and text, such as {"1": "all wrong", "5": "all right"}.'
    for level, text in anchors.items():
        try:
            number = float(level)
        except ValueError:
            return f'anchors: "{level}" is no level.'
        if not criterion["min"] <= number <= criterion["max"]:
            return f"anchors: level {level} is not from {criterion['min']} to {criterion['max']}."
        if len(text) > ANCHOR_AT_MOST:
            return f"anchors: what level {level} means is longer than {ANCHOR_AT_MOST} characters."
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def criteria_change_check(before: list[dict], after: list[dict]) -> None:
    """Keys and ranges stay as they are once a project has criteria: scores were given by them. Raises DomainError."""
    fixed = [[(one["key"], one["min"], one["max"]) for one in criteria] for criteria in (before, after)]
    if before and fixed[1][: len(before)] != fixed[0]:
        message = (
            "The keys and ranges of criteria stay: scores were given by them. Change labels and anchors, or add some."
        )
        raise DomainError(message, fields={"criteria": message})


# --- As a person writes them --------------------------------------------------------------------------------------


def criteria_read(text: str) -> list[dict]:
    """One criterion a line: `key | label | 1 to 5 | 1: all wrong; 5: all right`; the last part may be left out.

    Raises DomainError naming the line. What the numbers come to, criteria_check says.
    """
    return [_line_read(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _line_read(number: int, line: str) -> dict:
    parts = [part.strip() for part in line.split("|")]
    found = RANGE.fullmatch(parts[2]) if len(parts) in (3, 4) else None
    if found is None:
        message = f"line {number}: write key | label | 1 to 5, and if you like | 1: all wrong; 5: all right."
        raise DomainError(message, fields={"criteria": message})
    criterion: dict = {"key": parts[0], "label": parts[1], "min": _number(found[1]), "max": _number(found[2])}
    anchors = {}
    for anchor in filter(None, (one.strip() for one in (parts[3].split(";") if len(parts) == 4 else []))):
        level, colon, meaning = anchor.partition(":")
        if not colon:
            message = f'line {number}: "{anchor}" is no anchor; write the level, a colon, and what it means.'
            raise DomainError(message, fields={"criteria": message})
        anchors[level.strip()] = meaning.strip()
    return {**criterion, "anchors": anchors} if anchors else criterion


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def criteria_written(criteria: list[dict]) -> str:
    """As criteria_read reads them."""
    lines = []
    for one in criteria:
        anchors = "; ".join(f"{level}: {meaning}" for level, meaning in one.get("anchors", {}).items())
        lines.append(" | ".join([one["key"], one["label"], f"{one['min']} to {one['max']}", *filter(None, [anchors])]))
    return "\n".join(lines)
