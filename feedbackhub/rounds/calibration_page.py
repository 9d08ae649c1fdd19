"""What the page of a reward round shows of its calibration: accuracy on held-out pairs, whole and in slices."""

from django.utils.formats import number_format
from django.utils.translation import gettext as _

DIFFERENCES = {
    "chosen_shorter": lambda: _("shorter"),
    "alike": lambda: _("about as long"),
    "chosen_longer": lambda: _("longer"),
}


def calibration_slices(calibration: dict | None) -> list[dict]:
    """[{id, title, first, judges, parts: [{name, n, cells}], chart}]: all held-out pairs, then every way to slice them.

    judges: names of who decides; cells: what each of them gets, {value, lower, upper, n}. A baseline that could not be
    fitted is left out. Empty for a calibration of before there were slices.
    """
    if not calibration or "accuracy" not in calibration:
        return []
    known = {"model": _("This model"), "longer": _("The longer wins"), "tfidf": _("Words and length")}
    judges = {name: title for name, title in known.items() if name == "model" or name in calibration["baselines"]}
    whole = {"name": _("All pairs"), "model": calibration["accuracy"]}
    whole |= {name: found["accuracy"] for name, found in calibration["baselines"].items()}
    kinds = {
        "category": (_("By category"), _("Category"), lambda part: part["name"] or _("Others")),
        "margin": (_("By margin"), _("Margin of the votes"), lambda part: _range(part, 2)),
        "length": (_("By length"), _("Characters of the answers"), lambda part: _range(part, 0)),
        "length_difference": (
            _("By difference in length"),
            _("The better answer is"),
            lambda part: DIFFERENCES[part["name"]](),
        ),
    }
    made = [_slice("all", _("All held-out pairs"), _("Pairs"), [whole], judges)]
    for found in calibration["slices"]:
        title, first, name_of = kinds[found["by"]]
        parts = [{**part, "name": name_of(part)} for part in found["parts"]]
        made.append(_slice(found["by"], title, first, parts, judges))
    return made


def calibration_differences(calibration: dict | None) -> list[str]:
    """In words: by how much the model is better than each baseline, and whether that could be chance."""
    names = {"longer": _("“the longer wins”"), "tfidf": _("words and length")}
    return [
        _difference(found["difference"], names[name])
        for name, found in ((calibration or {}).get("baselines") or {}).items()
    ]


def _slice(by: str, title: str, first: str, parts: list[dict], judges: dict[str, str]) -> dict:
    rows = [{"name": part["name"], "n": part["model"]["n"], "cells": [part[name] for name in judges]} for part in parts]
    series = [
        {"name": title, "values": [part[name] for part in parts]} for name, title in judges.items()
    ]  # fmt: skip
    return {
        "id": f"calibration-{by.replace('_', '-')}",
        "title": title,
        "first": first,
        "judges": list(judges.values()),
        "parts": rows,
        "chart": {"groups": [part["name"] for part in parts], "series": series, "y": _("Accuracy")},
    }


def _range(part: dict, digits: int) -> str:
    low, high = (number_format(part[end], digits, use_l10n=True) for end in ("low", "high"))
    return low if low == high else _("%(low)s to %(high)s") % {"low": low, "high": high}


def _difference(found: dict, name: str) -> str:
    points = {
        key: number_format(100 * found[key], 1, use_l10n=True).replace("-", "−") for key in ("value", "lower", "upper")
    }
    given = {"name": name, **points}
    if found["lower"] > 0:
        return _("Better than %(name)s by %(value)s points (95 %%: %(lower)s to %(upper)s).") % given
    if found["upper"] < 0:
        return _("Worse than %(name)s: %(value)s points (95 %%: %(lower)s to %(upper)s).") % given
    return _("No clear difference from %(name)s: %(value)s points (95 %%: %(lower)s to %(upper)s).") % given
