"""Best of n: n answers a prompt, ranked by a reward model. The best become the outputs of a model version of their own
("M, best of 4 by R"), the worst of another, so that both can be rated and compared like any model's."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.answers import answer_keep
from feedbackhub.catalog.generations import ANSWERS_AT_MOST, generation_create
from feedbackhub.catalog.models import Generation, ModelVersion, Output, Prompt
from feedbackhub.catalog.services import model_create
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.rating.services import tasks_create
from feedbackhub.runs.models import FINISHED, RunState
from feedbackhub.stats.best_of import divergence_bound, expected_maximum, mean_interval

from . import scoring
from .models import BestOf, OutputScore

Status = BestOf.Status
NAME_AT_MOST = 120


@transaction.atomic
def best_of_create(
    *,
    project: Project,
    model: ModelVersion,
    reward_model: ModelVersion,
    n: int = 4,
    prompts: Sequence[Prompt] | None = None,
    split: str | None = None,
    limit: int | None = None,
    pairs: bool = False,
    by: User | None = None,
) -> BestOf:
    """Ask for n answers (2 to 16) a prompt, to be ranked. prompts, split, limit: as in a generation.

    pairs: ask raters about the best against the worst. Raises DomainError for what cannot be generated or scored.
    """
    scoring.reward_check(project, reward_model)
    if not isinstance(n, int) or isinstance(n, bool) or not 2 <= n <= ANSWERS_AT_MOST:
        message = _("n must be a whole number from 2 to %(most)s.") % {"most": ANSWERS_AT_MOST}
        raise DomainError(message, fields={"n": message})
    generation = generation_create(
        project=project,
        models=[model],
        prompts=list(prompts) if prompts is not None else None,
        split=split,
        limit=limit,
        n=n,
        by=by,
    )
    return BestOf.objects.create(
        project=project,
        model=model,
        reward_model=reward_model,
        n=n,
        pairs=pairs,
        generation=generation,
        created_by=by,
    )


@transaction.atomic
def best_of_advance(best_of: BestOf) -> BestOf:
    """Take the next step if what it waits for has ended: score the answers, then rank them. Harmless when repeated."""
    best_of = BestOf.objects.select_for_update(of=("self",)).get(pk=best_of.pk)
    try:
        if best_of.status == Status.ANSWERS:
            _answered(best_of)
        elif best_of.status == Status.SCORING:
            _scored(best_of)
    except DomainError as error:
        _end(best_of, Status.FAILED, error.message)
    return best_of


def _end(best_of: BestOf, status: str, message: str = "") -> None:
    best_of.status, best_of.message, best_of.finished_at = status, message, timezone.now()
    best_of.save()


def _answered(best_of: BestOf) -> None:
    generation = best_of.generation
    if generation.status == Generation.Status.FAILED:
        _end(best_of, Status.FAILED, generation.error)
    elif generation.status == Generation.Status.DONE:
        outputs = Output.objects.filter(pk__in=[output.pk for output in candidates(best_of)]).order_by("pk")
        best_of.scoring = scoring.outputs_score(
            project=best_of.project, reward_model=best_of.reward_model, outputs=outputs, by=best_of.created_by
        )
        best_of.status = Status.SCORING
        best_of.save()


def _scored(best_of: BestOf) -> None:
    run = best_of.scoring.run
    if run.state == RunState.COMPLETED and best_of.scoring.applied_at:
        _rank(best_of)
    elif run.state in FINISHED and run.state != RunState.COMPLETED:
        _end(best_of, Status.FAILED, run.error_message or _("The scoring was stopped."))


def candidates(best_of: BestOf) -> list[Output]:
    """The answers that were written for it, prompt by prompt."""
    runs = [part.run_id for part in best_of.generation.parts.all()]
    found = Output.objects.filter(model=best_of.model, prompt__in=best_of.generation.prompts).select_related("prompt")
    keys = tuple(f"run:{run}:" for run in runs)
    return [output for output in found.order_by("prompt_id", "pk") if output.content_key.startswith(keys)]


def rankings(best_of: BestOf) -> list[list[OutputScore]]:
    """For each prompt of which at least two answers are scored, their scores, the best first."""
    by_prompt = defaultdict(list)
    outputs = {output.pk: output for output in candidates(best_of)}
    scores = OutputScore.objects.filter(reward_model=best_of.reward_model, output__in=outputs)
    for score in scores:
        score.output = outputs[score.output_id]
        by_prompt[score.output.prompt_id].append(score)
    ordered = (sorted(found, key=lambda one: (-one.reward, one.output_id)) for _, found in sorted(by_prompt.items()))
    return [found for found in ordered if len(found) >= 2]


def _rank(best_of: BestOf) -> None:
    found = rankings(best_of)
    if not found:
        raise DomainError(_("No prompt got two answers that could be scored, so there is nothing to rank."))
    best_of.best = _kept(best_of, "best", [scores[0] for scores in found])
    best_of.worst = _kept(best_of, "worst", [scores[-1] for scores in found])
    message = ""
    apart = [scores[0].output.prompt for scores in found if scores[0].reward > scores[-1].reward]
    if best_of.pairs and apart:
        made = tasks_create(
            project=best_of.project,
            models=[best_of.best, best_of.worst],
            kind=TaskKind.PAIRWISE,
            prompts=apart,
        )
        best_of.tasks_created = made.created
        left_out = ", ".join(f"{_(reason.replace('_', ' '))}: {n}" for reason, n in sorted(made.skipped.items()))
        message = _("Left out: %(reasons)s") % {"reasons": left_out} if left_out else ""
    _end(best_of, Status.DONE, message)


def _kept(best_of: BestOf, which: str, scores: list[OutputScore]) -> ModelVersion:
    """The model version whose outputs are these answers: a contender like any other, without weights of its own."""
    tail = f" {which} of {best_of.n} by {best_of.reward_model.name}"
    name = f"{best_of.model.name[: max(8, NAME_AT_MOST - len(tail))]}{tail}"[:NAME_AT_MOST]
    there = ModelVersion.objects.filter(project=best_of.project, name=name, kind=ModelVersion.Kind.IMPORTED).first()
    kept = there or model_create(
        project=best_of.project, name=name, kind=ModelVersion.Kind.IMPORTED, parent=best_of.model
    )
    copies = []
    for score in scores:
        output = score.output
        facts = {name: getattr(output, name) for name in ("decoding", "seed", "tokens", "latency_ms", "finish_reason")}
        key = f"{which}:{best_of.pk}"
        copy = answer_keep(prompt=output.prompt, model=kept, text=output.text, content_key=key, **facts)
        copies.append({"id": copy.pk, "reward": score.reward, "heads": score.heads})
    scoring.scores_keep(best_of.reward_model, copies)
    return kept


def figures(best_of: BestOf, found: list[list[OutputScore]]) -> dict | None:
    """What taking the best gains, by the reward model's own opinion; None before anything is ranked.

    `{prompts, n, gain: [mean, lower, upper], spread, divergence_bound, chance, curve: [{k, value, lower, upper}]}`:
    gain: the best over one answer; spread: the standard deviation within a prompt, on average; chance: of the best to
    be preferred to another of the n; curve: the expected reward of the best of k. Only prompts of which all n answers
    are scored enter.
    """
    whole = [[score.reward for score in scores] for scores in found if len(scores) == best_of.n]
    if not whole:
        return None
    rewards = np.array(whole)
    expected = expected_maximum(rewards)
    others = rewards.max(axis=1, keepdims=True) - np.sort(rewards, axis=1)[:, :-1]
    curve = []
    for k in range(1, best_of.n + 1):
        value, lower, upper = mean_interval(expected[:, k - 1])
        curve.append({"k": k, "value": value, "lower": lower, "upper": upper})
    return {
        "prompts": len(whole),
        "n": best_of.n,
        "gain": mean_interval(expected[:, -1] - expected[:, 0]),
        "spread": float(rewards.std(axis=1, ddof=1).mean()),
        "chance": float((1 / (1 + np.exp(-others))).mean()),
        "divergence_bound": divergence_bound(best_of.n),
        "curve": curve,
    }


def sweep() -> None:
    """Go on with what has been answered or scored."""
    for best_of in BestOf.objects.filter(status__in=BestOf.UNFINISHED):
        best_of_advance(best_of)
