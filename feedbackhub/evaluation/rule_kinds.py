"""The kinds of rules: what an answer can be asked to be.

A hostile answer or pattern costs a bounded time: patterns run in `regex` with a time limit, JSON schemas as well.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import jsonschema
import regex
from django.utils.translation import gettext_lazy as _
from referencing import Registry

from feedbackhub.core.json_reading import json_read

from .reasons import Reason, reason
from .words import same_words, word_f1

SECONDS = 0.25  # that one pattern may take on one text


class TooSlow(Exception):
    """A pattern took longer than a pattern may."""


@dataclass(frozen=True)
class Answered:
    """One answer to an item: its text, and the cosine with its likest reference where that was asked for."""

    text: str
    similarity: float | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of rule. `check(rule, answer, references)`: why the answer breaks it, or None when it does not."""

    help: str
    parameters: dict[str, "Parameter"]
    check: Callable[[dict, Answered, Sequence[str]], Reason | None] | None = None


@dataclass(frozen=True)
class Parameter:
    type: type
    required: bool = False
    default: object = None
    choices: tuple = ()
    minimum: float | None = None
    maximum: float | None = None


# --- The kinds -------------------------------------------------------------------------------------------------------


def searched(pattern: str, text: str, *, ignore_case: bool) -> bool:
    """Whether the pattern is anywhere in the text. Raises TooSlow after SECONDS."""
    try:
        return _compiled(pattern, ignore_case).search(text, timeout=SECONDS) is not None
    except TimeoutError:
        raise TooSlow from None


@lru_cache(maxsize=256)
def _compiled(pattern: str, ignore_case: bool):
    return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)


@lru_cache(maxsize=64)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    """A validator that fetches nothing and whose patterns have a time limit."""

    def pattern(validator, wanted, instance, schema):
        if validator.is_type(instance, "string") and not searched(wanted, instance, ignore_case=False):
            yield jsonschema.ValidationError(f"{instance[:50]!r} does not match {wanted!r}")

    def pattern_properties(validator, patterns, instance, schema):
        if validator.is_type(instance, "object"):
            for wanted, below in patterns.items():
                for key, value in instance.items():
                    if searched(wanted, key, ignore_case=False):
                        yield from validator.descend(value, below, path=key, schema_path=wanted)

    ours = {"pattern": pattern, "patternProperties": pattern_properties}
    kind = jsonschema.validators.extend(jsonschema.Draft202012Validator, ours)
    return kind(json.loads(schema), registry=Registry())


def _folded(rule: dict, text: str) -> str:
    return text if rule.get("match_case") else text.casefold()


def _contains(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    text = _folded(rule, answer.text)
    missing = [wanted for wanted in rule["texts"] if _folded(rule, wanted) not in text]
    if rule.get("any"):
        return None if len(missing) < len(rule["texts"]) else reason("has_none_of", texts=rule["texts"])
    return reason("lacks", texts=missing) if missing else None


def _not_contains(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    text = _folded(rule, answer.text)
    found = [unwanted for unwanted in rule["texts"] if _folded(rule, unwanted) in text]
    return reason("has", texts=found) if found else None


def _stop_words(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    said = {word.casefold() for word in regex.findall(r"[\p{L}\p{N}]+(?:[-'’][\p{L}\p{N}]+)*", answer.text)}
    text = f" {' '.join(answer.text.casefold().split())} "
    found = [
        word
        for word in rule["words"]
        if (word.casefold() in said if " " not in word else f" {word.casefold()} " in text)
    ]
    return reason("says", texts=found) if found else None


def _regex(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    found = searched(rule["pattern"], answer.text, ignore_case=not rule.get("match_case"))
    if rule.get("absent"):
        return reason("matches", pattern=rule["pattern"]) if found else None
    return None if found else reason("matches_not", pattern=rule["pattern"])


def _json(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    text = answer.text.strip()
    if rule.get("fenced") and (fence := regex.fullmatch(r"```(?:json)?\s*\n(.*)\n```", text, regex.DOTALL)):
        text = fence[1]
    try:
        value = json_read(text)
    except ValueError as error:
        return reason("no_json", error=str(error))
    if not rule.get("schema"):
        return None
    try:
        wrong = next(_validator(json.dumps(rule["schema"], sort_keys=True)).iter_errors(value), None)
    except RecursionError:  # a schema that refers to itself without end
        return reason("too_deep")
    if wrong is None:
        return None
    place = "/".join(map(str, wrong.absolute_path))
    if not place:
        return reason("no_fit_whole", error=wrong.message[:200])
    return reason("no_fit", place=place, error=wrong.message[:200])


UNITS = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "lines": lambda text: len(text.splitlines()),
    "sentences": lambda text: len(regex.findall(r"[^.!?…。！？]*[\p{L}\p{N}][^.!?…。！？]*(?:[.!?…。！？]+|$)", text)),
}


def _length(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    count, unit = UNITS[rule["unit"]](answer.text.strip()), rule["unit"]
    if rule.get("min") is not None and count < rule["min"]:
        return reason("fewer", count=count, unit=unit, limit=rule["min"])
    if rule.get("max") is not None and count > rule["max"]:
        return reason("more", count=count, unit=unit, limit=rule["max"])
    return None


def repeated_share(text: str, n: int) -> float:
    """The share of a text's n-grams of words that have occurred before in it; 0 for a text of fewer than n words."""
    words = text.casefold().split()
    grams = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
    total = sum(grams.values())
    return 1 - len(grams) / total if total else 0.0


def _repetition(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    share = repeated_share(answer.text, rule["n"])
    return reason("repeats", share=share, n=rule["n"]) if share > rule["at_most"] else None


@lru_cache(maxsize=1)
def _identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> tuple[str, float]:
    """(ISO 639-1 code, probability) of the language that a text is in, by py3langid (97 languages)."""
    code, probability = _identifier().classify(text)
    return code, float(probability)


def languages() -> list[str]:
    return sorted(_identifier().labels)


def _language(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    if not answer.text.strip():
        return reason("empty")
    code, probability = language_of(answer.text)
    if code == rule["language"]:
        return None
    return reason("other_language", found=code, share=probability, wanted=rule["language"])


def _equals(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    right = rule.get("texts") or references
    return None if any(same_words(answer.text, one) for one in right) else reason("not_right")


def _like(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    best = max((word_f1(answer.text, one) for one in references), default=0.0)
    return reason("little_shared", value=best) if best < rule["at_least"] else None


def _similarity(rule: dict, answer: Answered, references: Sequence[str]) -> Reason | None:
    if answer.similarity is None:
        return reason("empty")
    return reason("unlike", value=answer.similarity) if answer.similarity < rule["at_least"] else None


_SHARE = {"minimum": 0, "maximum": 1}
KINDS: dict[str, Kind] = {
    "contains": Kind(
        _("Has these texts: all, or any of them."),
        {"texts": Parameter(list, True), "any": Parameter(bool), "match_case": Parameter(bool)},
        _contains,
    ),
    "not_contains": Kind(
        _("Has none of these texts."),
        {"texts": Parameter(list, True), "match_case": Parameter(bool)},
        _not_contains,
    ),
    "stop_words": Kind(_("Says none of these words."), {"words": Parameter(list, True)}, _stop_words),
    "regex": Kind(
        _("Matches a pattern; or does not, with absent: true."),
        {"pattern": Parameter(str, True), "absent": Parameter(bool), "match_case": Parameter(bool)},
        _regex,
    ),
    "json": Kind(
        _("Is JSON, and fits a JSON schema where one is given; fenced: true allows a code fence."),
        {"schema": Parameter(dict), "fenced": Parameter(bool)},
        _json,
    ),
    "length": Kind(
        _("Has from min to max characters, words, sentences or lines."),
        {
            "min": Parameter(int, minimum=0),
            "max": Parameter(int, minimum=0),
            "unit": Parameter(str, default="words", choices=tuple(UNITS)),
        },
        _length,
    ),
    "repetition": Kind(
        _("Repeats at most a share of its runs of n words."),
        {"n": Parameter(int, default=4, minimum=1, maximum=20), "at_most": Parameter(float, default=0.2, **_SHARE)},
        _repetition,
    ),
    "language": Kind(_("Is in a language (en, de, …)."), {"language": Parameter(str, True)}, _language),
    "equals": Kind(
        _("Is one of these texts, or of the item’s references, but for case, punctuation and articles."),
        {"texts": Parameter(list)},
        _equals,
    ),
    "word_f1": Kind(
        _("Shares words with a reference, by F1."),
        {"at_least": Parameter(float, default=0.5, **_SHARE)},
        _like,
    ),
    "similarity": Kind(
        _("Is like a reference by embeddings of a local model (cosine)."),
        {"at_least": Parameter(float, default=0.5, minimum=-1, maximum=1)},
        _similarity,
    ),
    "consistent": Kind(
        _("Answers alike over paraphrases or over seeds: the mean F1 of words of its pairs of answers."),
        {
            "over": Parameter(str, default="paraphrases", choices=("paraphrases", "seeds")),
            "at_least": Parameter(float, default=0.5, **_SHARE),
        },
    ),
}
NEEDS_REFERENCES = ("word_f1", "similarity")
