"""Checks among the work: items whose answer is known, and a rater's own tasks asked again with the sides turned.

A check is served as a task for one rater alone, a twin of the task that it is made of; nothing on it says so. What is
said of it enters no tally, dataset or agreement, and LangSmith is not told. It comes instead of work, never after it:
a rater for whom nothing is left gets no check either.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from secrets import SystemRandom

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, TaskKind

from .check_results import is_doubtful
from .models import Assignment, Check, Gold, Serving, Task, TaskOutput
from .payload import Asked, expected_read

REPEAT_AFTER = 10  # tasks of a rater's before the same comes again: what lies closer is remembered
REPEAT_WITHIN = 200
ATTENTION_AT_MOST = 100
ATTEMPTS = 3  # to find a gold item that is not doubtful
_random = SystemRandom()


# --- Serving ------------------------------------------------------------------------------------------------------


def check_drawn(project: Project) -> str:
    """Which kind of check, if any, is to come instead of the next task: drawn by the project's shares."""
    if not project.gold_percent and not project.repeat_percent:
        return ""
    lot = 100 * _random.random()
    if lot < project.gold_percent:
        return Check.GOLD
    return Check.REPEAT if lot < project.gold_percent + project.repeat_percent else ""


def check_lease(
    *, project: Project, rater: User, kind: str, now: datetime, until: datetime
) -> tuple[Assignment, list[int]] | None:
    """Lease a check of this kind to the rater, within the caller's transaction; None where there is none for them.

    Returns the assignment and the output ids in the order to show.
    """
    origin, shown = _repeat(project, rater) if kind == Check.REPEAT else _gold(project, rater)
    if origin is None:
        return None
    task = Task.objects.create(
        project=project,
        prompt_id=origin.prompt_id,
        kind=origin.kind,
        outputs_key=uuid.uuid4().hex,
        judgments_wanted=1,
        check_kind=kind if kind == Check.REPEAT else origin.gold.kind,
        twin_of=origin,
    )
    TaskOutput.objects.bulk_create(TaskOutput(task=task, output_id=output) for output in shown)
    lease = {"state": Assignment.State.LEASED, "rater": rater, "leased_at": now, "lease_expires_at": until}
    assignment = Assignment.objects.create(task=task, project=project, ordinal=0, **lease)
    Serving.objects.create(project=project, task=task, rater=rater, shown=shown, served_at=now)
    return assignment, shown


def _gold(project: Project, rater: User) -> tuple[Task | None, list[int]]:
    """A gold item that this rater has not had, as a check or as work; its sides drawn."""
    had = Assignment.objects.filter(Q(task=OuterRef("task")) | Q(task__twin_of=OuterRef("task")), rater=rater)
    found = Gold.objects.filter(~Exists(had), project=project, retired_at=None)
    ids = list(found.values_list("pk", flat=True))
    for pk in _random.sample(ids, min(len(ids), ATTEMPTS)):
        gold = Gold.objects.select_related("task", "project").get(pk=pk)
        if not is_doubtful(gold):
            shown = list(gold.task.task_outputs.order_by("output_id").values_list("output_id", flat=True))
            _random.shuffle(shown)
            return gold.task, shown
    return None, []


def _repeat(project: Project, rater: User) -> tuple[Task | None, list[int]]:
    """A task that this rater judged a while ago, never yet asked again; in the opposite order."""
    latest = Serving.objects.filter(project=project, rater=rater).order_by("-id")[REPEAT_AFTER:REPEAT_WITHIN]
    tasks = list(latest.values_list("task_id", flat=True))
    judged = Assignment.objects.filter(task__in=tasks, task__check_kind="", rater=rater, state=Assignment.State.DONE)
    again = Assignment.objects.filter(task__twin_of=OuterRef("task"), rater=rater)
    ids = list(judged.filter(~Exists(again)).values_list("task_id", flat=True))
    if not ids:
        return None, []
    serving = Serving.objects.select_related("task").get(task=_random.choice(ids), rater=rater)
    return serving.task, serving.shown[::-1]


# --- Making them --------------------------------------------------------------------------------------------------


@transaction.atomic
def gold_create(*, by: User, task: Task, expected: dict, note: str = "") -> Gold:
    """Make a task with a known answer a gold item; nobody gets it as work any more.

    expected: as a judgment says it, {ranking, none_acceptable?} or {thumbs} or {scores}.
    Raises DomainError: the answer does not fit the task (400), or the task is a gold item or a check already (409).
    """
    task = Task.objects.select_for_update(no_key=True, of=("self",)).select_related("project").get(pk=task.pk)
    if task.check_kind:
        raise DomainError(_("Task %(task)s is a check itself.") % {"task": task.pk}, code="conflict", status=409)
    if Gold.objects.filter(task=task, retired_at=None).exists():
        raise DomainError(_("Task %(task)s is a gold item already.") % {"task": task.pk}, code="conflict", status=409)
    outputs = list(task.task_outputs.order_by("output_id").values_list("output_id", flat=True))
    answer = expected_read(expected, Asked(task.kind, task.project.criteria, outputs))
    open_ones = Assignment.objects.filter(task=task, state=Assignment.State.OPEN)
    task.judgments_wanted -= open_ones.count()
    open_ones.delete()
    task.save(update_fields=["judgments_wanted"])
    given = {"project": task.project, "kind": Check.GOLD, "expected": answer, "note": note[:500], "created_by": by}
    gold, _created = Gold.objects.update_or_create(task=task, defaults={**given, "retired_at": None})
    return gold


@transaction.atomic
def gold_retire(*, gold: Gold) -> None:
    """Serve it no longer. What raters said of it stays in their record."""
    Gold.objects.filter(pk=gold.pk, retired_at=None).update(retired_at=timezone.now())


@transaction.atomic
def attention_create(*, by: User, project: Project, count: int = 10) -> int:
    """Make up to `count` attention checks: an answer beside one to another question; returns how many were made.

    Whoever reads the question prefers the first; in a project of thumbs the foreign answer stands alone.
    Raises DomainError where there are too few outputs, or in a project of scores, where no answer is plainly right.
    """
    if project.task_kind == TaskKind.SCORES:
        raise DomainError(_("An attention check needs a comparison or a thumb; write gold items for scores instead."))
    if not 1 <= count <= ATTENTION_AT_MOST:
        message = f"count {count} must be from 1 to {ATTENTION_AT_MOST}."
        raise DomainError(message, fields={"count": message})
    ids = list(_answered(project))
    if len(ids) < 2:
        raise DomainError(
            _("Attention checks are made of answers to different questions; there are not two of them yet.")
        )
    _random.shuffle(ids)
    made = 0
    for own, foreign in zip(ids, [*ids[1:], ids[0]]):
        if made == count:
            break
        made += _attention(by, project, own, foreign)
    return made


def _answered(project: Project) -> Iterable[int]:
    """The newest output of each prompt that has one in plain words."""
    outputs = Output.objects.filter(prompt__project=project).order_by("prompt_id", "-pk")
    newest: dict[int, int] = {}
    for prompt, output in outputs.values_list("prompt_id", "pk").iterator(chunk_size=5000):
        newest.setdefault(prompt, output)
    return newest.values()


def _attention(by: User, project: Project, own: int, foreign: int) -> bool:
    outputs = Output.objects.in_bulk([own, foreign])
    if len({output.text.strip() for output in outputs.values()}) < 2 or not outputs[own].text.strip():
        return False
    is_thumbs = project.task_kind == TaskKind.THUMBS
    task = Task.objects.create(
        project=project,
        prompt_id=outputs[own].prompt_id,
        kind=TaskKind.THUMBS if is_thumbs else TaskKind.PAIRWISE,
        outputs_key=uuid.uuid4().hex,
        judgments_wanted=0,
        check_kind=Check.ATTENTION,
    )
    shown = [foreign] if is_thumbs else [own, foreign]
    TaskOutput.objects.bulk_create(TaskOutput(task=task, output_id=output) for output in shown)
    expected = {"thumbs": {str(foreign): -1}} if is_thumbs else {"ranking": [[own], [foreign]]}
    note = "The other answer is to another question."
    given = {"kind": Check.ATTENTION, "expected": expected, "note": note, "created_by": by}
    Gold.objects.create(project=project, task=task, **given)
    return True
