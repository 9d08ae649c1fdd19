"""filter_list: what a task makes of the texts that were written before they are compared (lm_eval.filters, 0.4.13)."""

from collections import Counter
from collections.abc import Callable, Sequence

import regex

from ...errors import TrainingError

SECONDS = 1.0  # that a pattern may take on one text
FIRST = {"name": "none", "filter": [{"function": "take_first"}]}
STEPS = {
    "regex": ("regex_pattern", "group_select", "fallback"),
    "remove_whitespace": (),
    "lowercase": (),
    "uppercase": (),
    "map": ("mapping_dict", "default_value"),
    "take_first": (),
    "take_first_k": ("k",),
    "majority_vote": (),
}
CODE = ("!function utils.build_predictions",)


def filters_check(config: dict, wrong: Callable[[str], TrainingError], *, code: bool) -> None:
    """Raise what `wrong` makes of a filter that is not available, or does not lead to one text."""
    given = config.get("filter_list") or []
    if not isinstance(given, list):
        raise wrong("filter_list must be a list of {name, filter: [{function, …}]}.")
    for one in given:
        steps = one.get("filter") if isinstance(one, dict) else None
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps) or not one.get("name"):
            raise wrong("filter_list must be a list of {name, filter: [{function, …}]}.")
        for step in steps:
            name = step.get("function")
            if name == "custom" and code and step.get("filter_fn") in CODE:
                continue
            if name not in STEPS:
                raise wrong(f"filter {name!r} is none of {', '.join(STEPS)}.")
            if unknown := set(step) - {"function", *STEPS[name]}:
                raise wrong(f"filter {name} takes no {', '.join(sorted(unknown))}.")
            if name == "regex":
                _pattern_check(step, wrong)
            if name == "take_first_k" and not isinstance(step.get("k"), int):
                raise wrong("filter take_first_k needs k, a whole number.")
            if name == "map" and not isinstance(step.get("mapping_dict", {}), dict):
                raise wrong("filter map needs mapping_dict, an object.")
        if not code and steps[-1].get("function") not in ("take_first", "majority_vote"):
            raise wrong(f"filter {one['name']!r} must end with take_first or majority_vote, so that one text is left.")


def _pattern_check(step: dict, wrong: Callable[[str], TrainingError]) -> None:
    try:
        regex.compile(_pattern(step))
    except regex.error as error:
        raise wrong(f"filter regex: {_pattern(step)!r} is no pattern: {error}.") from None
    if not isinstance(step.get("group_select", 0), int):
        raise wrong("filter regex: group_select must be a whole number.")


def _pattern(step: dict) -> str:
    return str(step.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"))


def filtered(steps: list[dict], texts: Sequence[str]) -> str:
    """The one text that is left of a question's answers."""
    found = list(texts)
    for step in steps:
        name = step["function"]
        if name == "regex":
            found = [extracted(step, text) for text in found]
        elif name == "remove_whitespace":
            found = [text.strip() for text in found]
        elif name == "lowercase":
            found = [text.lower() for text in found]
        elif name == "uppercase":
            found = [text.upper() for text in found]
        elif name == "map":
            found = [str(step.get("mapping_dict", {}).get(text, step.get("default_value"))) for text in found]
        elif name == "take_first_k":
            found = found[: step["k"]]
        elif name == "majority_vote":
            found = [Counter(found).most_common(1)[0][0]]
        else:
            found = found[:1]
    return found[0]


def extracted(step: dict, text: str) -> str:
    """RegexFilter: the group_select-th match, of several groups the first that holds something; else the fallback."""
    fallback, select = str(step.get("fallback", "[invalid]")), step.get("group_select", 0)
    try:
        matches = regex.compile(_pattern(step)).findall(text, timeout=SECONDS)
    except TimeoutError:
        return fallback
    if not matches:
        return fallback
    if not -len(matches) <= select < len(matches):
        return fallback
    match = matches[select]
    if isinstance(match, tuple):
        match = next((group for group in match if group), fallback)
    return match.strip()
