"""Reads of prompts, model versions and outputs that pages and API share."""

from collections.abc import Iterable

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.models import Project

from .model_versions import embedded_model
from .models import ModelVersion, Output, Prompt, Split

NAMES_SHOWN = 20
TURNS_SEARCHED = 4


def models_of(project: Project) -> QuerySet[ModelVersion]:
    """The project's model versions and the site-wide ones (the embedded base among them), by name."""
    embedded_model()
    return ModelVersion.objects.filter(Q(project=project) | Q(project=None)).order_by("name", "pk")


def models_with_outputs(project: Project) -> QuerySet[ModelVersion]:
    """`models_of` with `output_count` (in this project) and parents at hand; those with weights come first."""
    count = Count("outputs", filter=Q(outputs__prompt__project=project))
    without_weights = ExpressionWrapper(Q(kind=ModelVersion.Kind.IMPORTED), output_field=BooleanField())
    models = models_of(project).select_related("parent").annotate(output_count=count)
    return models.alias(without_weights=without_weights).order_by("without_weights", "name", "pk")


def model_get(*, project: Project, pk: int) -> ModelVersion:
    """A model version that the project lists, with its outputs counted. Raises NotFound."""
    found = models_with_outputs(project).filter(pk=pk).first()
    if found is None:
        raise NotFound(_('There is no model %(pk)s in "%(project)s".') % {"pk": pk, "project": project.slug})
    return found


def model_by_name(*, project: Project, name: str) -> ModelVersion:
    """The project's model of that name, else the site-wide one. NotFound names what there is."""
    found = models_of(project).filter(name=name).order_by("project").first()
    if found is None:
        names = list(models_of(project).values_list("name", flat=True)[: NAMES_SHOWN + 1])
        there = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        raise NotFound(
            _('There is no model "%(name)s" in this project; there are: %(there)s.') % {"name": name, "there": there}
        )
    return found


def prompts_of(project: Project, *, split: str = "", category: str | None = None, search: str = "") -> QuerySet[Prompt]:
    """The project's prompts in the order they came, with `output_count`.

    category: None takes all; the empty text takes those without one.
    search: words, each in one of the first turns' texts or in the external id, whatever the case.
    """
    prompts = Prompt.objects.filter(project=project)
    if split:
        prompts = prompts.filter(split=split)
    if category is not None:
        prompts = prompts.filter(category=category)
    for word in search.split():
        found = Q(external_id__icontains=word)
        for turn in range(TURNS_SEARCHED):
            found |= Q(**{f"messages__{turn}__content__0__text__icontains": word})
        prompts = prompts.filter(found)
    return prompts.order_by("pk").annotate(output_count=Count("outputs"))


def prompts_by_id(*, project: Project, ids: Iterable[int]) -> list[Prompt]:
    """The project's prompts of these ids, in their order. Raises DomainError naming those that it does not have."""
    ids = list(ids)
    found = Prompt.objects.filter(project=project).in_bulk(ids)
    if missing := [str(pk) for pk in ids if pk not in found]:
        message = f"no such prompt in this project: {', '.join(missing[:NAMES_SHOWN])}."
        raise DomainError(message, fields={"prompts": message})
    return [found[pk] for pk in ids]


def categories_of(project: Project) -> list[str]:
    found = Prompt.objects.filter(project=project).order_by("category").values_list("category", flat=True).distinct()
    return list(found)


def outputs_of(prompt: Prompt) -> QuerySet[Output]:
    """The prompt's outputs, model by model, oldest first."""
    return prompt.outputs.select_related("model").order_by("model__name", "pk")


def revealing_count(project: Project) -> int:
    """How many outputs of named models say who wrote them, as far as they were looked at."""
    return Output.objects.filter(prompt__project=project, reveals_identity=True).exclude(model=None).count()


def split_counts(project: Project) -> dict[str, int]:
    """Split → prompts in it, every split named."""
    counted = Prompt.objects.filter(project=project).values_list("split").annotate(n=Count("pk")).order_by()
    return {**dict.fromkeys(Split.values, 0), **dict(counted)}
