"""Tasks made of outputs that are there: which outputs meet, what is skipped and why."""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice

from django.db import transaction
from django.utils.translation import gettext as _

from feedbackhub.catalog.content import said
from feedbackhub.catalog.identity import looked_at
from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.groups import Shares, groups_for
from feedbackhub.projects.models import IdentityLeaks, Project, RaterGroup, TaskKind

from .models import Assignment, Task, TaskOutput
from .places import order_of, place_of

AT_ONCE = 10_000
RANKED = (3, 10)  # outputs a ranking has
RANKED_BY_DEFAULT = 4
WANTED_AT_MOST = 50
CHUNK = 500

# (prompt id, output ids), or (prompt id, the reason why there is no task)
Candidate = tuple[int, tuple[int, ...] | str]
# {prompt id: {model id: output ids, oldest first}}
Answers = dict[int, dict[int, list[int]]]
# {(prompt id, model id): how many outputs are left out because they say who wrote them}
Revealing = Counter[tuple[int, int]]


@dataclass
class TasksCreated:
    """How many tasks there are more; `skipped`: {reason: how many there might have been}."""

    created: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """What tasks are asked for, checked. `size`: outputs a task."""

    project: Project
    models: list[ModelVersion]
    kind: str
    size: int
    limit: int
    wanted: int
    prompts: list[Prompt] | None
    groups: list[RaterGroup]
    shares: Shares = field(default_factory=Shares)

    def groups_of(self, prompts: Sequence[int]) -> dict[int, list[RaterGroup]]:
        """{prompt id: the groups of raters that may judge it}; empty in a project without groups."""
        if not self.groups:
            return {}
        languages = Prompt.objects.filter(pk__in=prompts).values_list("pk", "language")
        return {prompt: groups_for(self.groups, language) for prompt, language in languages}


def tasks_create(
    *,
    project: Project,
    models: Sequence[ModelVersion],
    kind: str | None = None,
    limit: int | None = None,
    outputs_per_task: int | None = None,
    prompts: Sequence[Prompt] | None = None,
    judgments_wanted: int | None = None,
    priority: int = 0,
) -> TasksCreated:
    """Make tasks of the models' outputs that are there, at most `limit` (10,000 unless less is asked for).

    pairwise: every pair of models on every prompt, so ordered that each prompt gets one pair before any gets a second
    and that the pairs take turns. ranking: `outputs_per_task` (3 to 10, else 4 or all models if fewer) models a prompt,
    drawn with the prompt's id as seed. Where a model has several outputs for a prompt, its latest meets the others.
    thumbs, scores: every output by itself.
    kind, judgments_wanted: the project's, unless given. prompts: only these.
    skipped: `already_exists`, `outputs_missing` (a model has not answered the prompt), `identical_outputs` (the answers
    say and show the same: there is nothing to choose), `reveals_identity` (an answer says who wrote it, and the project
    excludes such), `no_group_for_language` (no group of raters reads the prompt's), `limit_reached`. In a project with
    groups of raters each judgment is for one of them, by their weights.
    Raises DomainError for a wish that cannot be met.
    """
    wish = _wish(project, models, kind, limit, outputs_per_task, prompts, judgments_wanted)
    with transaction.atomic():
        # Two admins at once would make the same tasks; the second waits and finds them made.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        counts: Counter[str] = Counter()
        for chosen in _chosen(wish, counts):
            _store(wish, chosen, priority)
    return TasksCreated(counts.pop("created", 0), dict(counts))


def tasks_preview(**wish) -> TasksCreated:
    """What `tasks_create` of the same arguments would make and skip, without making it."""
    wish.pop("priority", None)
    names = ("kind", "limit", "outputs_per_task", "prompts", "judgments_wanted")
    checked = _wish(wish["project"], wish["models"], *(wish.get(name) for name in names))
    counts: Counter[str] = Counter()
    for _made in _chosen(checked, counts):
        pass
    return TasksCreated(counts.pop("created", 0), dict(counts))


# --- The wish ----------------------------------------------------------------------------------------------------


def _wish(project, models, kind, limit, outputs_per_task, prompts, judgments_wanted) -> Wish:
    kind = kind or project.task_kind
    limit = AT_ONCE if limit is None else limit
    wanted = project.judgments_per_task if judgments_wanted is None else judgments_wanted
    if kind not in TaskKind.values:
        _refuse("kind", f'kind "{kind}" is none of {", ".join(TaskKind.values)}.')
    if not 1 <= limit <= AT_ONCE:
        _refuse("limit", f"limit {limit} must be from 1 to {AT_ONCE}; make more with a second request.")
    if not 1 <= wanted <= WANTED_AT_MOST:
        _refuse("judgments_wanted", f"judgments_wanted {wanted} must be from 1 to {WANTED_AT_MOST}.")
    if kind == TaskKind.SCORES and not project.criteria:
        _refuse("kind", _("Scores need criteria, and this project has none; give it some first."))
    _models_check(project, models, kind)
    size = _size(kind, len(models), outputs_per_task)
    groups = list(RaterGroup.objects.filter(project=project).order_by("pk"))
    return Wish(project, list(models), kind, size, limit, wanted, None if prompts is None else list(prompts), groups)


def _models_check(project: Project, models: Sequence[ModelVersion], kind: str) -> None:
    twice = [model.name for model, count in Counter(models).items() if count > 1]
    if twice:
        _refuse("models", f'"{twice[0]}" is named twice; a model never meets itself.')
    least = {TaskKind.PAIRWISE: 2, TaskKind.RANKING: RANKED[0]}.get(kind, 1)
    if len(models) < least:
        _refuse(
            "models",
            _("A task of kind %(kind)s needs at least %(least)s models; %(count)s given.")
            % {"kind": kind, "least": least, "count": len(models)},
        )
    foreign = [model.name for model in models if model.project_id not in (None, project.pk)]
    if foreign:
        _refuse("models", f'"{foreign[0]}" belongs to another project.')
    outputs = Output.objects.filter(prompt__project=project)
    silent = [model.name for model in models if not outputs.filter(model=model).exists()]
    if silent:
        names = ", ".join(f'"{name}"' for name in silent)
        _refuse(
            "models", _("%(names)s: no outputs in this project yet; generate or import some first.") % {"names": names}
        )


def _size(kind: str, models: int, asked: int | None) -> int:
    if kind != TaskKind.RANKING:
        size = 2 if kind == TaskKind.PAIRWISE else 1
        if asked not in (None, size):
            _refuse("outputs_per_task", f"A task of kind {kind} has {size} of them; leave outputs_per_task out.")
        return size
    size = min(models, RANKED_BY_DEFAULT) if asked is None else asked
    if not RANKED[0] <= size <= RANKED[1]:
        _refuse("outputs_per_task", f"outputs_per_task {size} must be from {RANKED[0]} to {RANKED[1]} for a ranking.")
    if size > models:
        _refuse(
            "outputs_per_task",
            _("outputs_per_task %(size)s needs as many models; %(models)s given.") % {"size": size, "models": models},
        )
    return size


def _refuse(name: str, message: str) -> None:
    raise DomainError(message, fields={name: message})


# --- Which outputs meet ------------------------------------------------------------------------------------------


def _chosen(wish: Wish, counts: Counter) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
    """Chunk by chunk the (prompt id, output ids) of tasks to be made; counts them and what is skipped."""
    candidates = _CANDIDATES[wish.kind](wish, *_answers(wish))
    while part := list(islice(candidates, CHUNK)):
        sets = [(prompt, found) for prompt, found in part if not isinstance(found, str)]
        counts.update(found for _, found in part if isinstance(found, str))
        if counts["created"] >= wish.limit:
            counts["limit_reached"] += len(sets)
            continue
        sets = _judgeable(wish, _worth_asking(wish, sets, counts), counts)
        fitting = sets[: wish.limit - counts["created"]]
        counts["limit_reached"] += len(sets) - len(fitting)
        counts["created"] += len(fitting)
        yield fitting
    for reason in [reason for reason, count in counts.items() if not count]:
        del counts[reason]


def _answers(wish: Wish) -> tuple[Answers, Revealing]:
    """The outputs of the wished models on the wished prompts of the project, prompts in the order they came.

    Where the project excludes outputs that say who wrote them, those are counted instead.
    """
    outputs = Output.objects.filter(prompt__project=wish.project, model__in=wish.models)
    revealing: Revealing = Counter()
    if wish.project.identity_leaks == IdentityLeaks.EXCLUDE:
        looked_at(outputs)
        revealed = outputs.filter(reveals_identity=True)
        revealing.update(
            (prompt, model) for prompt, model in revealed.values_list("prompt_id", "model_id").iterator(chunk_size=5000)
        )
        outputs = outputs.filter(reveals_identity=False)
    rows = outputs.order_by("prompt_id", "pk").values_list("prompt_id", "model_id", "pk")
    prompts = Prompt.objects.filter(project=wish.project).order_by("pk").values_list("pk", flat=True)
    ids = list(prompts) if wish.prompts is None else [prompt.pk for prompt in wish.prompts]
    answers: Answers = {prompt: defaultdict(list) for prompt in ids}
    for prompt, model, output in rows.iterator(chunk_size=5000):
        if prompt in answers:
            answers[prompt][model].append(output)
    return answers, revealing


def _why_missing(prompt: int, models: Iterable[int], revealing: Revealing) -> str:
    return "reveals_identity" if any((prompt, model) in revealing for model in models) else "outputs_missing"


def _pairs(wish: Wish, answers: Answers, revealing: Revealing) -> Iterator[Candidate]:
    pairs = list(combinations([model.pk for model in wish.models], 2))
    for turn in range(len(pairs)):
        for place, (prompt, of_models) in enumerate(answers.items()):
            pair = pairs[(place + turn) % len(pairs)]
            missing = [model for model in pair if model not in of_models]
            if missing:
                yield prompt, _why_missing(prompt, missing, revealing)
            else:
                yield prompt, tuple(of_models[model][-1] for model in pair)


def _rankings(wish: Wish, answers: Answers, revealing: Revealing) -> Iterator[Candidate]:
    for prompt, of_models in answers.items():
        there = [model.pk for model in wish.models if model.pk in of_models]
        if len(there) < wish.size:
            missing = [model.pk for model in wish.models if model.pk not in of_models]
            yield prompt, _why_missing(prompt, missing, revealing)
        else:
            drawn = random.Random(prompt).sample(there, wish.size)
            yield prompt, tuple(of_models[model][-1] for model in drawn)


def _singles(wish: Wish, answers: Answers, revealing: Revealing) -> Iterator[Candidate]:
    for prompt, of_models in answers.items():
        for model in wish.models:
            for _one in range(revealing[prompt, model.pk]):
                yield prompt, "reveals_identity"
            if model.pk not in of_models and (prompt, model.pk) not in revealing:
                yield prompt, "outputs_missing"
            for output in of_models.get(model.pk, ()):
                yield prompt, (output,)


_CANDIDATES: dict[str, Callable[[Wish, Answers, Revealing], Iterator[Candidate]]] = {
    TaskKind.PAIRWISE: _pairs,
    TaskKind.RANKING: _rankings,
    TaskKind.THUMBS: _singles,
    TaskKind.SCORES: _singles,
}


def _worth_asking(wish: Wish, sets: list, counts: Counter) -> list[tuple[int, tuple[int, ...]]]:
    """Those that are no task yet and whose outputs differ."""
    keys = {outputs: outputs_key(wish.kind, outputs) for _, outputs in sets}
    there = set(
        Task.objects.filter(project=wish.project, outputs_key__in=keys.values()).values_list("outputs_key", flat=True)
    )
    new = [(prompt, outputs) for prompt, outputs in sets if keys[outputs] not in there]
    counts["already_exists"] += len(sets) - len(new)
    if wish.size == 1:
        return new
    found = Output.objects.filter(pk__in=[output for _, outputs in new for output in outputs])
    say = {pk: said(parts).strip() for pk, parts in found.values_list("pk", "parts")}
    differing = [one for one in new if len({say[output] for output in one[1]}) > 1]
    counts["identical_outputs"] += len(new) - len(differing)
    return differing


def _judgeable(wish: Wish, sets: list, counts: Counter) -> list[tuple[int, tuple[int, ...]]]:
    """Those whose prompt some group of raters can read, where the project has groups."""
    if not wish.groups:
        return sets
    of_prompt = wish.groups_of([prompt for prompt, _ in sets])
    readable = [one for one in sets if of_prompt.get(one[0])]
    counts["no_group_for_language"] += len(sets) - len(readable)
    return readable


def outputs_key(kind: str, outputs: Sequence[int]) -> str:
    """Digest of kind and outputs, in whatever order."""
    return hashlib.sha256(f"{kind}:{','.join(map(str, sorted(outputs)))}".encode()).hexdigest()


def _store(wish: Wish, chosen: list[tuple[int, tuple[int, ...]]], priority: int) -> None:
    tasks = Task.objects.bulk_create(
        Task(
            project=wish.project,
            prompt_id=prompt,
            kind=wish.kind,
            outputs_key=outputs_key(wish.kind, outputs),
            judgments_wanted=wish.wanted,
            priority=priority,
        )
        for prompt, outputs in chosen
    )
    TaskOutput.objects.bulk_create(
        TaskOutput(task=task, output_id=output)
        for task, (_, outputs) in zip(tasks, chosen, strict=True)
        for output in outputs
    )
    order = order_of(wish.project)
    of_prompt = wish.groups_of([prompt for prompt, _ in chosen])
    Assignment.objects.bulk_create(
        Assignment(
            task=task,
            project=wish.project,
            ordinal=ordinal,
            priority=priority,
            place=place_of(order, task.pk, ordinal),
            group=wish.shares.next(of_prompt.get(task.prompt_id, [])),
        )
        for task in tasks
        for ordinal in range(wish.wanted)
    )
