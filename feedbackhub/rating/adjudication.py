"""Adjudication: an admin settles what raters disagree on.

A settlement is a judgment of its own, of source `adjudication`, and append-only like all: settling anew supersedes it,
an undo withdraws it. It is no vote: tallies, the leaderboard and agreement go on counting what raters said (`counted`
is False). Where a dataset is frozen it stands for all votes on its task's outputs.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.models import Project, TaskKind

from .models import Assignment, Judgment, JudgmentItem, Task
from .payload import COMMENT_AT_MOST

KINDS = (TaskKind.PAIRWISE, TaskKind.RANKING, TaskKind.THUMBS)
TIE, NONE = "tie", "none"


@dataclass(frozen=True)
class Verdict:
    """tiers: {output id: tier}, 0 is best; for thumbs none, and `thumbs` is 1 or −1."""

    tiers: dict[int, int]
    none_acceptable: bool = False
    thumbs: int | None = None

    @property
    def text(self) -> str:
        """As `verdict_read` takes it: "12>7=9" from best to worst, "none", "1", "-1"."""
        if self.thumbs is not None:
            return str(self.thumbs)
        if self.none_acceptable:
            return NONE
        tiers: dict[int, list[int]] = {}
        for output, tier in sorted(self.tiers.items()):
            tiers.setdefault(tier, []).append(output)
        return ">".join("=".join(map(str, tiers[tier])) for tier in sorted(tiers))


def verdict_of(judgment: Judgment) -> Verdict:
    """What a judgment with its items says of the outputs; two that say the same are equal, however tiers count."""
    items = list(judgment.items.all())
    if judgment.kind == TaskKind.THUMBS:
        return Verdict({}, thumbs=items[0].thumbs)
    order = sorted({item.tier for item in items})
    tiers = {item.output_id: 0 if judgment.none_acceptable else order.index(item.tier) for item in items}
    return Verdict(tiers, none_acceptable=judgment.none_acceptable)


def verdict_read(task: Task, outputs: Iterable[int], text: str) -> Verdict:
    """The verdict that `Verdict.text` wrote; "tie" ties all. DomainError where it does not fit the task."""
    outputs = list(outputs)
    message = _("“%(text)s” is no verdict on task %(task)s.") % {"text": text[:80], "task": task.pk}
    if task.kind == TaskKind.THUMBS and text in ("1", "-1"):
        return Verdict({}, thumbs=int(text))
    if task.kind in (TaskKind.PAIRWISE, TaskKind.RANKING):
        if text in (TIE, NONE):
            return Verdict(dict.fromkeys(outputs, 0), none_acceptable=text == NONE)
        tiers = [tier.split("=") for tier in text.split(">")]
        if sorted(one for tier in tiers for one in tier) == sorted(map(str, outputs)):
            return Verdict({int(one): place for place, tier in enumerate(tiers) for one in tier})
    raise DomainError(message, fields={"verdict": message})


# --- The queue ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dispute:
    """A task with the judgments of its raters, in the order they came, and what is left to be judged."""

    task: Task
    outputs: list[Output]
    judgments: list[Judgment]
    settlement: Judgment | None
    waiting: int

    @property
    def verdicts(self) -> list[tuple[Verdict, int]]:
        """Each verdict with how many gave it, most first."""
        said = Counter(verdict_of(judgment).text for judgment in self.judgments)
        first = {verdict_of(judgment).text: verdict_of(judgment) for judgment in reversed(self.judgments)}
        return [(first[text], count) for text, count in said.most_common()]


def dispute(task: Task) -> Dispute:
    """The task as an adjudicator sees it: outputs in an order of the task's own, not by model."""
    raters = (Judgment.Source.RATER, Judgment.Source.SIMULATED)
    said = Judgment.objects.in_force().filter(task=task, source__in=raters, rater__isnull=False).order_by("pk")
    outputs = sorted(task.outputs.select_related("model"), key=lambda output: _drawn(task.pk, output.pk))
    return Dispute(
        task=task,
        outputs=outputs,
        judgments=list(said.select_related("rater").prefetch_related("items")),
        settlement=settlements(task.project).filter(task=task).prefetch_related("items").first(),
        waiting=task.assignments.exclude(state=Assignment.State.DONE).count(),
    )


def _drawn(task: int, output: int) -> str:
    return hashlib.sha256(f"{task}:{output}".encode()).hexdigest()


def settlements(project: Project) -> QuerySet[Judgment]:
    """The settlements that hold: neither withdrawn, superseded, nor void because the task was opened again."""
    return Judgment.objects.filter(
        project=project, source=Judgment.Source.ADJUDICATION, withdrawn=False, voiding=None, superseded_by=None
    )


# --- Writes -------------------------------------------------------------------------------------------------------


@transaction.atomic
def task_settle(*, task: Task, by: User, verdict: str, comment: str = "") -> Judgment:
    """Say what the task's label is (`verdict_read`), in the place of an earlier settlement.

    Raises DomainError: a kind that is not settled, a verdict that does not fit, a comment that is too long.
    """
    task = Task.objects.select_for_update(no_key=True, of=("self",)).select_related("project", "prompt").get(pk=task.pk)
    found = dispute(task)
    said = verdict_read(task, [output.pk for output in found.outputs], verdict)
    if len(comment) > COMMENT_AT_MOST:
        message = _("A comment has at most 10,000 characters.")
        raise DomainError(message, fields={"comment": message})
    settlement = Judgment.objects.create(
        project=task.project,
        kind=task.kind,
        source=Judgment.Source.ADJUDICATION,
        task=task,
        prompt=task.prompt,
        rater=by,
        category=task.prompt.category,
        none_acceptable=said.none_acceptable,
        comment=comment.replace("\x00", ""),
        guidelines_version=task.project.guidelines_version,
        counted=False,
        supersedes=found.settlement,
        occurred_at=timezone.now(),
    )
    JudgmentItem.objects.bulk_create(
        JudgmentItem(
            judgment=settlement,
            model=output.model,
            output=output,
            position=position,
            tier=said.tiers.get(output.pk),
            thumbs=said.thumbs,
            chars=len(output.text),
        )
        for position, output in enumerate(found.outputs)
    )
    return settlement


@transaction.atomic
def settlement_undo(*, settlement: Judgment, by: User) -> Judgment:
    """Take a settlement back: the votes speak again. Undoing twice is undoing once; returns the withdrawing row.

    Raises NotFound for what is no settlement, DomainError 409 where a later settlement took its place.
    """
    Task.objects.select_for_update(no_key=True).get(pk=settlement.task_id)
    settlement = Judgment.objects.filter(pk=settlement.pk, source=Judgment.Source.ADJUDICATION, withdrawn=False).first()
    if settlement is None:
        raise NotFound(_("There is no such settlement."))
    later = Judgment.objects.filter(supersedes=settlement).first()
    if later is not None and later.withdrawn:
        return later
    if later is not None:
        raise DomainError(_("This task was settled anew since; undo that."), code="conflict", status=409)
    return Judgment.objects.create(
        project_id=settlement.project_id,
        kind=settlement.kind,
        source=settlement.source,
        task_id=settlement.task_id,
        prompt_id=settlement.prompt_id,
        rater=by,
        category=settlement.category,
        guidelines_version=settlement.guidelines_version,
        counted=False,
        withdrawn=True,
        supersedes=settlement,
        occurred_at=timezone.now(),
    )
