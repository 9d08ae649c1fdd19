"""The weekly mail: a project's news in words with numbers, to those who asked for it.

Off until an operator says how mail is sent (EMAIL_URL), and for everybody until they ask. A mail is claimed before it
is sent, so two sweepers send one; where sending fails it is tried again an hour later.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import READ_REPORTS, roles_of
from feedbackhub.projects.models import Project

from .brief import brief
from .models import DigestSubscription

log = logging.getLogger(__name__)
WEEK = timedelta(days=7)
AGAIN = timedelta(hours=1)  # after a failure
AT_ONCE = 20  # mails a sweep, lest the other sweeps wait
SALT = "feedbackhub.overview.digest"


def is_on() -> bool:
    """Whether this site sends mail at all."""
    return bool(settings.DIGEST_MAIL)


@transaction.atomic
def digest_subscribe(*, project: Project, user: User, address: str = "") -> DigestSubscription:
    """The first mail comes in a week. DomainError: the site sends no mail, or no address is known."""
    if not is_on():
        raise DomainError(_("This site sends no mail; an operator has to set EMAIL_URL first."), status=409)
    address = address.strip() or user.email
    try:
        validate_email(address)
    except ValidationError as error:
        message = _("“%(address)s” is no mail address.") % {"address": address}
        raise DomainError(message, fields={"address": message}) from error
    given = {"address": address, "next_at": timezone.now() + WEEK}
    return DigestSubscription.objects.update_or_create(project=project, user=user, defaults=given)[0]


@transaction.atomic
def digest_unsubscribe(*, project: Project, user: User) -> None:
    DigestSubscription.objects.filter(project=project, user=user).delete()


def unsubscribe_token(subscription: DigestSubscription) -> str:
    """What the link in a mail carries; it ends this one subscription and can do nothing else."""
    return signing.dumps(subscription.pk, salt=SALT)


def subscription_of(token: str) -> DigestSubscription | None:
    """The subscription of a mail's link; None where it has ended. NotFound for a token that is none of ours."""
    try:
        pk = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise NotFound(_("This is no link of a mail from here.")) from error
    return DigestSubscription.objects.select_related("project").filter(pk=pk).first()


def sweep() -> None:
    """Send what is due."""
    if is_on():
        digests_send(due_by=timezone.now())


def digests_send(*, due_by: datetime, project: Project | None = None, at_most: int = AT_ONCE) -> int:
    """Send the digests that are due by then (of one project); how many were sent."""
    due = DigestSubscription.objects.filter(next_at__lte=due_by).order_by("next_at").select_related("project", "user")
    if project is not None:
        due = due.filter(project=project)
    return sum(_send(subscription) for subscription in due[:at_most])


def _send(subscription: DigestSubscription) -> bool:
    """Claim it, then send. Whoever may not read the project's reports any more is unsubscribed."""
    user, now = subscription.user, timezone.now()
    if not user.is_active or not roles_of(user, subscription.project) & READ_REPORTS:
        subscription.delete()
        return False
    mine = DigestSubscription.objects.filter(pk=subscription.pk, next_at=subscription.next_at)
    if not mine.update(next_at=now + WEEK):
        return False  # another sweeper has it
    try:
        digest_mail(subscription, now).send()
    except Exception:
        log.exception("the digest of %s could not be sent; trying again in an hour", subscription)
        DigestSubscription.objects.filter(pk=subscription.pk).update(next_at=now + AGAIN)
        return False
    DigestSubscription.objects.filter(pk=subscription.pk).update(last_sent_at=now)
    return True


def digest_mail(subscription: DigestSubscription, now: datetime) -> EmailMessage:
    """The mail: plain text, with a link and a header to unsubscribe (RFC 8058: one click)."""
    project = subscription.project
    with translation.override(settings.LANGUAGE_CODE):
        said = brief(project, since=subscription.last_sent_at or now - WEEK)
        page = settings.SITE_URL + reverse("overview:project", args=[project.slug])
        off = settings.SITE_URL + reverse("overview:unsubscribe", args=[unsubscribe_token(subscription)])
        lines = [
            _("%(project)s, this week:") % {"project": project.name},
            "",
            *(f"- {sentence}" for sentence in said.sentences),
            "",
            _("All of it: %(address)s") % {"address": page},
            "",
            "-- ",
            _("You asked for this mail. To stop it: %(address)s") % {"address": off},
        ]
        subject = _("%(project)s: the week in feedback") % {"project": " ".join(project.name.split())}
    headers = {"List-Unsubscribe": f"<{off}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return EmailMessage(subject, "\n".join(lines), to=[subscription.address], headers=headers)
