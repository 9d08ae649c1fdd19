"""What is said of a round's rows before it is launched: each rule a function that yields its findings, in words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedbackhub.catalog.models import ModelVersion, Split
from feedbackhub.stats.intervals import wilson_interval

from .leaks import Leaks
from .models import PreferenceDataset
from .preflight_look import Look, fitting, pieces

STOPS, WARNS, FINE = LEVELS = ("stops", "warns", "fine")
FEW_ROWS = 200
FEW_STEPS = 10
AUDITED_AT_LEAST = 16  # as training/online/audit.py, PROMPTS_AT_LEAST
LONGER_WINS = 0.6
AGREED_AT_LEAST = 0.5
BALANCED = (0.99, 4 / 3 + 0.01)  # Ethayarajh et al. 2024, arXiv 2402.01306, equation 9
SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """What was found, with its numbers, and what to do about it ("" where nothing need be done)."""

    code: str
    level: str
    text: str
    advice: str = ""
    figures: dict = field(default_factory=dict)


# --- Base, amount ------------------------------------------------------------------------------------------------


def base(base: ModelVersion) -> Iterator[Finding]:
    if base.kind == ModelVersion.Kind.LOCAL and not Path(base.base).is_dir():
        text = _("The base model’s folder %(folder)s is not there.") % {"folder": base.base}
        yield Finding("base_missing", STOPS, text, _("Put it back, or choose another base."))
    elif base.adapter and not Path(base.adapter, "adapter_model.safetensors").is_file():
        text = _("The base model’s adapter %(folder)s is not there.") % {"folder": base.adapter}
        yield Finding("adapter_missing", STOPS, text, _("Put it back, or choose another base."))


def amount(found: Look, dataset: PreferenceDataset, settings: dict) -> Iterator[Finding]:
    train, validation = found.splits[Split.TRAIN], found.splits[Split.VALIDATION]
    given = {"rows": train, "prompts": len(found.prompts), "judgments": dataset.counts.get("judgments", 0)}
    if train < FEW_ROWS:
        text = ngettext(
            "Only %(rows)s row to train on: with fewer than about 200, expect noise.",
            "Only %(rows)s rows to train on: with fewer than about 200, expect noise.",
            train,
        )
        yield Finding("few_rows", WARNS, text % given, _("Collect more first, or take this round as a trial."), given)
    else:
        text = _("%(rows)s rows to train on, of %(prompts)s prompts and %(judgments)s judgments.")
        yield Finding("rows", FINE, text % given, figures=given)
    if not validation:
        text = _("No row to validate on: nothing will show when it has learnt enough.")
        yield Finding(
            "no_validation", WARNS, text, _("Import some prompts with the split “validation”, and judge them.")
        )
    at_once = pieces(found.tokens, settings["max_length"]) if settings.get("packing") else train
    if (steps := _steps(at_once, settings)) < FEW_STEPS:
        given = {"steps": steps}
        text = ngettext("It will make only %(steps)s step.", "It will make only %(steps)s steps.", steps)
        advice = _("Hardly anything moves so soon: more epochs, or a smaller batch_size × gradient_accumulation.")
        yield Finding("few_steps", WARNS, text % given, advice, given)
    if dataset.excluded:
        yield _left_out(dataset)


def audit(found: Look, settings: dict) -> Iterator[Finding]:
    """Whether a second reward model would see enough answers to stop a round (training/online/audit.py)."""
    seen = min(found.splits[Split.VALIDATION], settings["validation_rows"])
    if seen < AUDITED_AT_LEAST:
        text = ngettext(
            "The audit would look at %(prompts)s validation prompt: too few to stop the round by.",
            "The audit would look at %(prompts)s validation prompts: too few to stop the round by.",
            seen,
        )
        advice = _("It takes %(least)s: import more prompts with the split “validation”, or raise validation_rows.")
        figures = {"prompts": seen, "least": AUDITED_AT_LEAST}
        yield Finding("few_audited", WARNS, text % figures, advice % figures, figures)


def _steps(rows: int, settings: dict) -> int:
    """The loop's own count (training/loop/order.py, Schedule; training/online/loop.py, RolloutSchedule)."""
    if settings.get("max_steps"):
        return settings["max_steps"]
    if "rollout_prompts" in settings:
        at_once = settings["batch_size"] * settings["gradient_accumulation"]
        updates = ceil(settings["rollout_prompts"] * settings["num_generations"] / at_once) * settings["update_epochs"]
        return max(1, ceil(settings["epochs"] * rows / settings["rollout_prompts"]) * updates)
    batches = ceil(rows / (settings.get("batch_size") or 1))
    return max(1, ceil((settings.get("epochs") or 1) * ceil(batches / (settings.get("gradient_accumulation") or 1))))


def _left_out(dataset: PreferenceDataset) -> Finding:
    reasons = sorted(dataset.excluded.items(), key=lambda one: -one[1])
    total = sum(dataset.excluded.values())
    named = ", ".join(f"{_(reason.replace('_', ' '))}: {count}" for reason, count in reasons)
    text = _("%(count)s were left out when it was frozen — %(reasons)s.") % {"count": total, "reasons": named}
    many = total > dataset.counts.get("rows", 0)
    advice = _("That is more than was kept: see whether the guidelines let raters decide.") if many else ""
    return Finding("left_out", WARNS if many else FINE, text, advice, dict(dataset.excluded))


# --- Lengths -----------------------------------------------------------------------------------------------------


def lengths(found: Look, settings: dict, measured: dict | None) -> Iterator[Finding]:
    length, rows = settings.get("max_length"), found.splits[Split.TRAIN]
    if not length or not rows:
        return
    if measured:
        cut, dropped, rows = (measured["rows"][name] for name in ("cut", "dropped", "given"))
    else:
        cut, dropped = fitting(found.tokens, length)
    given = {"cut": cut, "dropped": dropped, "rows": rows, "length": length}
    about = _("counted by the model’s own tokenizer") if measured else _("estimated at four bytes a token")
    if dropped >= rows:
        text = _("All %(rows)s rows are longer than max_length, %(length)s tokens: nothing is left (%(about)s).")
        level = STOPS if measured else WARNS
        yield Finding("all_too_long", level, text % {**given, "about": about}, _("Raise max_length."), given)
    elif cut or dropped:
        text = _(
            "Of %(rows)s rows, %(cut)s lose the beginning of their prompt and %(dropped)s are left out, their answer "
            "alone being too long: max_length is %(length)s tokens (%(about)s)."
        )
        few = cut + dropped <= 0.05 * rows
        advice = "" if few else _("Raise max_length if memory allows, or split what is long.")
        yield Finding("too_long", FINE if few else WARNS, text % {**given, "about": about}, advice, given)
    else:
        text = _("All rows fit into max_length, %(length)s tokens (%(about)s).") % {**given, "about": about}
        yield Finding("lengths", FINE, text, figures=given)


# --- What the rows say -------------------------------------------------------------------------------------------


def content(found: Look) -> Iterator[Finding]:
    rows = found.rows
    if found.empty:
        given = {"count": found.empty}
        text = ngettext("%(count)s row has an empty answer.", "%(count)s rows have an empty answer.", found.empty)
        advice = _("It teaches to say nothing: freeze again without them, or look why the model was silent.")
        yield Finding("empty", WARNS, text % given, advice, given)
    if found.same:
        given = {"count": found.same}
        text = ngettext(
            "%(count)s pair’s answers differ in case or white space only.",
            "%(count)s pairs’ answers differ in case or white space only.",
            found.same,
        )
        yield Finding("same_answers", WARNS, text % given, _("They teach form alone; leave them out."), given)
    given = {"count": found.repeated, "rows": rows, "share": f"{found.repeated / max(rows, 1):.0%}"}
    if found.repeated:
        text = ngettext(
            "%(count)s of %(rows)s rows says exactly what an earlier one says (%(share)s).",
            "%(count)s of %(rows)s rows say exactly what an earlier one says (%(share)s).",
            found.repeated,
        )
        many = found.repeated > 0.05 * rows
        advice = _("They count twice: make tasks of other outputs.") if many else ""
        yield Finding("duplicates", WARNS if many else FINE, text % given, advice, given)
    else:
        yield Finding("duplicates", FINE, _("No row is there twice."), figures=given)
    if found.conflicts:
        given = {"count": found.conflicts}
        text = ngettext(
            "%(count)s answer, or pair of answers, is judged both ways.",
            "%(count)s answers, or pairs of answers, are judged both ways.",
            found.conflicts,
        )
        advice = _("They cancel out: settle them under Adjudicate, then freeze again.")
        yield Finding("conflicts", WARNS, text % given, advice, given)


def length_bias(found: Look) -> Iterator[Finding]:
    if not found.unlike_lengths:
        return
    share = found.longer / found.unlike_lengths
    lower, upper = wilson_interval(found.longer, found.unlike_lengths)
    figures = {"share": share, "lower": lower, "upper": upper, "pairs": found.unlike_lengths}
    given = {"share": _percent(share), "lower": _percent(lower), "upper": _percent(upper), "pairs": figures["pairs"]}
    text = _("The longer answer wins in %(share)s [%(lower)s, %(upper)s] of %(pairs)s pairs.") % given
    biased = share >= LONGER_WINS and lower > 0.5
    advice = _("The model will learn to write more: watch its lengths, and read the leaderboard at equal length.")
    yield Finding("length_bias", WARNS if biased else FINE, text, advice if biased else "", figures)


def balance(found: Look, settings: dict) -> Iterator[Finding]:
    if not found.good + found.bad:
        return
    given = {"good": found.good, "bad": found.bad}
    if not found.good or not found.bad:
        text = _("All thumbs point one way: %(good)s up, %(bad)s down.") % given
        advice = _("The model can learn only to write more, or less, like these: collect some of the other kind.")
        yield Finding("one_label", WARNS, text, advice, given)
        return
    weights = settings.get("good_weight") or 1.0, settings.get("bad_weight") or 1.0
    ratio = weights[0] * found.good / (weights[1] * found.bad)
    text = _("%(good)s thumbs up and %(bad)s down; weighed, %(ratio)s to 1.") % {**given, "ratio": f"{ratio:.2f}"}
    even = BALANCED[0] <= ratio <= BALANCED[1]
    advice = _("The method wants 1 to 1.33: set good_weight to %(weight)s.") % {
        "weight": f"{weights[1] * found.bad / found.good:.2f}"
    }
    figures = {**given, "ratio": ratio}
    yield Finding("label_balance", FINE if even else WARNS, text, "" if even else advice, figures)


def agreement(found: Look, dataset: PreferenceDataset) -> Iterator[Finding]:
    """Of what several judged: how often all said the same. Those without a majority were left out, and count here."""
    split = dataset.excluded.get("no_majority", 0)
    several = found.several + split
    if not several:
        if dataset.counts.get("judgments"):
            text = _("Nothing was judged by more than one: how far raters agree is not known.")
            yield Finding("no_overlap", FINE, text)
        return
    share = found.unanimous / several
    lower, upper = wilson_interval(found.unanimous, several)
    figures = {"share": share, "lower": lower, "upper": upper, "rows": several, "no_majority": split}
    given = {"share": _percent(share), "lower": _percent(lower), "upper": _percent(upper), "rows": several}
    text = _("Of %(rows)s that several judged, all agreed in %(share)s [%(lower)s, %(upper)s].") % given
    low = share < AGREED_AT_LEAST
    advice = _("Half of it is taste or noise: sharpen the guidelines, or take unanimous pairs (least margin 1).")
    yield Finding("agreement", WARNS if low else FINE, text, advice if low else "", figures)


def sources(dataset: PreferenceDataset) -> Iterator[Finding]:
    counts = dataset.counts
    if simulated := counts.get("sources", {}).get("simulated", 0):
        given = {"count": simulated, "judgments": counts["judgments"]}
        text = _("%(count)s of %(judgments)s judgments are by simulated raters, not by people.") % given
        yield Finding("simulated", WARNS, text, _("What the model learns is their taste."), given)
    named = not counts.get("sources", {}).get("preferences")  # imported preferences seldom say whose they are
    if named and counts.get("judgments", 0) > 1 and counts.get("raters") == 1:
        text = _("All judgments are one rater’s.")
        yield Finding("one_rater", WARNS, text, _("The model learns one taste: let somebody else judge some."))


# --- Leaks, memory -----------------------------------------------------------------------------------------------


def leaked(found: Leaks) -> Iterator[Finding]:
    if found.same:
        given = {"count": len(found.same), "prompts": _numbers(one for one, _other in found.same)}
        text = ngettext(
            "%(count)s prompt to train on is also a test prompt (%(prompts)s).",
            "%(count)s prompts to train on are also test prompts (%(prompts)s).",
            len(found.same),
        )
        advice = _("Its test would be worth nothing: freeze again without them.")
        yield Finding("test_leak", STOPS, text % given, advice, {"pairs": found.same[:100], "count": len(found.same)})
    if found.near:
        given = {"count": len(found.near), "prompts": _numbers(one for one, *_rest in found.near)}
        text = ngettext(
            "%(count)s prompt to train on is nearly a test prompt (%(prompts)s).",
            "%(count)s prompts to train on are nearly test prompts (%(prompts)s).",
            len(found.near),
        )
        advice = _("Look at them: a test on what was nearly learnt says too much good.")
        figures = {"pairs": found.near[:100], "count": len(found.near)}
        yield Finding("near_leak", WARNS, text % given, advice, figures)
    if not found.same and not found.near:
        yield Finding("no_leak", FINE, _("No prompt to train on is, or nearly is, a test prompt."))
    if found.unlooked:
        text = _("%(count)s prompts were compared word for word only, not for near-duplicates.")
        yield Finding("leak_unlooked", FINE, text % {"count": found.unlooked}, figures={"count": found.unlooked})


def memory(measured: dict | None) -> Iterator[Finding]:
    if measured and not measured["memory"]["fits"]:
        memory = measured["memory"]["peak_bytes"], measured["device"]["memory_bytes"]
        given = dict(zip(("peak", "total"), (f"{size / 2**30:.1f}" for size in memory)))
        text = _("It needs about %(peak)s GiB of memory; the device has %(total)s.") % given
        advice = _("Halve batch_size and double gradient_accumulation: the same step in half the memory.")
        yield Finding("memory", STOPS, text, advice, {"peak_bytes": memory[0], "memory_bytes": memory[1]})


def _numbers(ids: Iterable[int]) -> str:
    ids = list(ids)
    return ", ".join(f"#{pk}" for pk in ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
