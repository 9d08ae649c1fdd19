"""What is said of a turn's answers, stored by the rules of rating: a judgment like any other.

Only what is blind counts, and only what answers one and the same conversation: such a pair can train. The prompt keeps
to the split of the conversation's first message, so that nothing of a test prompt comes into training as its beginning.
"""

import uuid

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.answers import answer_keep
from feedbackhub.catalog.content import messages_read, prompt_digest, split_of
from feedbackhub.catalog.identity import reveals_identity
from feedbackhub.catalog.models import Prompt
from feedbackhub.catalog.services import prompt_get_or_create
from feedbackhub.core.errors import DomainError, Forbidden
from feedbackhub.projects.models import IdentityLeaks
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.services import judgment_record, pair_task

from . import serving
from .models import Answer, Chat, Side, Turn

CATEGORY = "chat"
DURATION_AT_MOST = 2**31 - 1


def why_not(turn: Turn) -> str:
    """Why this turn cannot be judged, in words; empty when it can. Its answers are read through `turn.answers`."""
    chat, answers = turn.chat, list(turn.answers.all())
    if not chat.is_blind:
        return _("Names are shown, so nothing is judged here; a blind chat counts.")
    if chat.revealed_at is not None:
        return "" if turn.prefer else _("Names were shown before this was judged.")
    if any(answer.finished_at is None for answer in answers):
        return _("Both answers must be there first.")
    if any(answer.error or answer.finish_reason == "stopped" or not answer.text.strip() for answer in answers):
        return _("An answer is missing or was cut short, so the two cannot be compared.")
    if turn.asked[Side.LEFT] != turn.asked[Side.RIGHT]:
        return _("The two were not asked the same: each had its own answers before it.")
    if len({answer.text.strip() for answer in answers}) == 1:
        return _("Both say the same.")
    if chat.project.identity_leaks == IdentityLeaks.EXCLUDE and any(_reveals(answer) for answer in answers):
        return _("An answer says who wrote it; this project leaves such answers out.")
    return ""


def _reveals(answer: Answer) -> bool:
    model = answer.turn.chat.model_of(answer.side)
    return reveals_identity([{"type": "text", "text": answer.text}], model.name)


@transaction.atomic
def verdict_give(*, turn: Turn, by: User, prefer: str, duration_ms: int | None = None) -> Judgment:
    """Say which answer of a turn is better: left, right, tie or none. Saying otherwise later replaces it.

    duration_ms: how long it took; since the later answer was there unless given.
    Raises DomainError: an unknown word; 403 for another's chat; 409 where the turn cannot be judged (why_not).
    """
    if prefer not in Turn.Prefer.values:
        message = f'prefer "{prefer}" is none of {", ".join(Turn.Prefer.values)}.'
        raise DomainError(message, fields={"prefer": message})
    chat = Chat.objects.select_for_update(of=("self",)).select_related("project", "left", "right").get(pk=turn.chat_id)
    if chat.created_by_id != by.pk:
        raise Forbidden(_("Only who asked says which answer is better."))
    turn = Turn.objects.select_related("judgment").prefetch_related("answers").get(pk=turn.pk)
    turn.chat = chat
    for answer in turn.answers.all():
        answer.turn = turn
    if (words := why_not(turn)) or chat.revealed_at is not None:
        raise DomainError(words or _("Names have been shown since."), code="conflict", status=409)
    if turn.prefer == prefer and turn.judgment is not None and _stands(turn.judgment):
        return turn.judgment
    outputs = _outputs(turn)
    shown = [outputs[side].pk for side in Side.values]
    payload = {
        "key": str(uuid.uuid4()),
        "ranking": _ranking(prefer, *shown),
        "none_acceptable": prefer == Turn.Prefer.NONE,
        "shown": shown,
        "duration_ms": min(max(_since(turn) if duration_ms is None else duration_ms, 0), DURATION_AT_MOST),
    }
    if turn.judgment is not None and _stands(turn.judgment):
        payload["supersedes"] = turn.judgment_id
    task = pair_task(rater=by, outputs=[outputs[side] for side in Side.values])
    turn.judgment = judgment_record(rater=by, task=task, payload=payload).judgment
    turn.prefer = prefer
    turn.save(update_fields=["judgment", "prefer"])
    serving.chat_publish(chat.pk)
    return turn.judgment


def _since(turn: Turn) -> int:
    ended = max(answer.finished_at for answer in turn.answers.all())
    return round(1000 * (timezone.now() - ended).total_seconds())


def _stands(judgment: Judgment) -> bool:
    """Not taken back or edited since, in the rater's history for example."""
    return not hasattr(judgment, "superseded_by")


def _ranking(prefer: str, left: int, right: int) -> list[list[int]]:
    if prefer == Turn.Prefer.LEFT:
        return [[left], [right]]
    return [[right], [left]] if prefer == Turn.Prefer.RIGHT else [[left, right]]


def _outputs(turn: Turn) -> dict:
    """{side: the output}: prompt and outputs come into the catalogue with the first verdict, not before."""
    messages = turn.asked[Side.LEFT]
    prompt, _made = prompt_get_or_create(
        project=turn.chat.project, messages=messages, category=CATEGORY, split=_split(turn.chat, messages[:1])
    )
    for answer in turn.answers.all():
        if answer.output is None:
            model = turn.chat.model_of(answer.side)
            answer.output = answer_keep(
                prompt=prompt,
                model=model,
                text=answer.text,
                content_key=f"chat:{answer.pk}",
                decoding={**model.decoding, **turn.decoding},
                seed=answer.seed,
                tokens=answer.tokens,
                latency_ms=answer.latency_ms,
                finish_reason=answer.finish_reason,
            )
            answer.save(update_fields=["output"])
    return {answer.side: answer.output for answer in turn.answers.all()}


def _split(chat: Chat, first: list[dict]) -> str:
    digest = prompt_digest(messages_read(first))
    known = Prompt.objects.filter(project=chat.project, digest=digest).values_list("split", flat=True).first()
    return known or split_of(digest)
