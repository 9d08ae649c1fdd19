"""Answers by models of ours: a wish, one run a model, and the outputs that come back."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.core.endpoints import may_be_private
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.directory import rows_read
from feedbackhub.runs.models import ACTIVE, FINISHED, Run, RunState
from feedbackhub.tracing import services as tracing
from feedbackhub.tracing.feedback import FeedbackRun

from .content import text_of, text_parts
from .identity import reveals_identity
from .models import Generation, GenerationRun, ModelVersion, Output, Prompt, Split
from .weights import WeightsError, adapter_check, base_check

JOB = "feedbackhub.catalog.jobs.generation_run"
ANSWERS_AT_MOST = 16
MODELS_AT_MOST = 20
CHUNK = 500
PROMPTS_FILE = "data/prompts.jsonl"
OUTPUTS_FILE = "outputs.jsonl"
Status = Generation.Status


@transaction.atomic
def generation_create(
    *,
    project: Project,
    models: list[ModelVersion],
    prompts: list[Prompt] | None = None,
    split: str | None = None,
    limit: int | None = None,
    n: int = 1,
    by=None,
) -> Generation:
    """Ask for `n` answers of each model to the given prompts, or to the project's (of one split, the first `limit`).

    The prompts are fixed now; one run a model is written and queued. With n > 1 a model without a temperature of its
    own samples at 1.
    Raises DomainError: a model that cannot answer, an unknown split, no prompt, a count out of range.
    """
    _models_check(project, models)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= ANSWERS_AT_MOST:
        _refuse("n", f"n (answers a prompt) must be a whole number from 1 to {ANSWERS_AT_MOST}.")
    for model in models if n > 1 else ():
        if model.decoding.get("temperature") == 0:
            message = _(
                'model "%(model)s" decodes at temperature 0: its %(n)s answers would be one and the same. '
                "Ask for one, or register it with a temperature above 0."
            )
            _refuse("n", message % {"model": model.name, "n": n})
    chosen = _prompts_chosen(project, prompts, split, limit)
    generation = Generation.objects.create(
        project=project, prompts=[prompt.pk for prompt in chosen], n=n, created_by=by
    )
    for model in models:
        run = runs.run_create(
            project=project,
            recipe="generate",
            spec=_spec(model, n),
            files={PROMPTS_FILE: _prompt_rows(chosen)},
            queue="training",
            job=JOB,
            by=by,
        )
        GenerationRun.objects.create(generation=generation, model=model, run=run)
        runs.run_queue(run=run)
    return generation


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})


def _models_check(project: Project, models: list[ModelVersion]) -> None:
    if not 1 <= len(models) <= MODELS_AT_MOST:
        _refuse(
            "models",
            _("Choose 1 to %(most)s models to answer; these are %(count)s.")
            % {"most": MODELS_AT_MOST, "count": len(models)},
        )
    for model in models:
        if model.project_id not in (None, project.pk):
            _refuse("models", f'model "{model.name}" belongs to another project.')
        if models.count(model) > 1:
            _refuse("models", f'model "{model.name}" is named twice.')
        answers_check(model, "models")


def answers_check(model: ModelVersion, field: str) -> None:
    """Raise DomainError unless the model version can be asked: it has an endpoint, or weights that a run can load."""
    if not (model.kind == ModelVersion.Kind.OPENAI and model.answers):
        weights_check(model, field)


def weights_check(model: ModelVersion, field: str) -> None:
    """Raise DomainError unless the model version has weights that a run can load here."""
    if model.kind == ModelVersion.Kind.OPENAI:
        _refuse(
            field,
            _(
                'model "%(model)s" answers at an OpenAI-compatible endpoint: its weights are not here, and it tells no '
                "likelihoods."
            )
            % {"model": model.name},
        )
    if not model.generates:
        _refuse(
            field,
            _(
                'model "%(model)s" is known by imported outputs or votes only; it has no weights here. '
                "Import more of its outputs, or register it as a local model or a hub id."
            )
            % {"model": model.name},
        )
    if model.role != ModelVersion.Purpose.POLICY:
        _refuse(
            field, _('model "%(model)s" is a reward model: it scores answers and writes none.') % {"model": model.name}
        )
    local = model.kind == ModelVersion.Kind.LOCAL
    try:
        if local:
            base_check(Path(model.base))
        if model.adapter:
            adapter_check(Path(model.adapter), base=model.base, base_is_folder=local)
    except WeightsError as error:
        _refuse(field, _('model "%(model)s" cannot be loaded: %(error)s') % {"model": model.name, "error": error})


def _prompts_chosen(
    project: Project, prompts: list[Prompt] | None, split: str | None, limit: int | None
) -> list[Prompt]:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        _refuse("limit", "limit (prompts) must be a whole number from 1 on.")
    if prompts is not None:
        if split is not None:
            _refuse("split", "Give either prompts or a split, not both.")
        if strangers := [prompt.pk for prompt in prompts if prompt.project_id != project.pk]:
            _refuse("prompts", f"prompts {', '.join(map(str, strangers[:5]))} belong to another project.")
        if seen := [prompt.pk for prompt in prompts if prompt.shows_media]:
            shown = ", ".join(map(str, seen[:5]))
            _refuse(
                "prompts",
                _("prompts %(shown)s show pictures or videos, which models here cannot look at.") % {"shown": shown},
            )
        chosen = list(dict.fromkeys(prompts))[:limit]
    else:
        if split is not None and split not in Split.values:
            _refuse("split", f'split "{split}" is none of {", ".join(Split.values)}.')
        found = Prompt.objects.filter(project=project, **({"split": split} if split else {}))
        in_turn = found.order_by("pk").iterator(chunk_size=500)
        chosen = list(islice((prompt for prompt in in_turn if not prompt.shows_media), limit))
    if not chosen:
        if split:
            words = _(
                "There is no prompt to answer in the %(split)s split: import prompts first, or choose another split."
            )
            _refuse("prompts", words % {"split": split})
        _refuse("prompts", _("There is no prompt to answer: import prompts first."))
    return chosen


def base_spec(model: ModelVersion) -> dict:
    """The model version as run.json's `base`."""
    if model.kind == ModelVersion.Kind.OPENAI:
        private = {"private": True} if may_be_private(model.endpoint) else {}
        return {"endpoint": model.endpoint, "model": model.base, **private}
    return {"path": model.base, **({"adapter": model.adapter} if model.adapter else {})}


def _spec(model: ModelVersion, n: int) -> dict:
    decoding = dict(model.decoding)
    seed = decoding.pop("seed", 0)
    if n > 1:
        # Training's default is greedy, which would write the same answer n times.
        decoding.setdefault("temperature", 1.0)
    return {
        "base": base_spec(model),
        "data": {"prompts": PROMPTS_FILE},
        "settings": {**decoding, "n": n},
        "seed": seed,
    }


def chat(messages: list[dict]) -> list[dict]:
    """Messages with their content as one text, as a chat template takes them."""
    return [{"role": message["role"], "content": text_of(message["content"])} for message in messages]


def _prompt_rows(prompts: Iterable[Prompt]) -> Iterator[dict]:
    for prompt in prompts:
        yield {"id": prompt.pk, "messages": chat(prompt.messages)}


# --- What came back ------------------------------------------------------------------------------------------


def generation_store(*, run: Run) -> int:
    """Store the outputs that an ended run has written, and see how its generation stands; returns how many are new.

    What a stopped or failed run wrote is kept too. An output is known by run, prompt and which answer to that prompt it
    is: storing twice stores once.
    """
    path = run.directory / OUTPUTS_FILE
    new = 0
    if path.is_file():
        rows = rows_read(path)
        while chunk := list(islice(rows, CHUNK)):
            new += _chunk_store(run, chunk)
    _generation_see(run.generation_run.generation_id)
    return new


@transaction.atomic
def _chunk_store(run: Run, chunk: list[dict]) -> int:
    part = GenerationRun.objects.select_for_update(of=("self",)).select_related("generation__project", "model")
    part = part.get(run=run)
    prompts = Prompt.objects.in_bulk({row["id"] for row in chunk})
    known = Output.objects.filter(model=part.model, prompt__in=prompts, content_key__startswith=f"run:{run.pk}:")
    known = set(known.values_list("prompt", "content_key"))
    outputs = Output.objects.bulk_create(
        Output(
            prompt=prompts[row["id"]],
            model=part.model,
            parts=(parts := text_parts(row["text"].replace("\x00", ""))),
            reveals_identity=reveals_identity(parts, part.model.name),
            content_key=_content_key(run, row),
            decoding=run.spec["settings"],
            seed=row.get("seed"),
            tokens=row.get("tokens"),
            latency_ms=row.get("latency_ms"),
            finish_reason=row.get("finish_reason") or "",
        )
        for row in chunk
        if row["id"] in prompts and (row["id"], _content_key(run, row)) not in known
    )
    part.stored += len(outputs)
    part.save(update_fields=["stored"])
    if tracing.enabled():
        tracing.runs_traced(project=part.generation.project, runs=[output_trace(output) for output in outputs])
    return len(outputs)


def _content_key(run: Run, row: dict) -> str:
    return f"run:{run.pk}:{row['index']}"


def output_trace(output: Output) -> FeedbackRun:
    """The output as LangSmith knows it: a run that ended when it was stored and took as long as the answer took."""
    end = output.created_at
    return FeedbackRun(
        run_uuid=output.run_uuid,
        name=output.model.name,
        inputs={"messages": chat(output.prompt.messages)},
        outputs={"text": output.text},
        start_time=end - timedelta(milliseconds=output.latency_ms or 0),
        end_time=end,
    )


@transaction.atomic
def _generation_see(generation_id: int) -> None:
    """Bring the generation's status in line with its runs'."""
    generation = Generation.objects.select_for_update().get(pk=generation_id)
    parts = list(generation.parts.select_related("run", "model"))
    states = {part.run.state for part in parts}
    if states & ACTIVE:
        waiting = states <= {RunState.QUEUED} and not any(part.run.attempts for part in parts)
        generation.status, generation.error = (Status.PENDING if waiting else Status.RUNNING), ""
        generation.finished_at = None
    else:
        problems = [
            f"{part.model.name}: {part.run.error_message or 'was stopped'}"
            for part in parts
            if part.run.state != RunState.COMPLETED
        ]
        generation.status = Status.FAILED if problems else Status.DONE
        generation.error = "\n".join(problems)
        generation.finished_at = timezone.now()
    generation.save(update_fields=["status", "error", "finished_at"])


def generation_begin(*, run: Run) -> None:
    """A supervisor is about to take the run: whoever looks sees the generation running."""
    Generation.objects.filter(parts__run=run, status=Status.PENDING).update(status=Status.RUNNING)


@transaction.atomic
def generation_stop(*, generation: Generation) -> None:
    """Stop what of it waits or runs; answers already written are kept. DomainError (409) when it has ended."""
    active = [part.run for part in generation.parts.select_related("run") if part.run.state in ACTIVE]
    if not active:
        raise DomainError(_("This generation has ended; there is nothing to stop."), code="conflict", status=409)
    for run in active:
        runs.run_stop(run=run)


@transaction.atomic
def generation_resume(*, generation: Generation) -> None:
    """Queue its stopped and failed runs again; each goes on after its last answer. DomainError (409) without one."""
    ended = [part.run for part in generation.parts.select_related("run")]
    ended = [run for run in ended if run.state in (RunState.STOPPED, RunState.FAILED)]
    if not ended:
        raise DomainError(_("Nothing of this generation was stopped or failed."), code="conflict", status=409)
    for run in ended:
        runs.run_queue(run=run)
    _generation_see(generation.pk)
    generation.refresh_from_db()


def generation_progress(generation: Generation) -> dict:
    """`{status, error, progress, prompts, n, stored, expected, models: [{model, run, state, progress, stored, …}]}`."""
    expected = len(generation.prompts) * generation.n
    parts = list(generation.parts.select_related("run", "model").order_by("pk"))
    models = [
        {
            "model": part.model.name,
            "run": part.run_id,
            "state": part.run.state,
            "progress": part.run.progress,
            "eta_seconds": part.run.eta_seconds,
            "stored": part.stored,
            "expected": expected,
            "error": part.run.error_message,
        }
        for part in parts
    ]
    return {
        "status": generation.status,
        "error": generation.error,
        "progress": sum(model["progress"] for model in models) / len(models),
        "prompts": len(generation.prompts),
        "n": generation.n,
        "stored": sum(model["stored"] for model in models),
        "expected": expected * len(models),
        "models": models,
    }


def sweep() -> None:
    """Store what an ended run of an unfinished generation has written: its job was lost before it could."""
    unfinished = GenerationRun.objects.filter(
        generation__status__in=(Status.PENDING, Status.RUNNING), run__state__in=FINISHED
    )
    for part in unfinished.select_related("run", "generation"):
        if part.stored < len(part.generation.prompts) * part.generation.n or not _others_active(part):
            generation_store(run=part.run)


def _others_active(part: GenerationRun) -> bool:
    return part.generation.parts.filter(run__state__in=ACTIVE).exists()
