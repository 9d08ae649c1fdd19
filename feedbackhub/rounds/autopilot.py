"""The autopilot, off by default: when enough new judgments have come, the round is run again from the champion.

It promotes the new model only when blind votes of people say that it is better, by the test that stays valid however
often one looks (`stats/anytime.py`). One round at a time; every decision is logged in words, with its numbers.
The sweeper comes by and takes the next step; nobody waits for anything.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Assignment, Judgment, PairTally
from feedbackhub.runs.models import RunState
from feedbackhub.stats.anytime import ALPHA
from feedbackhub.stats.compare import Comparison, compare

from . import services
from .datasets import dataset_freeze
from .models import Autopilot, AutopilotDecision, FollowUp, Round
from .promotion import champion, promotion_create
from .recipes import DATASET_KIND, recipes, settings_check

Kind = AutopilotDecision.Kind
SETTLED = 1 / ALPHA
EVERY = (10, 1_000_000)


def autopilot_recipes() -> list[str]:
    """What makes a policy from judgments alone."""
    return [name for name in recipes() if DATASET_KIND[name] != "prompts" and name != "reward"]


@transaction.atomic
def autopilot_set(
    *,
    project: Project,
    by: User,
    is_on: bool,
    every: int | None = None,
    recipe: str | None = None,
    settings: dict | None = None,
    start: ModelVersion | None = None,
) -> Autopilot:
    """Switch the project's autopilot on or off; what is not given stays. Judgments that a round knew are not new.

    start: champion until a model is promoted. Raises DomainError: unknown recipe or setting, a number out of bounds,
    no champion to start from.
    """
    Autopilot.objects.get_or_create(project=project)
    autopilot = Autopilot.objects.select_for_update().get(project=project)
    recipe = recipe or autopilot.recipe
    if recipe not in autopilot_recipes():
        message = _("The autopilot cannot run the recipe %(recipe)s; these it can: %(names)s.") % {
            "recipe": recipe,
            "names": ", ".join(autopilot_recipes()),
        }
        raise DomainError(message, fields={"recipe": message})
    every = autopilot.every if every is None else every
    if not EVERY[0] <= every <= EVERY[1]:
        message = _("every must be from %(least)s to %(most)s judgments.") % {"least": EVERY[0], "most": EVERY[1]}
        raise DomainError(message, fields={"every": message})
    autopilot.settings = settings_check(recipe, autopilot.settings if settings is None else settings)
    autopilot.start = start or autopilot.start
    if is_on and champion(project) is None and autopilot.start is None:
        message = _("Name the model to start from: none has been promoted yet.")
        raise DomainError(message, fields={"start": message})
    if autopilot.start:
        services._base_check(project, autopilot.start)
    switched = is_on != autopilot.is_on
    autopilot.is_on, autopilot.every, autopilot.recipe, autopilot.changed_by = is_on, every, recipe, by
    autopilot.seen_up_to = max(autopilot.seen_up_to, _known_up_to(project))
    autopilot.save()
    if switched:
        state = f"on, every {every} judgments, {recipe.upper()}" if is_on else "off"
        _log(autopilot, Kind.SWITCHED, f"{by.label} switched the autopilot {state}.", {"on": is_on, "every": every})
    return autopilot


def _known_up_to(project: Project) -> int:
    """Id of the last judgment that a round's dataset was frozen with."""
    latest = Round.objects.filter(project=project).order_by("-dataset__frozen_up_to_id").select_related("dataset")
    ids = (one.dataset.frozen_up_to_id for one in latest.exclude(dataset__frozen_up_to=None)[:1])
    return next(ids, 0)


def _log(autopilot: Autopilot, kind: str, words: str, figures: dict | None = None, **about) -> AutopilotDecision:
    return AutopilotDecision.objects.create(autopilot=autopilot, kind=kind, words=words, figures=figures or {}, **about)


# --- What it sees ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """Where the autopilot stands: new judgments, and the round that it has under way, if any."""

    champion: ModelVersion | None
    new: int
    round: Round | None
    votes: Comparison | None
    open_pairs: int


def standing(autopilot: Autopilot) -> Standing:
    under_way = _under_way(autopilot)
    model = under_way and under_way.model
    return Standing(
        champion=champion(autopilot.project) or autopilot.start,
        new=new_judgments(autopilot),
        round=under_way,
        votes=people_between(autopilot.project, model, under_way.base_model) if model else None,
        open_pairs=_open_pairs(autopilot.project, model) if model else 0,
    )


def new_judgments(autopilot: Autopilot) -> int:
    """Judgments in force by people that no round has known."""
    found = Judgment.objects.in_force().filter(project=autopilot.project, source=Judgment.Source.RATER)
    return found.filter(pk__gt=autopilot.seen_up_to).count()


def _under_way(autopilot: Autopilot) -> Round | None:
    """The round that it launched and has not decided about."""
    decided = autopilot.decisions.filter(kind__in=(Kind.PROMOTED, Kind.KEPT, Kind.GAVE_UP)).exclude(round=None)
    launched = autopilot.decisions.filter(kind=Kind.LAUNCHED).exclude(round__in=decided.values("round"))
    latest = launched.select_related("round__run", "round__model", "round__base_model").order_by("-pk").first()
    return latest and latest.round


def people_between(project: Project, a: ModelVersion, b: ModelVersion) -> Comparison:
    """`a` against `b` by the votes of people alone: simulated ones promote nobody."""
    low, high = sorted((a, b), key=lambda model: model.pk)
    rows = PairTally.objects.filter(project=project, model_a=low, model_b=high, source=Judgment.Source.RATER)
    names = ("wins_a", "wins_b", "ties", "both_bad")
    counts = [rows.aggregate(total=Sum(name))["total"] or 0 for name in names]
    if a != low:
        counts[0], counts[1] = counts[1], counts[0]
    return compare(*counts)


def _open_pairs(project: Project, model: ModelVersion) -> int:
    unjudged = (Assignment.State.OPEN, Assignment.State.LEASED)
    found = Assignment.objects.filter(project=project, state__in=unjudged, task__task_outputs__output__model=model)
    return found.values("pk").distinct().count()


# --- What it does ------------------------------------------------------------------------------------------------


def sweep() -> None:
    for pk in Autopilot.objects.filter(is_on=True).values_list("pk", flat=True):
        autopilot_step(autopilot=Autopilot.objects.get(pk=pk))


@transaction.atomic
def autopilot_step(*, autopilot: Autopilot) -> AutopilotDecision | None:
    """Take the next step if there is one to take; returns what was decided."""
    locked = Autopilot.objects.select_for_update(of=("self",)).select_related("project", "start", "changed_by")
    autopilot = locked.get(pk=autopilot.pk)
    if not autopilot.is_on:
        return None
    under_way = _under_way(autopilot)
    return _decide(autopilot, under_way) if under_way else _launch_if_due(autopilot)


def _launch_if_due(autopilot: Autopilot) -> AutopilotDecision | None:
    new = new_judgments(autopilot)
    if new < autopilot.every:
        return None
    project, base = autopilot.project, champion(autopilot.project) or autopilot.start
    figures = {"new_judgments": new, "every": autopilot.every, "champion": base.name}
    last = Judgment.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True).first()
    try:
        with transaction.atomic():
            dataset = dataset_freeze(project=project, by=autopilot.changed_by, kind=DATASET_KIND[autopilot.recipe])
            tuning_round = services.round_create(
                project=project,
                by=autopilot.changed_by,
                recipe=autopilot.recipe,
                base_model=base,
                dataset=dataset,
                settings=autopilot.settings,
            )
            services.round_launch(tuning_round=tuning_round)
    except DomainError as error:
        decision = _log(autopilot, Kind.GAVE_UP, f"{new} new judgments, but no round: {error.message}", figures)
    else:
        words = (
            f"{new} new judgments have come (of {autopilot.every}): round {tuning_round.number}, "
            f"{autopilot.recipe.upper()} from {base.name} on {dataset.counts['rows']} rows."
        )
        decision = _log(autopilot, Kind.LAUNCHED, words, {**figures, **dataset.counts}, round=tuning_round)
    autopilot.seen_up_to = last
    autopilot.save(update_fields=["seen_up_to"])
    return decision


def _decide(autopilot: Autopilot, tuning_round: Round) -> AutopilotDecision | None:
    """About the round under way: nothing yet, promoted, kept, or given up."""
    run = tuning_round.run
    if run.state in (RunState.FAILED, RunState.STOPPED):
        why = run.error_message or "it was stopped"
        words = f"Round {tuning_round.number} made no model: {why}"
        return _log(autopilot, Kind.GAVE_UP, words, {"state": run.state}, round=tuning_round)
    child, parent = tuning_round.model, tuning_round.base_model
    if child is None:
        return None
    if child.role != ModelVersion.Purpose.POLICY:
        return _log(autopilot, Kind.GAVE_UP, f"{child.name} answers nothing.", round=tuning_round)
    votes = people_between(autopilot.project, child, parent)
    figures = {
        **{name: getattr(votes, name) for name in ("wins_a", "wins_b", "ties", "both_bad", "win_rate")},
        "e_value": votes.anytime.e_value,
        "lower": votes.anytime.lower,
        "upper": votes.anytime.upper,
    }
    said = (
        f"{votes.wins_a} : {votes.wins_b} with {votes.ties} ties in blind pairs judged by people, "
        f"e {min(votes.anytime.e_value, 1e6):.1f} (20 settles it)"
    )
    if votes.anytime.e_value >= SETTLED and votes.win_rate > 0.5:
        return _promoted(autopilot, tuning_round, said, figures)
    if votes.anytime.e_value >= SETTLED:
        words = f"{parent.name} stays champion: {child.name} is worse, {said}."
        return _log(autopilot, Kind.KEPT, words, figures, round=tuning_round)
    if _pairs_are_made(tuning_round) and not _open_pairs(autopilot.project, child):
        words = f"{parent.name} stays champion: nothing says that {child.name} is better, {said}; no pair is left."
        return _log(autopilot, Kind.KEPT, words, figures, round=tuning_round)
    return None


def _promoted(autopilot: Autopilot, tuning_round: Round, said: str, figures: dict) -> AutopilotDecision | None:
    child, parent = tuning_round.model, tuning_round.base_model
    reason = f"Autopilot: better than {parent.name}, {said}."
    try:
        with transaction.atomic():
            promotion = promotion_create(project=autopilot.project, model=child, by=None, reason=reason)
    except DomainError:  # a person was faster
        return _log(autopilot, Kind.KEPT, f"{child.name} is champion already.", figures, round=tuning_round)
    words = f"{child.name} is champion: better than {parent.name}, {said}."
    return _log(autopilot, Kind.PROMOTED, words, figures, round=tuning_round, promotion=promotion)


def _pairs_are_made(tuning_round: Round) -> bool:
    step = tuning_round.follow_ups.filter(step=FollowUp.Step.PAIRS).first()
    return step is not None and step.status not in FollowUp.UNFINISHED
