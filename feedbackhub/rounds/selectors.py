from collections.abc import Iterable

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.core.errors import NotFound
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment

from .models import FollowUp, PreferenceDataset, PreferenceRow, Round


def rounds_of(project: Project) -> QuerySet[Round]:
    """The project's rounds, latest first."""
    return (
        Round.objects.filter(project=project)
        .select_related("run", "base_model", "model", "dataset", "reward_model", "audit_model")
        .prefetch_related("parts__dataset")
        .order_by("-number")
    )


def datasets_of(project: Project) -> QuerySet[PreferenceDataset]:
    """The project's datasets, latest first."""
    return PreferenceDataset.objects.filter(project=project).select_related("created_by").order_by("-pk")


def dataset_get(*, project: Project, pk: int) -> PreferenceDataset:
    found = PreferenceDataset.objects.filter(project=project, pk=pk).select_related("project").first()
    if found is None:
        raise NotFound(_('There is no dataset %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def round_get(*, project: Project, number: int) -> Round:
    found = rounds_of(project).select_related("project", "created_by").filter(number=number).first()
    if found is None:
        raise NotFound(
            _('There is no round %(number)s in "%(project)s".') % {"number": number, "project": project.slug}
        )
    return found


def row_get(*, dataset: PreferenceDataset, position: int) -> PreferenceRow:
    found = dataset.rows.filter(position=position).select_related("prompt").first()
    if found is None:
        raise NotFound(
            _("Dataset %(dataset)s has no row %(position)s.") % {"dataset": dataset.pk, "position": position}
        )
    return found


def votes_behind(row: PreferenceRow) -> QuerySet[Judgment]:
    """The judgments that a frozen row rests on."""
    return Judgment.objects.filter(pk__in=row.judgments).select_related("rater").prefetch_related("items__model")


def is_followed(tuning_round: Round, steps: Iterable[FollowUp]) -> bool:
    """Whether something still follows the completed round by itself."""
    if tuning_round.run.state != "completed":
        return False
    return tuning_round.model is None or any(step.status in FollowUp.UNFINISHED for step in steps)
