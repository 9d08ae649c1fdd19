"""Which open pairs a reward model is unsure of: those come to raters first, and teach it most.

Its heads, each trained on a bootstrap of the votes, give a pair the probabilities pₖ that the one answer is preferred.
The doubt is what they disagree about: H(mean pₖ) − mean H(pₖ) in bits, the mutual information of the next vote and the
heads (Houlsby et al. 2011, "Bayesian active learning for classification and preference learning", arXiv 1112.5745,
equation 2). A pair that all heads call even is no doubt: another vote on it teaches nothing.
"""

import math
from statistics import fmean

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.rating.models import Assignment, Judgment, Task
from feedbackhub.rating.services import task_priority_set
from feedbackhub.rating.shares import Share
from feedbackhub.rewards.services import can_be_scored, reward_check, scores_keep, scores_read, scoring_run
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import Run, RunState

from .models import RewardScoring

JOB = "feedbackhub.rounds.jobs.scoring_run"
PAIRS_AT_MOST = 2000
PAIRS = 200  # unless more are asked for
RAISED_SHARE = 0.25
PRIORITY = 2  # above what the active order raises, below the blind pairs of a round


@transaction.atomic
def scoring_create(
    *, project: Project, model: ModelVersion, by: User | None = None, limit: int = PAIRS
) -> RewardScoring:
    """Let a reward model look at up to `limit` pairs that still want judgments, the oldest first.

    Raises DomainError: no reward model of this project, or no open pair of text answers.
    """
    reward_check(project, model, field="model")
    if not 1 <= limit <= PAIRS_AT_MOST:
        message = f"limit {limit} must be from 1 to {PAIRS_AT_MOST}."
        raise DomainError(message, fields={"limit": message})
    pairs = _open_pairs(project, limit)
    if not pairs:
        raise DomainError("No pair waits for judgments just now; make tasks first.", code="nothing", status=409)
    outputs = sorted({pk for pair in pairs for pk in pair[1:]})
    run = scoring_run(project=project, reward_model=model, outputs=outputs, job=JOB, by=by)
    scoring = RewardScoring.objects.create(project=project, model=model, run=run, tasks=pairs, created_by=by)
    runs.run_queue(run=run)
    return scoring


def _open_pairs(project: Project, limit: int) -> list[list[int]]:
    is_open = Exists(Assignment.objects.filter(task=OuterRef("pk"), state=Assignment.State.OPEN))
    tasks = Task.objects.filter(is_open, project=project, kind=TaskKind.PAIRWISE, check_kind="", priority__lte=PRIORITY)
    found = tasks.order_by("pk").prefetch_related("task_outputs")[:limit]
    pairs = [[task.pk, *sorted(one.output_id for one in task.task_outputs.all())] for task in found]
    ids = {pk for pair in pairs for pk in pair[1:]}
    read = {one.pk for one in Output.objects.filter(pk__in=ids).select_related("prompt") if can_be_scored(one)}
    return [pair for pair in pairs if len(pair) == 3 and read.issuperset(pair[1:])]


# --- What came back -------------------------------------------------------------------------------------------------


@transaction.atomic
def scoring_apply(*, run: Run) -> RewardScoring:
    """Take up what a completed scoring has written: a quarter of the pairs, the most doubtful, come before others.

    What an earlier scoring had put first goes back. Doing it twice does it once.
    """
    scoring = RewardScoring.objects.select_for_update(of=("self",)).select_related("project").get(run=run)
    if scoring.applied_at:
        return scoring
    rows = scores_read(run)
    scores_keep(scoring.model, rows)
    heads = {row["id"]: row["heads"] for row in rows}
    chances = {}
    for task, first, second in scoring.tasks:
        if first in heads and second in heads:
            found = [1 / (1 + math.exp(b - a)) for a, b in zip(heads[first], heads[second], strict=True)]
            chances[str(task)] = [first, fmean(found), doubt(found)]
    scoring.chances = chances
    _lower_earlier(scoring)
    scoring.raised = _raise(scoring)
    scoring.applied_at = timezone.now()
    scoring.save(update_fields=["chances", "raised", "applied_at"])
    return scoring


def doubt(chances: list[float]) -> float:
    """H(mean p) − mean H(p), in bits, from 0 to 1."""
    return max(0.0, _entropy(fmean(chances)) - fmean(map(_entropy, chances)))


def _entropy(chance: float) -> float:
    return -sum(p * math.log2(p) for p in (chance, 1 - chance) if p > 0)


def _lower_earlier(scoring: RewardScoring) -> None:
    earlier = RewardScoring.objects.filter(project=scoring.project).exclude(pk=scoring.pk).exclude(raised=[])
    for task in Task.objects.filter(pk__in={pk for one in earlier for pk in one.raised}, priority=PRIORITY):
        task_priority_set(task=task, priority=0)


def _raise(scoring: RewardScoring) -> list[int]:
    order = sorted(scoring.chances, key=lambda task: (-scoring.chances[task][2], int(task)))
    wanted = [int(task) for task in order[: math.ceil(len(order) * RAISED_SHARE)] if scoring.chances[task][2] > 0]
    raised = []
    for task in Task.objects.filter(pk__in=wanted, priority__lt=PRIORITY):
        task_priority_set(task=task, priority=PRIORITY)
        raised.append(task.pk)
    return sorted(raised)


def agreement_with_people(scoring: RewardScoring) -> Share:
    """How often people, judging later, preferred what the model had preferred; ties and both-bad left out."""
    judged = (
        Judgment.objects.in_force()
        .filter(task__in=[int(task) for task in scoring.chances], source=Judgment.Source.RATER, none_acceptable=False)
        .filter(occurred_at__gte=scoring.applied_at)
        .prefetch_related("items")
    )
    agreed = decided = 0
    for judgment in judged:
        best = [item.output_id for item in judgment.items.all() if item.tier == 0]
        first, chance, _ = scoring.chances[str(judgment.task_id)]
        if len(best) == 1 and chance != 0.5:
            decided += 1
            agreed += (best[0] == first) == (chance > 0.5)
    return Share(agreed, decided)


def sweep() -> None:
    """Take up completed scorings whose job was lost."""
    left = RewardScoring.objects.filter(run__state=RunState.COMPLETED, applied_at=None).select_related("run")
    for scoring in left:
        scoring_apply(run=scoring.run)
