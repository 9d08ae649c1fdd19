"""A search of settings for a draft, over hours and processes: the row says how far it is, the runs hold what is known.

Nobody waits: each advance replays the search (search.py) over the runs that have ended and queues the next one. Replays
are cheap, for a run is found by what it was to do and its rows are written once.
"""

import math
from contextlib import suppress

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import ACTIVE, FINISHED, Run, RunState

from . import services
from .estimates import estimate_of
from .models import PreferenceDataset, Round, SettingsSearch
from .recipes import ONLINE
from .search import (
    STEPS,
    Search,
    in_order,
    no_validation,
    reason_of,
    rows_judging,
    search_so_far,
    settings_searched,
    settings_with,
)

STEPS_AT_MOST = 1000
FEW = 50  # validation rows: a share of so many is known to some 14 % either way (95 %)
Status = SettingsSearch.Status


def search_refusal(tuning_round: Round) -> DomainError | None:
    """Why no settings can be searched for this round, or None."""
    if tuning_round.run.state != RunState.DRAFT:
        message = _("Settings are searched for drafts; this round is no draft any more.")
        return DomainError(message, code="conflict", status=409)
    if tuning_round.recipe in ONLINE:
        message = _(
            "Recipe %(recipe)s learns from answers of its own: what its tries reach cannot be compared on validation "
            "rows. Launch short rounds and compare their curves."
        ) % {"recipe": tuning_round.recipe}
        return DomainError(message, fields={"recipe": message})
    if tuning_round.parts.exists():
        message = _("A mixture of datasets is not searched: draft a round on one of them, and take its settings.")
        return DomainError(message, fields={"mixture": message})
    if message := no_validation(tuning_round.dataset):
        return DomainError(message, fields={"dataset": message})
    return None


@transaction.atomic
def search_create(*, tuning_round: Round, by: User, steps: int = STEPS) -> SettingsSearch:
    """Begin a search from the draft's own settings; its first run is queued.

    Raises DomainError: no draft, nothing that validation rows could judge; one under way (409).
    """
    if not 1 <= steps <= STEPS_AT_MOST:
        message = _("steps must be from 1 to %(most)s.") % {"most": STEPS_AT_MOST}
        raise DomainError(message, fields={"steps": message})
    # Held until the search is there: of two that ask at once, one is refused in words.
    held = Round.objects.select_for_update(no_key=True, of=("self",)).select_related("run", "dataset")
    found = held.get(pk=tuning_round.pk)
    if refusal := search_refusal(found):
        raise refusal
    if found.searches.filter(status=Status.RUNNING).exists():
        raise DomainError(_("A search is under way already."), code="conflict", status=409)
    stopping = SettingsSearch.objects.filter(round__dataset=found.dataset, run__state=RunState.STOPPING)
    if stopping.exists():  # its end would count as a try of this one that failed
        message = _("The last try of an earlier search is just stopping: search again in a moment.")
        raise DomainError(message, code="conflict", status=409)
    search = SettingsSearch.objects.create(round=found, steps=steps, created_by=by)
    return search_advance(search=search)


@transaction.atomic
def search_advance(*, search: SettingsSearch) -> SettingsSearch:
    """Look at the try that the search waits for; if it has ended, queue the next, or say what is picked."""
    found = _held(search)
    if found.status != Status.RUNNING or (found.run and found.run.state in ACTIVE):
        return found
    # Another round's search may want the very same run: whoever holds the dataset makes it.
    PreferenceDataset.objects.select_for_update(no_key=True).get(pk=found.round.dataset_id)
    try:
        result = _replayed(found)
    except DomainError as error:
        _end(found, Status.FAILED, error.message)
        return found
    found.result, found.run = result.told(), result.waits_for
    if result.waits_for:
        found.save(update_fields=["result", "run"])
    elif result.pick:
        _end(found, Status.DONE)
    else:
        _end(found, Status.FAILED, _("None of the tries came to its end: their runs say why."))
    return found


def searches_advance(*, waiting_for: Run | None = None) -> None:
    """Advance the searches that are under way, or of them those that wait for a run."""
    found = SettingsSearch.objects.filter(status=Status.RUNNING).order_by("pk")
    for search in found.filter(run=waiting_for) if waiting_for else found:
        search_advance(search=search)


def sweep() -> None:
    """Go on with the searches whose job was lost."""
    searches_advance()


def _held(search: SettingsSearch) -> SettingsSearch:
    """The row as it is now, for this transaction alone: two sweepers make no run twice.

    It is read once it is held: what a waiting SELECT … FOR UPDATE had joined would be as it was before the wait.
    """
    SettingsSearch.objects.select_for_update().get(pk=search.pk)
    with_it = ("run", "created_by", "round__project", "round__base_model", "round__dataset__project")
    return SettingsSearch.objects.select_related(*with_it).get(pk=search.pk)


def _replayed(search: SettingsSearch) -> Search:
    of = search.round

    def finish(run: Run) -> Run | None:
        # What ended without a result before this search began was another's, or was stopped: it is tried once more.
        earlier = run.finished_at is not None and run.finished_at < search.created_at
        if run.state == RunState.DRAFT or (run.state in (RunState.STOPPED, RunState.FAILED) and earlier):
            with suppress(DomainError):  # somebody else has just asked for it
                runs.run_queue(run=run)
            return None
        return run if run.state in FINISHED else None

    return search_so_far(
        project=of.project,
        by=search.created_by,
        recipe=of.recipe,
        base_model=of.base_model,
        dataset=of.dataset,
        settings=of.settings,
        steps=search.steps,
        finish=finish,
    )


def _end(search: SettingsSearch, status: str, message: str = "") -> None:
    search.status, search.message, search.finished_at = status, message, timezone.now()
    search.save()


@transaction.atomic
def search_stop(*, search: SettingsSearch) -> SettingsSearch:
    """End a search and stop its run, unless another search waits for that too. DomainError (409) when it is over."""
    found = _held(search)
    if found.status != Status.RUNNING:
        raise DomainError(_("This search is over: there is nothing to stop."), code="conflict", status=409)
    _end(found, Status.STOPPED)
    others = SettingsSearch.objects.filter(status=Status.RUNNING, run=found.run_id)
    if found.run and not others.exists():
        with suppress(DomainError):  # it has just ended
            runs.run_stop(run=found.run)
    return found


def search_draft(*, search: SettingsSearch, by: User) -> Round:
    """A new draft like the search's, with what it picked. DomainError (409) while nothing is picked."""
    of = search.round
    if search.status != Status.DONE:
        raise DomainError(_("This search has picked no settings."), code="conflict", status=409)
    return services.round_create(
        project=of.project,
        by=by,
        recipe=of.recipe,
        base_model=of.base_model,
        dataset=of.dataset,
        settings=settings_with(of.settings, search.result["pick"]),
    )


# --- What is told of it ---------------------------------------------------------------------------------------------


def search_latest(tuning_round: Round) -> SettingsSearch | None:
    found = tuning_round.searches.select_related("run", "created_by", "round__dataset")
    return found.order_by("-pk").first()


def search_shown(search: SettingsSearch) -> dict:
    """{id, status, active, steps, metric, rows, tries, failed, pick, …}; `settings`: a round's, with the pick.

    The try that it waits for comes last; `active` also while that is still stopping.
    """
    of, run = search.round, search.run
    result = {
        "metric": None,
        "rows": rows_judging(of.dataset),
        "pick": None,
        "tries": [],
        "failed": [],
        **search.result,
    }
    names = settings_searched(of.recipe, of.settings)
    tries = [{**one, "settings": in_order(one["settings"])} for one in result["tries"]]
    if run and search.status in (Status.RUNNING, Status.STOPPED) and run.pk not in {one["run"] for one in tries}:
        settings = {name: run.spec["settings"].get(name) for name in names}
        waits = {"run": run.pk, "settings": settings, "state": str(run.state), "message": run.error_message}
        tries.append({**waits, "score": None, "error": None, "picked": False, "progress": run.progress})
    stopping = search.status == Status.STOPPED and run is not None and run.state == RunState.STOPPING
    return {
        "id": search.pk,
        "round": of.pk,
        "status": str(search.status),
        "active": search.status == Status.RUNNING or stopping,
        # Of what is stored the words without figures are known in every language of the house.
        "message": _(search.message) if search.message else "",
        "steps": search.steps,
        "tries_at_most": 1 + 2 * len(names),
        **result,
        "tries": tries,
        "pick": in_order(result["pick"]) if result["pick"] else None,
        "reason": reason_of(result),
        "settings": settings_with(of.settings, result["pick"]) if result["pick"] else None,
        "created_by": search.created_by.username if search.created_by else None,
        "created_at": search.created_at,
        "finished_at": search.finished_at,
    }


def search_plan(tuning_round: Round, steps: int = STEPS) -> dict:
    """{names, tries, steps, rows, few, seconds?}: what a search would do, and how long, once the draft is measured.

    few: whether so few validation rows would judge that its pick is a hint at most.
    """
    names = settings_searched(tuning_round.recipe, tuning_round.settings)
    tries = 1 + 2 * len(names)
    measured, rows = estimate_of(tuning_round), rows_judging(tuning_round.dataset)
    return {
        "names": names,
        "tries": tries,
        "steps": steps,
        "rows": rows,
        "few": rows < FEW,
        "seconds": tries * _seconds_of_try(measured, steps) if measured else None,
    }


def _seconds_of_try(measured: dict, steps: int) -> float:
    """By the rehearsal of the whole round: loading, training, and two looks at the validation rows."""
    parts, planned = measured["parts"], max(1, measured["steps"])
    every = measured["measured"]["settings"].get("eval_every") or math.ceil(planned / 4)
    looks = 2 + len(range(every, planned, every))
    return parts["loading"] + parts["training"] / planned * steps + parts["evaluations"] / looks * 2
