"""Every write on a chat: begun, spoken to, hushed, revealed. What is said of answers: verdicts.py."""

from secrets import SystemRandom, randbelow

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.decoding import decoding_check
from feedbackhub.catalog.generations import weights_check
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError, Forbidden
from feedbackhub.projects.models import Project
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import RunState

from . import serving
from .models import Answer, Chat, Side, Turn
from .serving import sweep
from .verdicts import verdict_give

__all__ = ["chat_create", "chat_end", "chat_reveal", "sweep", "turn_say", "turn_stop", "verdict_give"]
MESSAGE_AT_MOST = 20_000
DECODING = {"temperature": 0.7, "max_new_tokens": 256}
TOKENS_AT_MOST = 4096
SEEDS = 2**31
_random = SystemRandom()


@transaction.atomic
def chat_create(
    *,
    project: Project,
    by: User,
    a: ModelVersion,
    b: ModelVersion,
    is_blind: bool = True,
    follows: str = Chat.Follows.PREFERRED,
) -> Chat:
    """Begin a chat with two models. Blind: which of them is A is drawn, and nobody is told until it is revealed.

    Raises DomainError: a model without weights here, of another project, or twice the same.
    """
    for field, model in (("a", a), ("b", b)):
        if model.project_id not in (None, project.pk):
            _refuse(field, _('model "%(model)s" belongs to another project.') % {"model": model.name})
        weights_check(model, field)
    if a == b:
        _refuse("b", _("Choose two models: one against itself says nothing."))
    if follows not in Chat.Follows.values:
        _refuse("follows", f'follows "{follows}" is none of {", ".join(Chat.Follows.values)}.')
    sides = [a, b]
    if is_blind:
        _random.shuffle(sides)
    return Chat.objects.create(
        project=project, left=sides[0], right=sides[1], is_blind=is_blind, follows=follows, created_by=by
    )


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})


@transaction.atomic
def turn_say(
    *, chat: Chat, by: User, message: str, temperature: float | None = None, max_new_tokens: int | None = None
) -> Turn:
    """Say something to both models; their answers come through the chat's run.

    temperature, max_new_tokens: of both answers, 0.7 and 256 unless given; the rest of its decoding is each model's
    own. Raises DomainError: nothing said, a setting out of range; 403 for another's chat; 409 while an answer is
    under way.
    """
    chat = _held(chat, by)
    message = (message or "").replace("\x00", "").strip()
    if not message:
        _refuse("message", _("Write something first."))
    if len(message) > MESSAGE_AT_MOST:
        _refuse("message", _("A message has at most %(most)s characters.") % {"most": MESSAGE_AT_MOST})
    last = chat.turns.order_by("-number").first()
    if last is not None and last.answers.filter(finished_at=None).exists():
        raise DomainError(_("Wait for both answers, or stop them."), code="conflict", status=409)
    decoding = _decoding(temperature, max_new_tokens)
    run = serving.run_for(chat)
    turn = Turn.objects.create(
        chat=chat,
        number=last.number + 1 if last else 1,
        message=message,
        asked={side: [*_so_far(chat, last, side), {"role": "user", "content": message}] for side in Side.values},
        decoding=decoding,
        drawn=_random.choice(Side.values),
    )
    answers = [Answer.objects.create(turn=turn, side=side, run=run, seed=randbelow(SEEDS)) for side in Side.values]
    serving.ask(run, answers)
    serving.chat_publish(chat.pk)
    return turn


def _held(chat: Chat, by: User) -> Chat:
    """The chat, its row held for this transaction; only who began it goes on with it."""
    held = Chat.objects.select_for_update(of=("self",)).select_related("project", "run", "left", "right", "created_by")
    chat = held.get(pk=chat.pk)
    if chat.created_by_id != by.pk:
        raise Forbidden(_("This is %(name)s’s chat; begin one of your own.") % {"name": chat.created_by.label})
    return chat


def _decoding(temperature: float | None, max_new_tokens: int | None) -> dict:
    given = {"temperature": temperature, "max_new_tokens": max_new_tokens}
    found = decoding_check(DECODING | {name: value for name, value in given.items() if value is not None})
    if found["max_new_tokens"] > TOKENS_AT_MOST:
        _refuse("max_new_tokens", f"max_new_tokens must be at most {TOKENS_AT_MOST} in a chat.")
    return found


def _so_far(chat: Chat, last: Turn | None, side: str) -> list[dict]:
    """The conversation that the next message of this side follows. A turn that went wrong on the side is left out."""
    if last is None:
        return []
    taken = side if chat.follows == Chat.Follows.OWN else carried(last)
    answer = next(answer for answer in last.answers.all() if answer.side == taken)
    if not answer.text:
        return last.asked[taken][:-1]
    return [*last.asked[taken], {"role": "assistant", "content": answer.text}]


def carried(turn: Turn) -> str:
    """Whose answer both go on from: the preferred one, else the one that was drawn, if it has come to anything."""
    wanted = turn.prefer if turn.prefer in Side.values else turn.drawn
    texts = {answer.side: answer.text for answer in turn.answers.all()}
    return wanted if texts[wanted] else next((side for side, text in texts.items() if text), wanted)


@transaction.atomic
def turn_stop(*, chat: Chat, by: User) -> None:
    """End the answers under way where they are; what was written stays. DomainError (409) when there is none."""
    chat = _held(chat, by)
    answers = list(Answer.objects.filter(turn__chat=chat, finished_at=None).select_related("run"))
    if not answers:
        raise DomainError(_("Nothing is being answered."), code="conflict", status=409)
    if answers[0].run.state == RunState.QUEUED:  # nobody is there yet to hear it
        runs.run_stop(run=answers[0].run)
    else:
        serving.hush(answers[0].run, answers)


@transaction.atomic
def chat_reveal(*, chat: Chat, by: User) -> Chat:
    """Show who is who; what was judged stays judged, and nothing more is. Doing it twice does it once."""
    chat = _held(chat, by)
    if chat.names_hidden:
        chat.revealed_at = timezone.now()
        chat.save(update_fields=["revealed_at"])
        serving.chat_publish(chat.pk)
    return chat


@transaction.atomic
def chat_end(*, chat: Chat, by: User) -> None:
    """Give the memory of its models back; the next message loads them again."""
    chat = _held(chat, by)
    if chat.run is not None and chat.run.state in (RunState.QUEUED, RunState.RUNNING):
        runs.run_stop(run=chat.run)
