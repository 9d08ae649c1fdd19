"""The rules of a suite: read and checked when they are written down, applied to what a model answered.

Pure: a rule is a dict `{kind, name, …}`, an answer is text.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import jsonschema
import regex
from django.utils.translation import gettext as _

from .reasons import Reason, reason
from .rule_kinds import KINDS, SECONDS, Answered, Parameter, TooSlow, languages, searched
from .words import word_f1

NAME, PATTERN, TEXTS = 60, 1000, 500
SLOW_AT_MOST = 20
SCHEMA_CHARACTERS, ANSWER_CHARACTERS = 50_000, 200_000


class RuleError(ValueError):
    """A rule that cannot be used, in words."""


def rules_read(given: object) -> list[dict]:
    """Rules as they are kept: defaults filled in, each with a name. Raises RuleError naming the rule."""
    if not isinstance(given, list):
        raise RuleError(_("Rules are a list, such as [{kind: length, max: 100}]."))
    read = [_rule_read(rule, number) for number, rule in enumerate(given, 1)]
    names = Counter(rule["name"] for rule in read)
    if twice := [name for name, count in names.items() if count > 1]:
        raise RuleError(_('two rules are called "%(name)s": give them names of their own.') % {"name": twice[0]})
    return read


def _rule_read(given: object, number: int) -> dict:
    if not isinstance(given, dict) or given.get("kind") not in KINDS:
        kind = given.get("kind") if isinstance(given, dict) else given
        words = _('rule %(number)s: kind "%(kind)s" is none of %(kinds)s.')
        raise RuleError(words % {"number": number, "kind": kind, "kinds": ", ".join(KINDS)})
    kind, parameters = given["kind"], KINDS[given["kind"]].parameters

    def wrong(what: str) -> RuleError:
        return RuleError(_("rule %(number)s (%(kind)s): %(what)s") % {"number": number, "kind": kind, "what": what})

    if unknown := set(given) - set(parameters) - {"kind", "name"}:
        known = ", ".join([*parameters, "name"])
        raise wrong(_('"%(name)s" is unknown; it takes %(known)s.') % {"name": min(map(str, unknown)), "known": known})
    name = given.get("name", kind)
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= NAME:
        raise wrong(_("a name has 1 to %(most)s characters.") % {"most": NAME})
    rule = {"kind": kind, "name": name.strip()}
    for parameter, about in parameters.items():
        value = given.get(parameter, about.default)
        if value is None:
            if about.required:
                raise wrong(_("%(name)s is missing.") % {"name": parameter})
            continue
        if problem := _value_problem(value, about):
            raise wrong(f"{parameter} {problem}")
        rule[parameter] = value
    return _whole_check(rule, wrong)


def _value_problem(value: object, about: Parameter) -> str:
    kinds = {float: (int, float), int: (int,)}.get(about.type, (about.type,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and about.type is not bool):
        names = {list: _("a list of texts"), dict: _("an object"), str: _("a text"), bool: "true / false"}
        return _("must be %(what)s.") % {"what": names.get(about.type, _("a number"))}
    if about.choices and value not in about.choices:
        return _("is none of %(choices)s.") % {"choices": ", ".join(about.choices)}
    if about.minimum is not None and value < about.minimum or about.maximum is not None and value > about.maximum:
        return _("is out of range.")
    if about.type is list and not (
        1 <= len(value) <= TEXTS and all(isinstance(text, str) and text.strip() for text in value)
    ):
        return _("must be a list of texts.")
    return ""


def _whole_check(rule: dict, wrong: Callable[[str], RuleError]) -> dict:
    kind = rule["kind"]
    if kind == "regex":
        if len(rule["pattern"]) > PATTERN:
            raise wrong(_("a pattern has at most %(most)s characters.") % {"most": PATTERN})
        try:
            searched(rule["pattern"], "", ignore_case=True)
        except regex.error as error:
            raise wrong(_("this is no pattern: %(error)s.") % {"error": error}) from None
    if kind == "length" and rule.get("min") is None and rule.get("max") is None:
        raise wrong(_("give min, max or both."))
    if kind == "length" and rule.get("min", 0) > rule.get("max", 10**9):
        raise wrong(_("min is above max."))
    if kind == "language" and rule["language"] not in languages():
        raise wrong(_("language must be one of %(codes)s.") % {"codes": ", ".join(languages())})
    if kind == "json" and "schema" in rule:
        if len(json.dumps(rule["schema"])) > SCHEMA_CHARACTERS:
            raise wrong(_("the schema is too long."))
        try:
            jsonschema.Draft202012Validator.check_schema(rule["schema"])
        except jsonschema.SchemaError as error:
            raise wrong(_("this is no JSON schema: %(error)s.") % {"error": error.message[:200]}) from None
    return rule


def broken(
    rule: dict, answers: dict[tuple[int, int], Answered], references: Sequence[str], slow: Counter | None = None
) -> tuple[Reason | None, list]:
    """(why the item breaks the rule or None, the answers that break it), over its answers {(variant, seed): answer}.

    Variant 0 is the prompt itself, the others its paraphrases. `consistent` looks at pairs, all else at each answer.
    slow: how often each rule's pattern ran out of time so far; after SLOW_AT_MOST it is not tried any more.
    """
    if rule["kind"] == "consistent":
        value = consistency(answers, rule["over"])
        low = value is not None and value < rule["at_least"]
        return (reason(f"differs_over_{rule['over']}", value=value), sorted(answers)) if low else (None, [])
    why, places = None, []
    for place, answer in sorted(answers.items()):
        try:
            if slow is not None and slow[rule["name"]] >= SLOW_AT_MOST:
                raise TooSlow
            given = Answered(answer.text[:ANSWER_CHARACTERS], answer.similarity)
            found = KINDS[rule["kind"]].check(rule, given, references)
        except TooSlow:
            if slow is not None:
                slow[rule["name"]] += 1
            found = reason("too_slow", seconds=SECONDS)
        except Exception as error:  # such as a schema's reference to an address, which is not fetched
            found = reason("unchecked", error=f"{type(error).__name__}: {str(error)[:100]}")
        if found:
            why = why or found
            places.append(place)
    return why, places


def consistency(answers: dict[tuple[int, int], Answered], over: str) -> float | None:
    """Mean F1 of words over the pairs of answers that differ in variant only (or in seed only); None without a pair."""
    other = 1 if over == "paraphrases" else 0
    pairs = [
        word_f1(answers[a].text, answers[b].text) for a, b in combinations(sorted(answers), 2) if a[other] == b[other]
    ]
    return sum(pairs) / len(pairs) if pairs else None
