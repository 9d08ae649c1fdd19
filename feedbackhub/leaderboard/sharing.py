"""Links that let somebody without an account read one report: made, opened, taken back, and all of it written down."""

import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.models import Project

from .models import ShareEvent, ShareLink
from .options import METHODS
from .selectors import categories

DAYS_AT_MOST = 365
LINKS_AT_MOST = 100  # open ones in a project
Action = ShareEvent.Action


@transaction.atomic
def share_create(
    *,
    project: Project,
    by: User,
    kind: str,
    days: int,
    a: ModelVersion | None = None,
    b: ModelVersion | None = None,
    category: str | None = None,
    method: str = "bt",
    with_examples: bool = False,
    note: str = "",
) -> tuple[ShareLink, str]:
    """A link and its token, which can never be read again. DomainError by field: kind, days, models, category."""
    fields = {}
    if kind not in ShareLink.Kind.values:
        fields["kind"] = f'kind "{kind}" is none of {", ".join(ShareLink.Kind.values)}.'
    if not 1 <= days <= DAYS_AT_MOST:
        fields["days"] = _("A link lasts from 1 to %(most)s days.") % {"most": DAYS_AT_MOST}
    if kind == ShareLink.Kind.AB and (a is None or b is None or a.pk == b.pk):
        fields["b"] = _("Name two different models.")
    if any(model and model.project_id not in (None, project.pk) for model in (a, b)):
        fields["a"] = _("A model of another project cannot be shared from here.")
    if category and category not in categories(project):
        fields["category"] = _('No vote has the category "%(category)s".') % {"category": category}
    if method not in METHODS:
        fields["method"] = f'method "{method}" is none of {", ".join(METHODS)}.'
    if fields:
        raise DomainError("; ".join(fields.values()), fields=fields)
    now = timezone.now()
    if ShareLink.objects.filter(project=project, revoked_at=None, expires_at__gt=now).count() >= LINKS_AT_MOST:
        message = _("This project has %(most)s open links; take some back first.") % {"most": LINKS_AT_MOST}
        raise DomainError(message, code="conflict", status=409)
    parameters = {"a": a.pk, "b": b.pk} if kind == ShareLink.Kind.AB else {"method": method}
    token = secrets.token_urlsafe(32)
    link = ShareLink.objects.create(
        project=project,
        kind=kind,
        parameters={**parameters, "category": category or ""},
        with_examples=with_examples and kind == ShareLink.Kind.AB,
        note=note.strip()[:200],
        digest=ShareLink.digest_of(token),
        hint=token[-4:],
        expires_at=now + timedelta(days=days),
        created_by=by,
    )
    ShareEvent.objects.create(link=link, action=Action.CREATED, by=by)
    return link, token


@transaction.atomic
def share_revoke(*, link: ShareLink, by: User) -> None:
    """Take it back; who has it open keeps what is on the screen. Doing it twice does it once."""
    changed = ShareLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now())
    if changed:
        ShareEvent.objects.create(link=link, action=Action.REVOKED, by=by)


def share_open(*, token: str, agent: str = "") -> ShareLink:
    """The link that `token` stands for, its opening written down.

    NotFound, in the same words, for a token that is unknown, expired or taken back.
    """
    link = ShareLink.objects.select_related("project").filter(digest=ShareLink.digest_of(token)).first()
    if link is not None:
        is_open = link.is_open(timezone.now())
        action = Action.OPENED if is_open else Action.REFUSED
        ShareEvent.objects.create(link=link, action=action, agent=agent[:200])
        if is_open:
            return link
    raise NotFound(_("This link is not there, has expired or was taken back. Ask whoever sent it for a new one."))


def shares_of(project: Project) -> QuerySet[ShareLink]:
    """The project's links, latest first, with `opened` (how often) and `last_opened`."""
    opened = Q(events__action=Action.OPENED)
    return (
        ShareLink.objects.filter(project=project)
        .select_related("created_by")
        .annotate(opened=Count("events", filter=opened), last_opened=Max("events__at", filter=opened))
        .order_by("-pk")
    )


def share_get(*, project: Project, pk: int) -> ShareLink:
    found = ShareLink.objects.filter(project=project, pk=pk).first()
    if found is None:
        raise NotFound(_("There is no such link in this project."))
    return found


def models_shared(link: ShareLink) -> tuple[ModelVersion, ModelVersion]:
    """The two models of a shared A/B."""
    found = ModelVersion.objects.in_bulk([link.parameters["a"], link.parameters["b"]])
    return found[link.parameters["a"]], found[link.parameters["b"]]
