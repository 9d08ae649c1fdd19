"""What a round would take on the device at hand: a rehearsal (`python -m training estimate`) in a run of its own."""

from django.conf import settings as site
from django.db import transaction
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.runs import services as runs
from feedbackhub.runs.directory import rows_read
from feedbackhub.runs.models import ACTIVE, RunState

from .mixtures import files_named
from .models import Round, RoundEstimate

JOB = "feedbackhub.rounds.jobs.measure"


@transaction.atomic
def estimate_create(*, tuning_round: Round, by: User) -> RoundEstimate:
    """Queue a rehearsal of a draft. DomainError (409) when it is no draft any more, or one is under way."""
    if tuning_round.run.state != RunState.DRAFT:
        raise DomainError(
            _("This round is no draft any more: what it takes will be seen."), code="conflict", status=409
        )
    if RoundEstimate.objects.filter(round=tuning_round, run__state__in=ACTIVE).exists():
        raise DomainError(_("An estimate is under way already."), code="conflict", status=409)
    spec = dict(tuning_round.run.spec)
    of = {name: spec.pop(name) for name in ("recipe", "settings", "seed") if name in spec}
    directory = tuning_round.run.directory
    run = runs.run_create(
        project=tuning_round.project,
        recipe="estimate",
        spec={**spec, "of": of, "settings": {"seconds": site.ESTIMATE_SECONDS}},
        files={name: rows_read(directory / name) for name in files_named(spec["data"])},
        queue="training",
        job=JOB,
        by=by,
    )
    estimate = RoundEstimate.objects.create(round=tuning_round, run=run, created_by=by)
    runs.run_queue(run=run)
    return estimate


def estimate_of(tuning_round: Round) -> dict | None:
    """The figures of the latest rehearsal that came to its end (docs/training.md has their shape)."""
    done = tuning_round.estimates.filter(run__state=RunState.COMPLETED).select_related("run").order_by("-pk").first()
    return done and done.run.result.get("estimate")


def estimate_shown(tuning_round: Round) -> dict | None:
    """{state, error?, seconds?, cost?, …}: the latest rehearsal as it stands, its figures once there are any."""
    latest = tuning_round.estimates.select_related("run").order_by("-pk").first()
    if latest is None:
        return None
    shown = {"state": latest.run.state, "active": latest.run.state in ACTIVE}
    if latest.run.error_message:
        shown["error"] = latest.run.error_message
    if found := estimate_of(tuning_round):
        shown |= {**found, "cost": cost_of(found["seconds"])}
    return shown


def cost_of(seconds: float) -> dict | None:
    """{amount, currency, price} at the site's price of a device-hour; None where none is set."""
    price = site.DEVICE_HOUR_PRICE
    if not price:
        return None
    return {"amount": seconds / 3600 * price, "currency": site.DEVICE_HOUR_CURRENCY, "price": price}
