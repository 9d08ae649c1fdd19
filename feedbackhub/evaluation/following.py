"""What an admin does about failures: put them before raters, or ask for data."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.catalog.content import messages_of, text_of
from feedbackhub.catalog.models import Prompt
from feedbackhub.catalog.outputs import ImportedOutput, outputs_bulk_create
from feedbackhub.catalog.prompts import PromptRow, prompts_bulk_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import TaskKind
from feedbackhub.rating.tasks import TasksCreated, tasks_create

from .failures import group_items, previous_of
from .models import DataRequest, EvaluationRun, ItemResult

AT_ONCE = 500


def messages_asked(result: ItemResult) -> list[dict]:
    """What the model was asked: the item's conversation, or a task's text."""
    if "messages" in result.item.data:
        return result.item.data["messages"]
    return messages_of(result.answers[0]["prompt"])


def prompt_text(result: ItemResult) -> str:
    return text_of(messages_asked(result)[-1]["content"])


def _failing(part: EvaluationRun, group: str) -> list[ItemResult]:
    failing = group_items(part, group)[:AT_ONCE]
    if not failing:
        raise DomainError(_("Nothing fails here: there is nothing to pass on."), code="conflict", status=409)
    return failing


@transaction.atomic
def failures_queue(*, part: EvaluationRun, group: str = "", by=None) -> TasksCreated:
    """Make rating tasks of a group's failing items, at most AT_ONCE, with the answers that were measured.

    The prompts become the project's (in the test split, so that they train nothing); the answers of all models of the
    evaluation, and of the one that the model is compared with, become outputs. With one model they are rated by thumbs.
    """
    project = part.evaluation.project
    failing = _failing(part, group)
    rows = [PromptRow(messages_asked(one), (), "", "test", "", one.item.tags) for one in failing]
    prompts = {
        one.item_id: prompt
        for one, (prompt, _new) in zip(failing, prompts_bulk_get_or_create(project=project, rows=rows))
    }
    parts = {one.model_id: one for one in part.evaluation.parts.select_related("model").order_by("pk")}
    if previous := previous_of(part):
        parts.setdefault(previous.model_id, previous)
    outputs, answering = [], {}
    for one in parts.values():
        for result in one.items.filter(item__in=prompts):
            answering[one.model_id] = one.model
            outputs.append(ImportedOutput(prompts[result.item_id], one.model, result.answers[0]["text"]))
    outputs_bulk_create(rows=[output for output in outputs if output.text.strip()])
    models = list(answering.values())
    kind = project.task_kind
    if kind == TaskKind.RANKING and len(models) < 3:
        kind = TaskKind.PAIRWISE
    if kind == TaskKind.PAIRWISE and len(models) < 2:
        kind = TaskKind.THUMBS
    return tasks_create(project=project, models=models, kind=kind, prompts=_distinct(prompts))


def _distinct(prompts: dict[int, Prompt]) -> list[Prompt]:
    return list({prompt.pk: prompt for prompt in prompts.values()}.values())


@transaction.atomic
def data_request_create(*, part: EvaluationRun, group: str = "", note: str = "", by=None) -> DataRequest:
    """Keep a note that lists a group's failing prompts, at most AT_ONCE, for the project's admins."""
    failing = _failing(part, group)
    return DataRequest.objects.create(
        project=part.evaluation.project,
        evaluation=part.evaluation,
        model=part.model,
        group=group,
        note=note.replace("\x00", "").strip()[:2000],
        prompts=[{"key": one.item.key, "text": prompt_text(one)} for one in failing],
        created_by=by,
    )


def data_request_done(*, request: DataRequest, done: bool = True) -> None:
    """Say that a request was met, or is open again."""
    request.done_at = timezone.now() if done else None
    request.save(update_fields=["done_at"])
