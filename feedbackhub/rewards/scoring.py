"""A reward model scores outputs: one run, one score an output, kept."""

from collections.abc import Iterable, Iterator

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.content import media_of
from feedbackhub.catalog.generations import base_spec, chat
from feedbackhub.catalog.models import ModelVersion, Output, Split
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment
from feedbackhub.runs import services as runs
from feedbackhub.runs.directory import rows_read
from feedbackhub.runs.models import Run, RunState

from .models import OutputScore, OutputScoring

JOB = "feedbackhub.rewards.jobs.scoring_run"
ANSWERS, SCORES = "data/answers.jsonl", "scores.jsonl"
AT_MOST = 20_000
CHUNK = 500


def reward_check(project: Project, model: ModelVersion, field: str = "reward_model") -> None:
    """Raise DomainError, of this field, unless it is a reward model of this project."""
    if model.role != ModelVersion.Purpose.REWARD or model.project_id != project.pk:
        message = _("“%(model)s” is no reward model of this project; train one with the recipe reward.")
        message %= {"model": model.name}
        raise DomainError(message, fields={field: message})


def outputs_of(project: Project, *, models: Iterable[ModelVersion] = (), split: str = "") -> QuerySet[Output]:
    """The project's outputs, of these models if any are named, on one split if one is."""
    found = Output.objects.filter(prompt__project=project).order_by("pk")
    if models:
        found = found.filter(model__in=list(models))
    if split:
        if split not in Split.values:
            message = f'split "{split}" is none of {", ".join(Split.values)}.'
            raise DomainError(message, fields={"split": message})
        found = found.filter(prompt__split=split)
    return found


def outputs_judged_since(model: ModelVersion) -> QuerySet[Output]:
    """The outputs that people have compared since the reward model was made."""
    compared = Judgment.objects.in_force().filter(
        project=model.project, source=Judgment.Source.RATER, received_at__gt=model.created_at
    )
    return Output.objects.filter(judgment_items__judgment__in=compared).distinct().order_by("pk")


@transaction.atomic
def outputs_score(
    *, project: Project, reward_model: ModelVersion, outputs: QuerySet[Output], by: User | None = None
) -> OutputScoring:
    """Let a reward model score those of the outputs that it has not scored, the first 20,000.

    Raises DomainError: no reward model of this project; 409 when no unscored text is left.
    """
    reward_check(project, reward_model)
    known = OutputScore.objects.filter(reward_model=reward_model, output=OuterRef("pk"))
    ids = []
    for output in outputs.filter(~Exists(known)).select_related("prompt").iterator(chunk_size=CHUNK):
        if can_be_scored(output):
            ids.append(output.pk)
        if len(ids) == AT_MOST:
            break
    if not ids:
        words = _("There is no text among these outputs that %(model)s has not scored.") % {"model": reward_model.name}
        raise DomainError(words, code="nothing", status=409)
    run = scoring_run(project=project, reward_model=reward_model, outputs=ids, job=JOB, by=by)
    scoring = OutputScoring.objects.create(
        project=project, reward_model=reward_model, run=run, outputs=len(ids), created_by=by
    )
    runs.run_queue(run=run)
    return scoring


def can_be_scored(output: Output) -> bool:
    """Whether a reward model can read it: a text, to a prompt of text."""
    return bool(output.text.strip()) and not media_of(output.parts) and not output.prompt.shows_media


def scoring_run(
    *, project: Project, reward_model: ModelVersion, outputs: list[int], job: str, by: User | None = None
) -> Run:
    """A run, not yet queued, in which a reward model scores the outputs of these ids; `job` takes up what it writes."""
    return runs.run_create(
        project=project,
        recipe="score",
        spec={"reward": base_spec(reward_model), "data": {"answers": ANSWERS}, "settings": {}},
        files={ANSWERS: _answers(outputs)},
        queue="training",
        job=job,
        by=by,
    )


def scores_read(run: Run) -> list[dict]:
    """What a completed run of scores has written: rows {id (of the output), reward, heads}."""
    return list(rows_read(run.directory / SCORES))


def _answers(ids: list[int]) -> Iterator[dict]:
    for start in range(0, len(ids), CHUNK):
        for output in Output.objects.filter(pk__in=ids[start : start + CHUNK]).select_related("prompt").order_by("pk"):
            completion = [{"role": "assistant", "content": output.text}]
            yield {"id": output.pk, "prompt": chat(output.prompt.messages), "completion": completion}


@transaction.atomic
def scoring_store(*, run: Run) -> OutputScoring:
    """Store what a completed scoring has written. Doing it twice does it once."""
    scoring = OutputScoring.objects.select_for_update(of=("self",)).get(run=run)
    if scoring.applied_at is None:
        scoring.stored = scores_keep(scoring.reward_model, scores_read(run))
        scoring.applied_at = timezone.now()
        scoring.save(update_fields=["stored", "applied_at"])
    return scoring


def scores_keep(reward_model: ModelVersion, rows: list[dict]) -> int:
    """Keep scores, rows {id (of the output), reward, heads}, of outputs that are there; what is known stays.

    Returns how many of the rows are kept, new or known."""
    there = set()
    for start in range(0, len(rows), CHUNK):
        ids = [row["id"] for row in rows[start : start + CHUNK]]
        there.update(Output.objects.filter(pk__in=ids).values_list("pk", flat=True))
    OutputScore.objects.bulk_create(
        (
            OutputScore(reward_model=reward_model, output_id=row["id"], reward=row["reward"], heads=row["heads"])
            for row in rows
            if row["id"] in there
        ),
        ignore_conflicts=True,
        batch_size=CHUNK,
    )
    return len(there)


def sweep() -> None:
    """Store completed scorings whose job was lost."""
    for scoring in OutputScoring.objects.filter(run__state=RunState.COMPLETED, applied_at=None).select_related("run"):
        scoring_store(run=scoring.run)
