"""The run that has a chat's models loaded: asked through its inbox, heard through its events.

Its process ends by itself when nobody has asked for CHAT_IDLE_SECONDS; the next message starts another. What it was
asked just as it ended is asked again.
"""

import json
import os
from datetime import timedelta

from django.conf import settings as site
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from feedbackhub.catalog.generations import base_spec
from feedbackhub.core.live import publish
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import ACTIVE, FINISHED, Run, RunEvent, RunState

from .models import Answer, Chat, Side

JOB = "feedbackhub.chat.jobs.chat_run"
QUEUE = "chat"
INBOX = "inbox.jsonl"
GIVES_WAY_AFTER = 30  # seconds unasked, when another chat waits


def chat_group(chat_id: int) -> str:
    """The live group of whoever has this chat open."""
    return f"chat.{chat_id}"


def chat_publish(chat_id: int) -> None:
    """Tell open pages that there is something new; they ask for it."""
    publish(chat_group(chat_id), {"type": "changed"})


def run_for(chat: Chat) -> Run:
    """The run that the next question goes to: the one at work, else a new draft. The caller holds the chat's row."""
    if chat.run is not None and chat.run.state in (RunState.QUEUED, RunState.RUNNING):
        return chat.run
    _make_room(chat)
    models = {side: base_spec(chat.model_of(side)) for side in Side.values}
    chat.run = runs.run_create(
        project=chat.project,
        recipe="chat",
        spec={"chat": chat.pk, "models": models, "data": {}, "settings": {"idle_seconds": site.CHAT_IDLE_SECONDS}},
        files={INBOX: []},
        queue=QUEUE,
        job=JOB,
        by=chat.created_by,
    )
    chat.save(update_fields=["run"])
    return chat.run


def _make_room(chat: Chat) -> None:
    """One person keeps one pair of models loaded: what waits idle for their other chats is ended."""
    others = Chat.objects.filter(created_by=chat.created_by, run__state__in=(RunState.QUEUED, RunState.RUNNING))
    for other in others.exclude(pk=chat.pk).select_related("run"):
        if not Answer.objects.filter(run=other.run, finished_at=None).exists():
            runs.run_stop(run=other.run)


def ask(run: Run, answers: list[Answer]) -> None:
    """Put the questions into the run's inbox once their rows are there, and start it if nobody has.

    Should the site die in between, the run ends without having been asked, and `settle` asks again.
    """
    lines = [_line(answer) for answer in answers]
    transaction.on_commit(lambda: _write(run, lines))
    if run.state == RunState.DRAFT:
        runs.run_queue(run=run)


def hush(run: Run, answers: list[Answer]) -> None:
    """End these answers where they are; the models stay loaded."""
    _write(run, [{"stop": [answer.pk for answer in answers]}])


def _line(answer: Answer) -> dict:
    turn = answer.turn
    own = {name: value for name, value in turn.chat.model_of(answer.side).decoding.items() if name != "seed"}
    return {
        "id": answer.pk,
        "model": answer.side,
        "messages": turn.asked[answer.side],
        "settings": {**own, **turn.decoding},
        "seed": answer.seed,
    }


def _write(run: Run, lines: list[dict]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    descriptor = os.open(run.directory / INBOX, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, text.encode())  # one write: a reader never sees half of it
    finally:
        os.close(descriptor)


# --- What came back ------------------------------------------------------------------------------------------


def heard(event: RunEvent) -> None:
    """Take up an event of a chat's run as it is stored."""
    if event.type == "answer":
        if isinstance(event.data.get("done"), dict):
            _finish(event.data)
        chat_publish(event.run.spec["chat"])


def _finish(data: dict) -> None:
    """Store an answer that is done; the first word of its end holds."""
    done = data["done"]
    fields = {name: done[name] for name in ("tokens", "latency_ms", "seed") if done.get(name) is not None}
    Answer.objects.filter(pk=data.get("id"), finished_at=None).update(
        text=done.get("text") or "",
        finish_reason=(done.get("finish_reason") or "")[:20],
        error=done.get("error") or "",
        finished_at=timezone.now(),
        **fields,
    )


def settle(*, run: Run) -> None:
    """After a run's end nothing waits for it: what it told is stored, what it did not answer is asked again or told
    as an error. Doing it twice does it once."""
    for event in RunEvent.objects.filter(run=run, type="answer").order_by("offset").select_related("run"):
        if "done" in event.data:
            _finish(event.data)
    with transaction.atomic():
        chat = Chat.objects.select_for_update(of=("self",)).get(pk=run.spec["chat"])
        left = list(Answer.objects.filter(run=run, finished_at=None).select_related("turn__chat"))
        if left and run.state == RunState.COMPLETED:
            again = run_for(chat)
            Answer.objects.filter(pk__in=[answer.pk for answer in left]).update(run=again)
            ask(again, left)
        elif left:
            words = run.error_message or _("It was stopped before it could answer.")
            Answer.objects.filter(pk__in=[answer.pk for answer in left]).update(error=words, finished_at=timezone.now())
        chat_publish(chat.pk)


def sweep() -> None:
    """Settle ended runs whose job was lost before it could; and where a chat waits for a worker, let idle ones go."""
    ended = Run.objects.filter(chat_answers__finished_at=None, recipe="chat", state__in=FINISHED).distinct()
    for run in ended:
        settle(run=run)
    if Run.objects.filter(recipe="chat", state=RunState.QUEUED).exists():
        for run in Run.objects.filter(recipe="chat", state=RunState.RUNNING):
            asked = Answer.objects.filter(run=run)
            recent = timezone.now() - timedelta(seconds=GIVES_WAY_AFTER)
            busy = Q(finished_at=None) | Q(finished_at__gt=recent)
            if asked.exists() and not asked.filter(busy).exists():
                runs.run_stop(run=run)


def is_warm(chat: Chat) -> bool:
    """Whether its models are loaded or being loaded."""
    return chat.run is not None and chat.run.state in ACTIVE
