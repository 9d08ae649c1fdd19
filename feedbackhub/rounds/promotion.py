"""Who is champion: the model version promoted last, by whom and why. Nothing of a promotion is ever deleted."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project

from .models import Promotion

REASON_AT_MOST = 1000


@transaction.atomic
def promotion_create(*, project: Project, model: ModelVersion, by: User | None, reason: str) -> Promotion:
    """Make the model the project's champion. `by` None: the autopilot.

    Raises DomainError: no reason, a model of another project or a reward model, or one that is champion already (409).
    """
    reason = reason.replace("\x00", "").strip()  # PostgreSQL stores no NUL
    if not reason or len(reason) > REASON_AT_MOST:
        message = _("Say why, in at most 1,000 characters: it is kept with the promotion.")
        raise DomainError(message, fields={"reason": message})
    if model.project_id not in (None, project.pk):
        message = _("model “%(model)s” belongs to another project.") % {"model": model.name}
        raise DomainError(message, fields={"model": message})
    if model.role != ModelVersion.Purpose.POLICY:
        message = _("“%(model)s” is a reward model: it answers nothing, and cannot be champion.") % {
            "model": model.name
        }
        raise DomainError(message, fields={"model": message})
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if champion(project) == model:
        raise DomainError(_("“%(model)s” is champion already.") % {"model": model.name}, code="conflict", status=409)
    return Promotion.objects.create(project=project, model=model, by=by, reason=reason)


def champion(project: Project) -> ModelVersion | None:
    """The model that was promoted last; None before the first promotion."""
    latest = promotions_of(project).first()
    return latest and latest.model


def promotions_of(project: Project) -> QuerySet[Promotion]:
    """The project's promotions, latest first."""
    return Promotion.objects.filter(project=project).select_related("model", "by").order_by("-pk")
