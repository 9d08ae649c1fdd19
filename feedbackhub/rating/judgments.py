"""Judgments: recorded once, superseded by an edit, withdrawn by an undo; tallies and outbox in the same transaction."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q, UUIDField
from django.utils import timezone

from feedbackhub.accounts.models import User
from feedbackhub.catalog.generations import chat
from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.core.compiled import Compiled, Given, insert
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.live import publish
from feedbackhub.projects.models import Project
from feedbackhub.tracing.feedback import FeedbackRun
from feedbackhub.tracing.services import feedback_enqueue, feedback_withdraw

from .leases import OUTPUTS, SERVING, Lease, State, lease_end, rater_hold, task_next_of_held
from .models import Assignment, Judgment, JudgmentItem, Serving, Task
from .payload import Asked, Said, judgment_read, payload_digest
from .shown import correction_meant, spans_meant, text_shown
from .tally import Counts, counts_apply


@dataclass(frozen=True)
class Recorded:
    """created: False when the same judgment had been sent before. next: the task that comes next, if it was wished."""

    judgment: Judgment
    created: bool
    next: Lease | None


def judgment_record(
    *, rater: User, task: Task, payload: dict, and_next: bool = False, after: int | None = None
) -> Recorded:
    """Record a judgment of `task` as `payload` has it (payload.judgment_read says how), once for each key.

    It counts if the rater holds the task, or the task can still take it; else it is kept as history.
    and_next: lease the next task as well (leases.task_next says which, and what `after` is), in the same transaction.
    Raises DomainError: a field is wrong (400), the key was used for another judgment (409), `supersedes` names one that
    is not in force any more (409).
    """
    serving = SERVING.first(task=task.pk, rater=rater.pk)
    asked = Asked(
        task.kind, task.project.criteria, serving.shown if serving else [], lambda: _texts(serving, task.project)
    )
    said = judgment_read(payload, asked)
    digest = payload_digest(task.pk, payload)
    with transaction.atomic():
        rater_hold(rater)
        before = OF_KEY.first(rater=rater.pk, key=said.key)
        if before is not None:
            if before.payload_digest != digest:
                message = f"The key {said.key} was sent before with another judgment; make a new key for a new one."
                raise DomainError(message, code="key_reused", fields={"key": message}, status=409)
            judgment, counts = before, Counts()
        else:
            judgment, counts = _store(rater, task, said, digest)
        following = task_next_of_held(project=task.project, rater=rater, after=after) if and_next else None
        counts_apply(task.project, counts)
        return Recorded(judgment, before is None, following)


OF_KEY = Compiled(lambda: Judgment.objects.filter(rater=Given("rater"), key=Given("key", UUIDField())))


def _texts(serving: Serving | None, project: Project) -> dict[int, str]:
    """The text of each output as the rater sees it, in the order served."""
    shown = serving.shown if serving else []
    outputs = Output.objects.select_related("model").in_bulk(shown)
    return {pk: text_shown(outputs[pk], project) for pk in shown}


def _store(rater: User, task: Task, said: Said, digest: str) -> tuple[Judgment, Counts]:
    """(the judgment as it is stored now, what it adds to the tallies)"""
    replaced = _replaced(rater, task, said.supersedes) if said.supersedes else None
    counted = replaced.counted if replaced else _assignment_take(rater, task)
    judgment = Judgment(
        project=task.project,
        kind=task.kind,
        source=Judgment.Source.SIMULATED if rater.is_simulated else Judgment.Source.RATER,
        task=task,
        prompt=task.prompt,
        rater=rater,
        category=task.prompt.category,
        key=said.key,
        none_acceptable=said.none_acceptable,
        strength=said.strength,
        flags=said.flags,
        spans=spans_meant(said.spans, task.project),
        comment=said.comment,
        duration_ms=said.duration_ms,
        guidelines_version=task.project.guidelines_version,
        payload_digest=digest,
        is_check=bool(task.check_kind),
        counted=counted,
        voiding=replaced.voiding if replaced else None,
        supersedes=replaced,
        occurred_at=timezone.now(),
    )
    insert([judgment])
    items = _items(judgment, said, {output.pk: output for output in OUTPUTS(task=task.pk)})
    insert(items)
    counts = Counts()
    if judgment.enters:
        feedback_send(judgment, items, subject=f"judgment:{judgment.pk}", edits=replaced is not None)
        if replaced:
            counts.add_judgment(replaced, replaced.items.all(), sign=-1)
        counts.add_judgment(judgment, items)
        publish(f"leaderboard.{task.project_id}", {"type": "vote"})
    return judgment, counts


def _replaced(rater: User, task: Task, pk: int) -> Judgment:
    """The judgment that an edit replaces: of this rater, on this task, in force."""
    found = Judgment.objects.filter(pk=pk, rater=rater, task=task, withdrawn=False).first()
    if found is None:
        message = f"{pk} is no judgment of yours on task {task.pk}."
        raise DomainError(message, fields={"supersedes": message})
    if hasattr(found, "superseded_by"):
        message = f"judgment {pk} is not in force any more: {found.superseded_by.pk} took its place."
        raise DomainError(message, code="conflict", fields={"supersedes": message}, status=409)
    return found


LEASED_DONE = """
UPDATE rating_assignment SET state = 'done', lease_expires_at = NULL
WHERE task_id = %s AND rater_id = %s AND state = 'leased'
"""


def _assignment_take(rater: User, task: Task) -> bool:
    """Mark an assignment of the task as judged by this rater; False when none is theirs or left.

    Theirs even if the lease has ended, as long as nobody took it; else one that is open, or that another rater let
    expire.
    """
    now = timezone.now()
    # Leased, expired or not: what a rater most often sends.
    with connection.cursor() as cursor:
        cursor.execute(LEASED_DONE, [task.pk, rater.pk])
        if cursor.rowcount:
            return True
    mine = Assignment.objects.select_for_update().filter(task=task, rater=rater).first()
    if mine is None:
        free = Q(state=State.OPEN) | Q(state=State.LEASED, lease_expires_at__lte=now)
        mine = Assignment.objects.select_for_update().filter(free, task=task).order_by("ordinal").first()
    if mine is None or mine.state == State.DONE:
        return False
    mine.state, mine.rater, mine.lease_expires_at = State.DONE, rater, None
    mine.leased_at = mine.leased_at or now
    mine.save(update_fields=["state", "rater", "leased_at", "lease_expires_at"])
    return True


def _items(judgment: Judgment, said: Said, outputs: dict[int, Output]) -> list[JudgmentItem]:
    return [
        JudgmentItem(
            judgment=judgment,
            model=outputs[pk].model,
            output=outputs[pk],
            position=position,
            tier=said.tiers.get(pk),
            thumbs=said.thumbs.get(pk),
            scores=said.scores.get(pk, {}),
            correction=correction_meant(said.correction.get(pk, ""), outputs[pk], judgment.project),
            chars=len(outputs[pk].text),
        )
        for position, pk in enumerate(said.shown)
    ]


# --- Undo ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def judgment_undo(*, rater: User, judgment: Judgment) -> Judgment:
    """Withdraw a judgment: it leaves every tally, and its task is this rater's again, with a fresh lease.

    Returns the row that withdraws it; undoing twice is undoing once. Raises NotFound (not theirs), DomainError 409 (an
    edit took its place: undo that one).
    """
    rater_hold(rater)
    judgment = Judgment.objects.select_related("project", "task__prompt").filter(pk=judgment.pk, rater=rater).first()
    if judgment is None or judgment.withdrawn:
        raise NotFound("There is no such judgment of yours.")
    if hasattr(judgment, "superseded_by"):
        later = judgment.superseded_by
        if later.withdrawn:
            return later
        message = f"Judgment {judgment.pk} was edited; undo {later.pk}, which took its place."
        raise DomainError(message, code="conflict", status=409)
    withdrawal = _withdrawal(judgment)
    if judgment.counted:
        _assignment_return(rater, judgment.task)
    if judgment.enters:
        items = list(judgment.items.select_related("output", "model").order_by("position"))
        feedback_take_back(judgment, items, subject=f"judgment:{withdrawal.pk}")
        counts = Counts()
        counts.add_judgment(judgment, items, sign=-1)
        counts_apply(judgment.project, counts)
        publish(f"leaderboard.{judgment.project_id}", {"type": "vote"})
    return withdrawal


def _withdrawal(judgment: Judgment) -> Judgment:
    return Judgment.objects.create(
        project=judgment.project,
        kind=judgment.kind,
        source=judgment.source,
        task=judgment.task,
        prompt=judgment.prompt,
        rater=judgment.rater,
        category=judgment.category,
        guidelines_version=judgment.project.guidelines_version,
        is_check=judgment.is_check,
        voiding=judgment.voiding,
        counted=judgment.counted,
        withdrawn=True,
        supersedes=judgment,
        occurred_at=timezone.now(),
    )


def _assignment_return(rater: User, task: Task) -> None:
    """The lease begins anew, but the task keeps its place before those that the rater has leased since."""
    Assignment.objects.filter(task=task, rater=rater, state=State.DONE).update(
        state=State.LEASED, lease_expires_at=lease_end(timezone.now())
    )


# --- What LangSmith is told -------------------------------------------------------------------------------------


def feedback_send(judgment: Judgment, items: list[JudgmentItem], *, subject: str, edits: bool) -> None:
    """Queue a judgment's feedback, once for each `subject`; `edits`: change what LangSmith has of it."""
    feedback_enqueue(
        project=judgment.project,
        judgment_key=_feedback_key(judgment),
        subject=subject,
        kind=judgment.kind,
        runs=[_run(item, judgment.task.prompt) for item in items],
        none_acceptable=judgment.none_acceptable,
        comment=judgment.comment,
        edits=edits,
    )


def feedback_take_back(judgment: Judgment, items: list[JudgmentItem], *, subject: str) -> None:
    """Queue that a judgment's feedback is withdrawn."""
    feedback_withdraw(
        project=judgment.project,
        judgment_key=_feedback_key(judgment),
        subject=subject,
        kind=judgment.kind,
        runs=[_run(item, judgment.task.prompt) for item in items],
    )


def _feedback_key(judgment: Judgment) -> str:
    """The first judgment of its chain of edits: an edit changes the same feedback."""
    while judgment.supersedes_id:
        judgment = judgment.supersedes
    return f"judgment:{judgment.pk}"


def _run(item: JudgmentItem, prompt: Prompt) -> FeedbackRun:
    output = item.output
    return FeedbackRun(
        run_uuid=output.run_uuid,
        name=item.model.name,
        inputs={"messages": chat(prompt.messages)},
        outputs={"text": output.text},
        start_time=output.created_at - timedelta(milliseconds=output.latency_ms or 0),
        end_time=output.created_at,
        tier=item.tier,
        thumbs=item.thumbs,
        scores=item.scores,
    )
