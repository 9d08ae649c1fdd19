"""Tuning rounds: from a frozen dataset to a new model version, and what follows it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from django.conf import settings as site
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion, Prompt, Split
from feedbackhub.catalog.weights import is_encoder_decoder
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run, RunState

from . import doubt, follow_up
from .datasets import chat
from .mixtures import Weighted, mixture_check, mixture_data, mixture_files, mixture_hash, rows_of
from .models import MixturePart, PreferenceDataset, Round
from .preflight import leaked
from .recipes import DATASET_KIND, ENCODER_DECODER, ONLINE, RULES, recipe_check, settings_check

JOB = "feedbackhub.rounds.jobs.round_run"
SAMPLE_PROMPTS = 4


@transaction.atomic
def round_create(
    *,
    project: Project,
    by: User,
    recipe: str,
    base_model: ModelVersion,
    dataset: PreferenceDataset | None = None,
    settings: dict | None = None,
    reward_model: ModelVersion | None = None,
    audit_model: ModelVersion | None = None,
    mixture: Weighted = (),
) -> Round:
    """A draft of a round, its run directory written. mixture: several datasets and weights, instead of one dataset.

    Raises DomainError: unknown recipe or setting, a base that cannot be trained, a dataset of another kind or project,
    a reward model where none is used, nothing to learn from where one is, or an audit that could see nothing.
    """
    recipe_check(recipe)
    settings = settings_check(recipe, settings or {})
    _base_check(project, base_model)
    _recipe_fits(recipe, base_model)
    _reward_check(project, recipe, reward_model, settings)
    if mixture:
        mixture_check(recipe, mixture)
        dataset = mixture[0][0]
    _audit_check(project, recipe, audit_model, reward_model, dataset)
    for one in [one for one, _weight in mixture] or [dataset]:
        _dataset_check(project, recipe, one)
    number = (Round.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0) + 1
    run = runs.run_create(
        project=project,
        recipe=recipe,
        spec=_spec(number, recipe, base_model, dataset, settings, reward_model, mixture, audit_model),
        files=_files(project, dataset, mixture),
        queue="training",
        job=JOB,
        by=by,
    )
    made = Round.objects.create(
        project=project,
        number=number,
        recipe=recipe,
        base_model=base_model,
        dataset=dataset,
        reward_model=reward_model,
        audit_model=audit_model,
        settings=settings,
        run=run,
        created_by=by,
    )
    MixturePart.objects.bulk_create(MixturePart(round=made, dataset=one, weight=weight) for one, weight in mixture)
    return made


def _base_check(project: Project, base: ModelVersion) -> None:
    if base.project_id not in (None, project.pk):
        message = f'model "{base.name}" belongs to another project.'
    elif base.role != ModelVersion.Purpose.POLICY or not base.generates:
        message = _(
            'model "%(base)s" (%(kind)s) has no weights here that could be tuned; choose a local model or a hub id.'
        ) % {"base": base.name, "kind": base.get_kind_display()}
    else:
        return
    raise DomainError(message, fields={"base_model": message})


def _recipe_fits(recipe: str, base: ModelVersion) -> None:
    """Whether the recipe tunes a base of this kind, as far as its folder tells."""
    if recipe in ENCODER_DECODER or not is_encoder_decoder(Path(base.base)):
        return
    message = _(
        'model "%(base)s" is an encoder–decoder; recipe %(recipe)s is for causal models. These tune it: %(those)s.'
    )
    message %= {"base": base.name, "recipe": recipe, "those": ", ".join(ENCODER_DECODER)}
    raise DomainError(message, fields={"base_model": message})


def _dataset_check(project: Project, recipe: str, dataset: PreferenceDataset) -> None:
    wanted = DATASET_KIND[recipe]
    if dataset.project_id != project.pk:
        message = f"dataset {dataset.pk} belongs to another project."
    elif dataset.kind != wanted:
        message = _("recipe %(recipe)s learns from a dataset of kind %(wanted)s; dataset %(dataset)s is %(kind)s.") % {
            "recipe": recipe,
            "wanted": wanted,
            "dataset": dataset.pk,
            "kind": dataset.kind,
        }
    elif not dataset.counts.get("train"):
        message = _("dataset %(dataset)s has no row in the train split: there is nothing to learn from.") % {
            "dataset": dataset.pk
        }
    else:
        return
    raise DomainError(message, fields={"dataset": message})


def _reward_check(project: Project, recipe: str, reward: ModelVersion | None, settings: dict) -> None:
    """Whether there is something to learn from: a reward model for the online recipes, or a rule; else neither."""
    if recipe not in ONLINE:
        if reward is None:
            return
        message = _("Recipe %(recipe)s learns from the dataset alone and takes no reward model.") % {"recipe": recipe}
    elif reward is None:
        if any(settings.get(rule) for rule in RULES):
            return
        message = _(
            "Recipe %(recipe)s needs something that says what a good answer is: a reward model, or a rule among the "
            "settings."
        ) % {"recipe": recipe}
    elif not (message := _no_reward_model(project, reward)):
        return
    raise DomainError(message, fields={"reward_model": message})


def _no_reward_model(project: Project, model: ModelVersion) -> str:
    """Why a model cannot say what answers of this project are worth, or the empty text."""
    if model.project_id not in (None, project.pk):
        return _('model "%(name)s" belongs to another project.') % {"name": model.name}
    if model.role != ModelVersion.Purpose.REWARD:
        return _('model "%(name)s" is no reward model; train one with the recipe reward.') % {"name": model.name}
    return ""


def _audit_check(
    project: Project,
    recipe: str,
    audit: ModelVersion | None,
    reward: ModelVersion | None,
    dataset: PreferenceDataset,
) -> None:
    """Whether a second reward model could look on: at answers to held-out prompts, and not at its own."""
    if audit is None:
        return
    if recipe not in ONLINE:
        message = _("Recipe %(recipe)s writes no answers that an audit could look at.") % {"recipe": recipe}
    elif audit == reward:
        message = _("The audit is the reward model itself, which cannot tell that it is deceived; choose another one.")
    elif not dataset.counts.get("validation"):
        message = _(
            "The audit looks at answers to validation prompts, and dataset %(dataset)s has none. Import some prompts "
            "with the split “validation”, or leave the audit out."
        ) % {"dataset": dataset.pk}
    elif not (message := _no_reward_model(project, audit)):
        return
    raise DomainError(message, fields={"audit_model": message})


def _spec(
    number: int,
    recipe: str,
    base: ModelVersion,
    dataset: PreferenceDataset,
    settings: dict,
    reward: ModelVersion | None = None,
    mixture: Weighted = (),
    audit: ModelVersion | None = None,
) -> dict:
    """run.json (CONTRACT, "A run directory"), with what the model card tells of the data."""
    data = {"train": "data/train.jsonl", "samples": "data/samples.jsonl"}
    if mixture:
        data = {"mixture": mixture_data(mixture), "samples": "data/samples.jsonl"}
    elif dataset.counts.get("validation"):
        data["validation"] = "data/validation.jsonl"
    spec = {
        "recipe": recipe,
        "base": {"path": base.base, "merged_cache": str(site.MODELS_DIR / "merged")},
        "data": data,
        "settings": {name: value for name, value in settings.items() if value is not None},
        "seed": settings.get("seed") or 0,
        "dataset_hash": mixture_hash(mixture) if mixture else dataset.content_hash,
        "votes": votes_behind([of for of, _ in mixture] or [dataset]),
        "title": f"round {number} of {dataset.project.slug}",
    }
    if base.adapter:
        spec["base"]["adapter"] = base.adapter
    for name, model in (("reward", reward), ("audit", audit)):
        if model:
            spec[name] = {"path": model.base, **({"adapter": model.adapter} if model.adapter else {})}
    return spec


def votes_behind(datasets: list[PreferenceDataset]) -> dict[str, int]:
    """{judgments, raters} of what was frozen; raters of one dataset alone, for several may have the same."""
    names = ("judgments", "raters") if len(datasets) == 1 else ("judgments",)
    return {
        name: sum(of.counts.get(name, 0) for of in datasets)
        for name in names
        if any(name in of.counts for of in datasets)
    }


def _files(project: Project, dataset: PreferenceDataset, mixture: Weighted = ()) -> dict[str, Iterable[dict]]:
    if mixture:
        return {**mixture_files(mixture), "data/samples.jsonl": _samples(project)}
    files = {"data/train.jsonl": rows_of(dataset, Split.TRAIN), "data/samples.jsonl": _samples(project)}
    if dataset.counts.get("validation"):
        files["data/validation.jsonl"] = rows_of(dataset, Split.VALIDATION)
    return files


def _samples(project: Project) -> Iterator[dict]:
    """Prompts whose answers are shown before and after: held out where there are such, never of the test split."""
    prompts = Prompt.objects.filter(project=project)
    held_out = prompts.filter(split=Split.VALIDATION)
    chosen = held_out if held_out.exists() else prompts.filter(split=Split.TRAIN)
    in_turn = chosen.order_by("digest").iterator(chunk_size=500)
    for prompt in islice((one for one in in_turn if not one.shows_media), SAMPLE_PROMPTS):
        yield {"id": prompt.pk, "messages": chat(prompt.messages)}


def round_launch(*, tuning_round: Round, anyway: bool = False) -> None:
    """Queue a draft. Raises DomainError (409) when it was launched before, and (code `preflight`) when a test prompt is
    among those it would train on, unless it is to be launched `anyway`.
    """
    if tuning_round.run.state != RunState.DRAFT:
        raise DomainError(
            _("Round %(number)s is %(state)s, not a draft; resume it if it was stopped.")
            % {"number": tuning_round.number, "state": _(tuning_round.run.state)},
            code="conflict",
            status=409,
        )
    if not anyway and (finding := leaked(tuning_round.datasets)):
        raise DomainError(f"{finding.text} {finding.advice}", code="preflight", status=409)
    runs.run_queue(run=tuning_round.run)


def round_stop(*, tuning_round: Round) -> None:
    """Ask a queued or running round to stop; it writes a checkpoint first."""
    runs.run_stop(run=tuning_round.run)


def round_resume(*, tuning_round: Round) -> None:
    """Queue a stopped or failed round again; it goes on from its last checkpoint."""
    if tuning_round.run.state not in (RunState.STOPPED, RunState.FAILED):
        raise DomainError(
            _("Round %(number)s is %(state)s; only a stopped or failed round can be resumed.")
            % {"number": tuning_round.number, "state": _(tuning_round.run.state)},
            code="conflict",
            status=409,
        )
    runs.run_queue(run=tuning_round.run)


def round_complete(*, run: Run) -> Round:
    """Register the model version that a completed run has made, and what is to follow. Doing it twice does it once."""
    with transaction.atomic():
        tuning_round = Round.objects.select_for_update().select_related("base_model", "run").get(run=run)
        if tuning_round.model_id is None:
            tuning_round.model = _child_create(tuning_round)
            tuning_round.save(update_fields=["model"])
            if tuning_round.model.role == ModelVersion.Purpose.POLICY:  # a reward model answers nothing
                follow_up.follow_ups_create(tuning_round=tuning_round)
    if tuning_round.model.role == ModelVersion.Purpose.POLICY:
        follow_up.follow_ups_advance(tuning_round=tuning_round)
    return tuning_round


def _child_create(tuning_round: Round) -> ModelVersion:
    """The model version that the round made: the parent's base (merged, if it had an adapter) and a new adapter."""
    parent, run = tuning_round.base_model, tuning_round.run
    adapter = run.directory / "adapter"
    child = {
        "kind": parent.kind,
        "base": (run.result or {}).get("base_path") or parent.base,
        "adapter": str(adapter) if adapter.exists() else "",
        "decoding": parent.decoding,
        "parent": parent,
    }
    if tuning_round.recipe == "reward":
        child["role"] = ModelVersion.Purpose.REWARD
    if not adapter.exists():  # a full fine-tuning leaves whole weights instead
        child["kind"], child["base"] = ModelVersion.Kind.LOCAL, str(run.directory / "model")
    elif parent.adapter:
        child["kind"] = ModelVersion.Kind.LOCAL
    name = f"{parent.name.split('+')[0]}+{tuning_round.recipe}-r{tuning_round.number}"
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        try:
            with transaction.atomic():
                return ModelVersion.objects.create(project=tuning_round.project, name=name[:110] + suffix, **child)
        except IntegrityError:
            continue
    raise DomainError(f'There are a hundred models called "{name}" already.')


def sweep() -> None:
    """Finish what a lost job or a killed worker has left: completed runs without a model, steps that can go on."""
    left = Round.objects.filter(run__state=RunState.COMPLETED, model=None).select_related("run")
    for tuning_round in left:
        round_complete(run=tuning_round.run)
    for tuning_round in follow_up.unfinished_rounds():
        follow_up.follow_ups_advance(tuning_round=tuning_round)
    doubt.sweep()
