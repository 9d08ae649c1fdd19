"""Rules that give an answer a number from 0 to 1: what they want is said in the settings `rule_…`."""

import re
from collections.abc import Callable

from ..config import Online
from ..errors import TrainingError

Rule = Callable[[str], float]


def rules_of(settings: Online) -> list[Rule]:
    """The rules that the settings name. Raises TrainingError (`bad_setting`) for a regular expression that is none."""
    rules: list[Rule] = []
    if settings.rule_min_words:
        rules.append(lambda text: min(1.0, len(text.split()) / settings.rule_min_words))
    if settings.rule_max_words:
        rules.append(lambda text: min(1.0, settings.rule_max_words / max(1, len(text.split()))))
    if wanted := phrases(settings.rule_contains):
        rules.append(lambda text: sum(phrase in text.casefold() for phrase in wanted) / len(wanted))
    if unwanted := phrases(settings.rule_excludes):
        rules.append(lambda text: 1 - sum(phrase in text.casefold() for phrase in unwanted) / len(unwanted))
    if settings.rule_regex:
        try:
            pattern = re.compile(settings.rule_regex)
        except re.error as error:
            message = f"run.json, settings: rule_regex is no regular expression: {error}."
            raise TrainingError("bad_setting", message) from None
        rules.append(lambda text: float(bool(pattern.search(text))))
    return rules


def phrases(given: str | None) -> list[str]:
    """Phrases between semicolons, without regard to case; empty ones are passed over."""
    return [phrase.strip().casefold() for phrase in (given or "").split(";") if phrase.strip()]
