"""Signals that somebody may not be reading, in words, and what one may propose to a person who decides.

A signal accuses nobody: each has an innocent reading too, and nothing follows from it by itself. Each source is a
function of the project and its report; a check of our own that fails for most raters is our mistake and no signal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.projects.models import Membership, Project, Role
from feedbackhub.stats.intervals import sign_test

from .decisions import Action, in_force
from .models import Check
from .quality_report import RaterReliability, Report

ENOUGH = 20  # judgments before anything is said of somebody
CHECKS_ENOUGH = 5
UNLIKELY = 0.001
FAST_SECONDS = 2.0
FAST_SHARE = 1 / 3  # of the project's median
ONE_SIDED = 0.9
BELOW_OTHERS = 0.2
MORE_JUDGMENTS = 100  # after which a dismissed signal is shown again
WEIGHT = 0.5


@dataclass(frozen=True)
class Signal:
    """kind: a stable word. text: what was seen, with its numbers."""

    rater: int
    kind: str
    text: str


@dataclass(frozen=True)
class Proposal:
    """What one may do about a rater's signals; a person confirms, dismisses, or does something else."""

    rater: User
    signals: list[Signal]
    action: str
    weight: float | None
    judgments: int

    @property
    def because(self) -> str:
        return " ".join(signal.text for signal in self.signals)

    @property
    def kinds(self) -> str:
        return ",".join(signal.kind for signal in self.signals)


def speed(project: Project, report: Report) -> Iterator[Signal]:
    """A median below a third of the project's and under two seconds. Programs are quick by nature: not of them."""
    usual = report.pace.median_seconds
    for one in report.habits:
        pace = one.pace
        if pace.timed < ENOUGH or usual is None or one.rater.is_simulated:
            continue
        if pace.median_seconds < min(FAST_SECONDS, usual * FAST_SHARE):
            text = _(
                "Half of the judgments took less than %(own).1f s; in the project half take less than %(usual).1f s."
            )
            yield Signal(one.rater.pk, "speed", text % {"own": pace.median_seconds, "usual": usual})


def streaks(project: Project, report: Report) -> Iterator[Signal]:
    for one in report.habits:
        if one.judgments >= ENOUGH and one.pace.streak_chance < UNLIKELY:
            text = _(
                "The same was said %(times)d times running; with this rater’s own shares the chance is %(chance)s."
            )
            yield Signal(
                one.rater.pk, "streak", text % {"times": one.pace.streak, "chance": _p(one.pace.streak_chance)}
            )


def sides(project: Project, report: Report) -> Iterator[Signal]:
    """Nearly always the answer shown first, or second. Sides are drawn, so chance alone makes a half."""
    for one in report.habits:
        decided, first = one.first.whole, one.first.part
        chance = sign_test(first, decided - first)
        if decided < ENOUGH or chance >= UNLIKELY or ONE_SIDED > one.first.value > 1 - ONE_SIDED:
            continue
        if 2 * first > decided:
            text = _(
                "The answer shown first was preferred in %(part)d of %(whole)d decided pairs; by chance %(chance)s."
            )
        else:
            text = _(
                "The answer shown second was preferred in %(part)d of %(whole)d decided pairs; by chance %(chance)s."
            )
        most = max(first, decided - first)
        yield Signal(one.rater.pk, "side", text % {"part": most, "whole": decided, "chance": _p(chance)})


def reliability(project: Project, report: Report) -> Iterator[Signal]:
    """Surely 20 points less accurate than the median rater (Dawid–Skene). Who is alone may also be right."""
    known = [one for one in report.raters if one.reliability and one.reliability.items >= ENOUGH]
    ids = _ids(report, known)
    middle = median(one.reliability.accuracy for one in known) if len(known) > 2 else 0
    for one in known:
        if one.name in ids and one.reliability.upper < middle - BELOW_OTHERS:
            text = _(
                "Estimated to give the right label %(own)d %% of the time, where the median rater does %(usual)d %%."
            )
            percent = {"own": round(100 * one.reliability.accuracy), "usual": round(100 * middle)}
            yield Signal(ids[one.name], "reliability", text % percent)


def attention(project: Project, report: Report) -> Iterator[Signal]:
    """Surely more from habit than from the models that are compared (noisy Bradley–Terry)."""
    known = [one for one in report.raters if one.skill and one.skill.votes >= ENOUGH]
    ids = _ids(report, known)
    for one in known:
        if one.name in ids and one.skill.upper < 0.5:
            text = _("Only %(own)d %% of the decided pairs seem to depend on the answers (at most %(most)d %%).")
            percent = {"own": round(100 * one.skill.skill), "most": round(100 * one.skill.upper)}
            yield Signal(ids[one.name], "attention", text % percent)


def checks(project: Project, report: Report) -> Iterator[Signal]:
    """Surely less than two thirds of known answers, or less than half said again. What most raters fail is left out."""
    for rater, record in report.checks.items():
        shares = record.shares()
        for kind, least, text in (
            (
                Check.GOLD,
                2 / 3,
                _("Passed %(part)d of %(whole)d gold items; items that most raters fail are left out."),
            ),
            (Check.ATTENTION, 2 / 3, _("Passed %(part)d of %(whole)d attention checks.")),
            (Check.REPEAT, 1 / 2, _("Said the same in %(part)d of %(whole)d tasks asked again with the sides turned.")),
        ):
            share = shares[kind]
            if share.whole >= CHECKS_ENOUGH and share.interval[1] < least:
                yield Signal(rater, kind, text % {"part": share.part, "whole": share.whole})


SOURCES: list[Callable[[Project, Report], Iterator[Signal]]] = [speed, streaks, sides, reliability, attention, checks]


def _ids(report: Report, raters: list[RaterReliability]) -> dict[str, int]:
    """{username: id} of raters of the house; an imported judge has no account to decide about."""
    accounts = {one.rater.username: one.rater.pk for one in report.habits}
    return {one.name: accounts[one.name] for one in raters if not one.is_imported and one.name in accounts}


def _p(chance: float) -> str:
    return _("less than 1 in a million") if chance < 1e-6 else _("%(chance).1g") % {"chance": chance}


def signals(project: Project, report: Report) -> dict[int, list[Signal]]:
    found: dict[int, list[Signal]] = {}
    for source in SOURCES:
        for signal in source(project, report):
            found.setdefault(signal.rater, []).append(signal)
    return found


def proposals(project: Project, report: Report) -> list[Proposal]:
    """For raters with signals that nobody has decided on: one signal, weigh by half; several, suspend.

    A dismissed signal comes back after 100 more judgments; one that led to a weight or suspension, when that is undone.
    """
    decided: dict[int, list] = {}
    for decision in in_force(project):
        decided.setdefault(decision.rater_id, []).append(decision)
    judgments = {one.rater.pk: one.judgments for one in report.habits}
    raters = {one.rater.pk: one.rater for one in report.habits}
    members = Membership.objects.filter(project=project, user__in=raters)
    roles = set(members.values_list("user", "role"))
    made = []
    for rater, found in signals(project, report).items():
        if rater not in raters:  # nothing of theirs counts (any more)
            continue
        still = [one for one in found if not any(_covers(d, one, judgments[rater]) for d in decided.get(rater, []))]
        if not still or not {(rater, Role.RATER), (rater, Role.ADMIN)} & roles:
            continue
        suspend = len(still) > 1 and (rater, Role.ADMIN) not in roles and not raters[rater].is_superuser
        action = Action.SUSPEND if suspend else Action.WEIGH
        weight = None if suspend else WEIGHT
        made.append(Proposal(raters[rater], still, action, weight, judgments[rater]))
    return sorted(made, key=lambda one: (-len(one.signals), one.rater.username))


def _covers(decision, signal: Signal, judgments: int) -> bool:
    if decision.action == Action.SUSPEND:
        return True
    if signal.kind not in decision.signals:
        return False
    return decision.action == Action.WEIGH or judgments < decision.judgments + MORE_JUDGMENTS
