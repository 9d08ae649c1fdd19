from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import NotFound
from feedbackhub.projects.models import Project

from .best_of import figures, rankings
from .models import BestOf, OutputScore, OutputScoring


def reward_models_of(project: Project) -> QuerySet[ModelVersion]:
    """The project's reward models, latest first, with `score_count`."""
    found = ModelVersion.objects.filter(project=project, role=ModelVersion.Purpose.REWARD)
    return found.annotate(score_count=Count("scores_given")).order_by("-pk")


def reward_model_get(*, project: Project, pk: int) -> ModelVersion:
    found = reward_models_of(project).filter(pk=pk).select_related("project").first()
    if found is None:
        raise NotFound(_("There is no reward model %(pk)s in “%(project)s”.") % {"pk": pk, "project": project.slug})
    return found


def scorings_of(model: ModelVersion) -> QuerySet[OutputScoring]:
    return OutputScoring.objects.filter(reward_model=model).select_related("run", "created_by").order_by("-pk")


def best_ofs_of(project: Project) -> QuerySet[BestOf]:
    """The project's best-of-n sets, latest first."""
    related = ("model", "reward_model", "best", "worst", "generation", "scoring__run", "project")
    return BestOf.objects.filter(project=project).select_related(*related).order_by("-pk")


def best_of_get(*, project: Project, pk: int) -> BestOf:
    found = best_ofs_of(project).filter(pk=pk).first()
    if found is None:
        raise NotFound(_("There is no best-of-n set %(pk)s in “%(project)s”.") % {"pk": pk, "project": project.slug})
    return found


def best_of_shown(best_of: BestOf) -> dict:
    """The set with its figures and rankings, as the API answers it."""
    found = rankings(best_of) if best_of.status == BestOf.Status.DONE else []
    return {
        "id": best_of.pk,
        "status": best_of.status,
        "message": best_of.message,
        "model": best_of.model.name,
        "reward_model": best_of.reward_model.name,
        "n": best_of.n,
        "prompts": len(best_of.generation.prompts),
        "best": best_of.best.name if best_of.best else None,
        "worst": best_of.worst.name if best_of.worst else None,
        "tasks_created": best_of.tasks_created,
        "figures": figures(best_of, found),
        "rankings": [
            {"prompt": scores[0].output.prompt_id, "answers": [_ranked(score) for score in scores]} for scores in found
        ],
    }


def _ranked(score: OutputScore) -> dict:
    output = score.output
    return {
        "output": output.pk,
        "text": output.text,
        "reward": score.reward,
        "heads": score.heads,
        "tokens": output.tokens,
    }
