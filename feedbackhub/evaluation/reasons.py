"""Why an answer fails: kept as a code with values, told in the reader's language.

What was kept before there were codes is a text, and told as it is.
"""

from collections.abc import Sequence

from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

Reason = dict | str
RIGHT_ANSWER = "right answer"  # what a task's failures are kept under
REASONS = {
    "lacks": _("lacks %(texts)s"),
    "has_none_of": _("has none of %(texts)s"),
    "has": _("has %(texts)s"),
    "says": _("says %(texts)s"),
    "matches": _("matches %(pattern)s"),
    "matches_not": _("does not match %(pattern)s"),
    "no_json": _("is not JSON (%(error)s)"),
    "too_deep": _("is nested too deeply"),
    "no_fit": _("does not fit the schema at %(place)s: %(error)s"),
    "no_fit_whole": _("does not fit the schema: %(error)s"),
    "fewer": _("has %(count)s, fewer than %(limit)s"),
    "more": _("has %(count)s, more than %(limit)s"),
    "repeats": _("repeats %(share)s of its runs of %(n)s words"),
    "empty": _("is empty"),
    "other_language": _("is in %(found)s (%(share)s sure), not in %(wanted)s"),
    "not_right": _("is none of the right answers"),
    "little_shared": _("shares words of F1 %(value)s with the references"),
    "unlike": _("has a similarity of %(value)s"),
    "differs_over_paraphrases": _("agrees with itself by F1 %(value)s over paraphrases"),
    "differs_over_seeds": _("agrees with itself by F1 %(value)s over seeds"),
    "too_slow": _("could not be checked: the pattern took longer than %(seconds)s s"),
    "unchecked": _("could not be checked (%(error)s)"),
    "not_this": _("is not %(texts)s"),
    "code_fails": _("its program fails: %(error)s"),
}


def reason(code: str, **values) -> dict:
    """A reason as it is kept. code: one of REASONS. values: numbers, texts, lists of texts."""
    return {"code": code, **values}


def words(given: Reason) -> str:
    """A reason in the language that is active."""
    if isinstance(given, str):
        return given
    text = REASONS.get(given.get("code"))
    if text is None:
        return str(given.get("code", ""))
    shown = {name: _shown(name, value) for name, value in given.items()}
    if "unit" in given:
        shown["count"] = _counted(given["count"], given["unit"])
    return text % shown


def _shown(name: str, value: object) -> str:
    if name == "share":
        return f"{number_format(100 * value, 0)} %"
    if isinstance(value, float):
        return number_format(value, 2)
    return _quoted(value) if isinstance(value, list) else str(value)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f"“{text[:60]}”" for text in texts[:3]) + (", …" if len(texts) > 3 else "")


def _counted(count: int, unit: str) -> str:
    texts = {
        "words": ngettext("%(count)s word", "%(count)s words", count),
        "characters": ngettext("%(count)s character", "%(count)s characters", count),
        "lines": ngettext("%(count)s line", "%(count)s lines", count),
        "sentences": ngettext("%(count)s sentence", "%(count)s sentences", count),
    }
    return texts.get(unit, "%(count)s") % {"count": count}
