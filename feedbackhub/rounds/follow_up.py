"""What follows a round by itself: answers, automatic metrics, blind pairs of the new model and its parent.

Each step is a row. A step begins when the one before it is done; a failed step says why and the later ones do what
they still can. Nobody waits in a process for anything: the sweeper comes by and moves the steps on.
"""

from collections.abc import Callable
from itertools import islice

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from feedbackhub.catalog.generations import generation_create
from feedbackhub.catalog.models import Generation, ModelVersion, Output, Prompt, Split
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation.models import Evaluation, Suite
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.projects.models import TaskKind
from feedbackhub.rating.services import tasks_create
from feedbackhub.runs.models import FINISHED, RunState

from . import aftermath
from .models import FollowUp, Round

PROMPTS_AT_MOST = 200
PRIORITY = 10
Step, Status = FollowUp.Step, FollowUp.Status
# Raters need not wait for what is measured: that comes last.
ORDER = [Step.ANSWERS, Step.PARENT, Step.EVALUATION, Step.PAIRS, Step.FORGETTING, Step.WEIGHTS]


def held_out_prompts(tuning_round: Round) -> list[Prompt]:
    """The prompts that a round is judged on: of the validation and test splits, in a fixed random order.

    Without those that show pictures or videos, which its model cannot look at.
    """
    splits = (Split.VALIDATION, Split.TEST)
    found = Prompt.objects.filter(project=tuning_round.project, split__in=splits).order_by("digest")
    return list(
        islice((prompt for prompt in found.iterator(chunk_size=500) if not prompt.shows_media), PROMPTS_AT_MOST)
    )


def follow_ups_create(*, tuning_round: Round) -> None:
    FollowUp.objects.bulk_create([FollowUp(round=tuning_round, step=step) for step in ORDER], ignore_conflicts=True)


def unfinished_rounds() -> QuerySet[Round]:
    open_steps = FollowUp.objects.filter(status__in=FollowUp.UNFINISHED)
    return Round.objects.filter(follow_ups__in=open_steps).select_related("base_model", "model", "project").distinct()


def follow_ups_advance(*, tuning_round: Round) -> None:
    """Start the next step, or see whether the running one has ended; as far as it goes now."""
    for step in ORDER:
        with transaction.atomic():
            follow_up = FollowUp.objects.select_for_update().filter(round=tuning_round, step=step).first()
            if follow_up is None:  # of a round from before there was such a step
                continue
            if follow_up.status == Status.PENDING:
                _start(tuning_round, follow_up)
            if follow_up.status == Status.RUNNING:
                _see(follow_up)
        if follow_up.status in FollowUp.UNFINISHED:
            return


def _start(tuning_round: Round, follow_up: FollowUp) -> None:
    try:
        _STARTS[follow_up.step](tuning_round, follow_up)
    except DomainError as error:
        _end(follow_up, Status.FAILED, error.message)


def _end(follow_up: FollowUp, status: str, message: str) -> None:
    follow_up.status, follow_up.message, follow_up.finished_at = status, message, timezone.now()
    follow_up.save()


def _answers(tuning_round: Round, follow_up: FollowUp) -> None:
    _generate(tuning_round, follow_up, tuning_round.model, held_out_prompts(tuning_round))


def _parent_answers(tuning_round: Round, follow_up: FollowUp) -> None:
    """Only to the prompts that the parent has not answered yet."""
    prompts = held_out_prompts(tuning_round)
    answered = Output.objects.filter(model=tuning_round.base_model, prompt__in=prompts).values_list("prompt", flat=True)
    missing = [prompt for prompt in prompts if prompt.pk not in set(answered)]
    if prompts and not missing:
        _end(follow_up, Status.DONE, f"The parent had answered all {len(prompts)} prompts before.")
    else:
        _generate(tuning_round, follow_up, tuning_round.base_model, missing)


def _generate(tuning_round: Round, follow_up: FollowUp, model: ModelVersion, prompts: list[Prompt]) -> None:
    if not prompts:
        raise DomainError("The project has no prompt in the validation or test split, so there is nothing to answer.")
    follow_up.generation = generation_create(project=tuning_round.project, models=[model], prompts=prompts)
    follow_up.status, follow_up.message = Status.RUNNING, f"{model.name} answers {len(prompts)} prompts."
    follow_up.save()


def _evaluate(tuning_round: Round, follow_up: FollowUp) -> None:
    prompts = [prompt for prompt in held_out_prompts(tuning_round) if prompt.references]
    if not prompts:
        message = "None of the held-out prompts has a reference, so ROUGE, BLEU and chrF cannot be computed."
        _end(follow_up, Status.DONE, message)
        return
    models = [tuning_round.model, tuning_round.base_model]
    follow_up.evaluation = evaluation_create(
        project=tuning_round.project, models=models, suite=Suite.TEXT_OVERLAP, prompts=prompts
    )
    follow_up.status, follow_up.message = Status.RUNNING, f"Both models against {len(prompts)} references."
    follow_up.save()


def _pairs(tuning_round: Round, follow_up: FollowUp) -> None:
    made = tasks_create(
        project=tuning_round.project,
        models=[tuning_round.model, tuning_round.base_model],
        kind=TaskKind.PAIRWISE,
        prompts=held_out_prompts(tuning_round),
        priority=PRIORITY,
    )
    follow_up.tasks_created = made.created
    left_out = ", ".join(f"{reason.replace('_', ' ')}: {n}" for reason, n in sorted(made.skipped.items()))
    message = f"{made.created} blind pairs wait for raters." + (f" Left out — {left_out}." if left_out else "")
    _end(follow_up, Status.DONE, message)


def _forgetting(tuning_round: Round, follow_up: FollowUp) -> None:
    follow_up.evaluation = aftermath.forgetting_begin(tuning_round)
    message = "Its perplexity on a fixed general text is measured, and what it knows of simple questions."
    follow_up.status, follow_up.message = Status.RUNNING, message
    follow_up.save()


def _weights(tuning_round: Round, follow_up: FollowUp) -> None:
    follow_up.run = aftermath.weights_begin(tuning_round)
    follow_up.status, follow_up.message = Status.RUNNING, "Power laws are fitted to the spectra of its matrices."
    follow_up.save()


_STARTS: dict[str, Callable[[Round, FollowUp], None]] = {
    Step.ANSWERS: _answers,
    Step.PARENT: _parent_answers,
    Step.EVALUATION: _evaluate,
    Step.PAIRS: _pairs,
    Step.FORGETTING: _forgetting,
    Step.WEIGHTS: _weights,
}


def _see(follow_up: FollowUp) -> None:
    """Whether the generation, evaluation or run that a step waits for has ended."""
    if follow_up.run is not None:
        _see_run(follow_up)
        return
    awaited: Generation | Evaluation | None = follow_up.generation or follow_up.evaluation
    if awaited is None:
        return
    if awaited.status == "done":
        forgot = follow_up.step == Step.FORGETTING
        words = aftermath.forgetting_words(follow_up.round, awaited) if forgot else follow_up.message
        _end(follow_up, Status.DONE, words)
    elif awaited.status == "failed":
        _end(follow_up, Status.FAILED, awaited.error or "It failed without saying why; its log tells more.")


def _see_run(follow_up: FollowUp) -> None:
    run = follow_up.run
    if run.state == RunState.COMPLETED:
        _end(follow_up, Status.DONE, aftermath.weights_words(run))
    elif run.state in FINISHED:
        _end(follow_up, Status.FAILED, run.error_message or "It was stopped.")
