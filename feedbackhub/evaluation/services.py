"""Measuring model versions on a suite: what is asked for, one run a model, and the results that come back."""

from collections.abc import Iterator

from django.conf import settings as site
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.catalog.generations import answers_check, base_spec, chat, weights_check
from feedbackhub.catalog.models import ModelVersion, Output, Prompt, Split
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import ACTIVE, FINISHED, Run, RunState

from . import own_results, own_suites
from .models import Evaluation, EvaluationRun, Result, Suite, SuiteVersion
from .suite_reading import sandbox_is_off

JOB = "feedbackhub.evaluation.jobs.evaluation_run"
MODELS_AT_MOST = 20
CHUNK = 500
PREDICTIONS, BASELINE, REFERENCES = "data/predictions.jsonl", "data/baseline.jsonl", "data/references.jsonl"
COMPARES_TEXTS = (Suite.TEXT_OVERLAP, Suite.ANSWER_MATCH)
ASKS_THE_MODEL = (Suite.PERPLEXITY, Suite.FORGETTING)
Status = Evaluation.Status
RULES = SuiteVersion.Kind.RULES


@transaction.atomic
def evaluation_create(
    *,
    project: Project,
    models: list[ModelVersion],
    suite: str,
    prompts: list[Prompt] | None = None,
    reward_model: ModelVersion | None = None,
    by=None,
) -> Evaluation:
    """Measure the models on a suite; every model on the same prompts, which are fixed now. One run a model is queued.

    suite: one of Suite, or the name of one of the project's own (its latest version, or `NAME v2`).
    Without `prompts`, those of the project that the suite can use (`prompts_measurable`).
    reward_model: for the suite reward; the project's latest unless given.
    Raises DomainError: unknown suite, a model that cannot be measured by it, no prompt that it could use.
    """
    if suite not in Suite.values:
        return _evaluation_of_own(project, models, suite, by)
    _models_check(project, models, suite)
    judge = reward_model_for(project, reward_model) if suite == Suite.REWARD else None
    chosen = [] if suite == Suite.FORGETTING else prompts_measurable(project, models, suite, prompts)
    evaluation = Evaluation.objects.create(
        project=project, suite=suite, prompts=[prompt.pk for prompt in chosen], reward_model=judge, created_by=by
    )
    for model in models:
        data, files = _data(suite, model, models, chosen)
        spec = {"data": data, "settings": {"suite": suite}, "seed": 0, "cache": str(site.COMPUTED_DIR)}
        if suite in ASKS_THE_MODEL:
            spec = {"base": base_spec(model), **spec}
        if judge:
            spec = {"reward": base_spec(judge), **spec}
        # Comparing texts takes seconds and no accelerator: it need not wait behind a round.
        queue = "default" if suite in COMPARES_TEXTS else "training"
        _run_queue(evaluation, model, spec, files, queue, by)
    return evaluation


def _evaluation_of_own(project: Project, models: list[ModelVersion], name: str, by) -> Evaluation:
    """The same on a suite of the project's own."""
    suite = own_suites.suite_of(project, name)
    if suite is None:
        own = SuiteVersion.objects.filter(project=project).values_list("name", flat=True).distinct().order_by("name")
        _refuse("suite", f'suite "{name}" is none of {", ".join([*Suite.values, *own])}.')
    if suite.is_code and not site.CODE_SANDBOX:
        _refuse("suite", sandbox_is_off())
    _models_check(project, models, suite.name, weights=models if suite.needs_likelihoods else [])
    for model in models:
        if not suite.needs_likelihoods and not (suite.kind == RULES and model.kind == ModelVersion.Kind.IMPORTED):
            answers_check(model, "models")
    evaluation = Evaluation.objects.create(project=project, suite=suite.name, suite_version=suite, created_by=by)
    for model in models:
        spec, files = own_suites.suite_run(suite, model)
        spec = {**spec, "cache": str(site.COMPUTED_DIR)}
        _run_queue(evaluation, model, spec, files, "training" if "base" in spec else "default", by)
    return evaluation


def _run_queue(evaluation: Evaluation, model: ModelVersion, spec: dict, files: dict, queue: str, by) -> None:
    run = runs.run_create(
        project=evaluation.project, recipe="evaluate", spec=spec, files=files, queue=queue, job=JOB, by=by
    )
    EvaluationRun.objects.create(evaluation=evaluation, model=model, run=run)
    runs.run_queue(run=run)


def reward_model_for(project: Project, given: ModelVersion | None) -> ModelVersion:
    """The reward model that scores: the one given, else the project's latest. DomainError without one."""
    if given is not None and (given.role != ModelVersion.Purpose.REWARD or given.project_id not in (None, project.pk)):
        _refuse("reward_model", f'model "{given.name}" is no reward model of this project.')
    found = (
        given or ModelVersion.objects.filter(project=project, role=ModelVersion.Purpose.REWARD).order_by("pk").last()
    )
    if found is None:
        _refuse("suite", _("The project has no reward model: train one with a round of the recipe reward."))
    return found


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})


def _models_check(
    project: Project, models: list[ModelVersion], suite: str, weights: list[ModelVersion] | None = None
) -> None:
    """weights: of whom weights are needed; unless given, of all where the suite asks the model."""
    if not 1 <= len(models) <= MODELS_AT_MOST:
        _refuse(
            "models",
            _("Choose 1 to %(most)s models to measure; these are %(count)s.")
            % {"most": MODELS_AT_MOST, "count": len(models)},
        )
    for model in models:
        if model.project_id not in (None, project.pk):
            _refuse("models", f'model "{model.name}" belongs to another project.')
        if models.count(model) > 1:
            _refuse("models", f'model "{model.name}" is named twice.')
        if weights is None and suite in ASKS_THE_MODEL or weights is not None and model in weights:
            weights_check(model, "models")


# --- The prompts that a suite can use ---------------------------------------------------------------------------


def prompts_measurable(
    project: Project, models: list[ModelVersion], suite: str, prompts: list[Prompt] | None
) -> list[Prompt]:
    """The prompts that have references (reward needs none) and, where texts are compared or scored, an answer by every
    model: so that all have the same.

    Where the prompts are not given and a model has an adapter (it was tuned), its train split is left out: it may have
    learned those very references. Raises DomainError saying what is missing.
    """
    if prompts is not None:
        if strangers := [prompt.pk for prompt in prompts if prompt.project_id != project.pk]:
            _refuse("prompts", f"prompts {', '.join(map(str, strangers[:5]))} belong to another project.")
        candidates = list(dict.fromkeys(prompts))
    else:
        found = Prompt.objects.filter(project=project).order_by("pk")
        if suite != Suite.REWARD:
            found = found.exclude(references=[])
        if any(model.adapter for model in models):
            found = found.exclude(split=Split.TRAIN)
        candidates = list(found)
    if suite != Suite.REWARD:
        candidates = [prompt for prompt in candidates if any(text.strip() for text in prompt.references)]
    if suite not in COMPARES_TEXTS:  # an imported answer may have been given of a picture; a model here cannot see it
        candidates = [prompt for prompt in candidates if not prompt.shows_media]
    if not candidates and suite == Suite.REWARD:
        _refuse("suite", _("There is no prompt whose answers could be scored."))
    if not candidates:
        anywhere = _("No prompt has a reference to compare with: import prompts with `references`.")
        held_out = _(
            "No prompt in the validation and test splits has a reference to compare with: "
            "import prompts with `references`."
        )
        _refuse("suite", held_out if any(model.adapter for model in models) else anywhere)
    if suite in ASKS_THE_MODEL:
        return candidates
    for model in models:
        answered = set(Output.objects.filter(model=model, prompt__project=project).values_list("prompt", flat=True))
        candidates = [prompt for prompt in candidates if prompt.pk in answered]
        if not candidates:
            _refuse(
                "models",
                _(
                    'model "%(model)s" has answered none of the prompts with references that the models before it '
                    "answered: generate its answers, or import its outputs."
                )
                % {"model": model.name},
            )
    return candidates


def _references(prompt: Prompt) -> list[str]:
    return [text for text in prompt.references if text.strip()]


def _answers(model: ModelVersion, prompts: list[Prompt]) -> Iterator[dict]:
    """`{id, text, references}`: the model's latest answer to each prompt."""
    for start in range(0, len(prompts), CHUNK):
        part = prompts[start : start + CHUNK]
        outputs = Output.objects.filter(model=model, prompt__in=part).order_by("pk")
        latest = {output.prompt_id: output.text for output in outputs}
        for prompt in part:
            yield {"id": prompt.pk, "text": latest[prompt.pk], "references": _references(prompt)}


def _scored(model: ModelVersion, prompts: list[Prompt]) -> Iterator[dict]:
    """`{id, prompt, completion}`: the same, as a reward model reads it."""
    texts = {row["id"]: row["text"] for row in _answers(model, prompts)}
    for prompt in prompts:
        yield {"id": prompt.pk, "prompt": chat(prompt.messages), "completion": texts[prompt.pk]}


def _data(suite: str, model: ModelVersion, models: list[ModelVersion], prompts: list[Prompt]) -> tuple[dict, dict]:
    """run.json's `data`, and the files it names."""
    if suite == Suite.FORGETTING:
        return {}, {}
    if suite == Suite.PERPLEXITY:
        rows = (
            {"id": prompt.pk, "messages": _conversation(model, prompt), "references": _references(prompt)}
            for prompt in prompts
        )
        return {"references": REFERENCES}, {REFERENCES: rows}
    rows = _scored if suite == Suite.REWARD else _answers
    data, files = {"predictions": PREDICTIONS}, {PREDICTIONS: rows(model, prompts)}
    if baseline := baseline_of(model, models):
        data["baseline"], files[BASELINE] = BASELINE, rows(baseline, prompts)
    return data, files


def _conversation(model: ModelVersion, prompt: Prompt) -> list[dict]:
    """The prompt as the model version is asked it: behind its system prompt, unless the prompt has one of its own."""
    messages, system = chat(prompt.messages), model.decoding.get("system")
    if system and messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    return messages


def baseline_of(model: ModelVersion, models: list[ModelVersion]) -> ModelVersion | None:
    """Whom a model is compared with: its parent if that is measured too, else the last of those asked for."""
    parent = next((other for other in models if other.pk == model.parent_id), None)
    if parent is not None or any(other.parent_id == model.pk for other in models):
        return parent
    return models[-1] if models[-1] != model else None


# --- What came back ------------------------------------------------------------------------------------------


def evaluation_begin(*, run: Run) -> None:
    """A supervisor is about to take the run: whoever looks sees the evaluation running."""
    Evaluation.objects.filter(parts__run=run, status=Status.PENDING).update(status=Status.RUNNING)


@transaction.atomic
def evaluation_store(*, run: Run) -> None:
    """Store the results of an ended run, and see whether its evaluation is done. Doing it twice does it once."""
    part = run.evaluation_run
    evaluation = Evaluation.objects.select_for_update(of=("self",)).select_related("suite_version")
    evaluation = evaluation.get(pk=part.evaluation_id)
    if run.state == RunState.COMPLETED and evaluation.suite_version:
        own_results.results_store(part=part, suite=evaluation.suite_version)
    elif run.state == RunState.COMPLETED:
        Result.objects.bulk_create(
            (
                Result(evaluation=evaluation, model_id=part.model_id, metric=name, **_measure(measured))
                for name, measured in (run.result or {}).get("metrics", {}).items()
                if measured["value"] is not None  # an infinite perplexity is no number
            ),
            update_conflicts=True,
            unique_fields=["evaluation", "model", "metric"],
            update_fields=["value", "lower", "upper", "n"],
        )
    _status_see(evaluation)


def _status_see(evaluation: Evaluation) -> None:
    """Bring the evaluation's status in line with its runs'; the caller holds its row."""
    parts = list(evaluation.parts.select_related("run", "model"))
    states = {part.run.state for part in parts}
    if states & ACTIVE:
        waiting = states <= {RunState.QUEUED} and not any(part.run.attempts for part in parts)
        evaluation.status, evaluation.error = (Status.PENDING if waiting else Status.RUNNING), ""
        evaluation.finished_at = None
    else:
        problems = [
            f"{part.model.name}: {part.run.error_message or 'was stopped'}"
            for part in parts
            if part.run.state != RunState.COMPLETED
        ]
        evaluation.status = Status.FAILED if problems else Status.DONE
        evaluation.error = "\n".join(problems)
        evaluation.finished_at = timezone.now()
        if evaluation.suite_version_id:
            own_results.differences_store(parts=parts, baseline_of=baseline_of)
        elif evaluation.suite == Suite.FORGETTING:
            own_results.differences_store(parts=parts, baseline_of=baseline_of, scores_of=own_results.questions_of)
    evaluation.save(update_fields=["status", "error", "finished_at"])


@transaction.atomic
def evaluation_stop(*, evaluation: Evaluation) -> None:
    """Stop what of it waits or runs. DomainError (409) when it has ended."""
    active = [part.run for part in evaluation.parts.select_related("run") if part.run.state in ACTIVE]
    if not active:
        raise DomainError(_("This evaluation has ended; there is nothing to stop."), code="conflict", status=409)
    for run in active:
        runs.run_stop(run=run)


@transaction.atomic
def evaluation_resume(*, evaluation: Evaluation) -> None:
    """Queue its stopped and failed runs again. DomainError (409) when there is none."""
    ended = [part.run for part in evaluation.parts.select_related("run")]
    ended = [run for run in ended if run.state in (RunState.STOPPED, RunState.FAILED)]
    if not ended:
        raise DomainError(_("Nothing of this evaluation was stopped or failed."), code="conflict", status=409)
    for run in ended:
        runs.run_queue(run=run)
    evaluation = Evaluation.objects.select_for_update().get(pk=evaluation.pk)
    _status_see(evaluation)


def sweep() -> None:
    """Store what an ended run of an unfinished evaluation has measured: its job was lost before it could."""
    unfinished = EvaluationRun.objects.filter(
        evaluation__status__in=(Status.PENDING, Status.RUNNING), run__state__in=FINISHED
    )
    for part in unfinished.select_related("run"):
        evaluation_store(run=part.run)


def _measure(measured: dict) -> dict:
    """A metric of result.json, `{value, lower, upper, n}`, as a row's fields."""
    return {name: measured.get(name) for name in ("value", "lower", "upper", "n")}
