"""Reads on chats for pages and API. While names are hidden, nothing here tells them."""

from collections import defaultdict

from django.db.models import Count, OuterRef, QuerySet, Subquery

from feedbackhub.catalog.identity import masked
from feedbackhub.core.errors import NotFound
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.models import Project
from feedbackhub.runs.models import RunEvent, RunState

from .models import Answer, Chat, Side, Turn
from .services import carried
from .verdicts import why_not


def chats_of(project: Project) -> QuerySet[Chat]:
    """The project's chats, latest first, with `begins` (the first message) and `turn_count`."""
    first = Turn.objects.filter(chat=OuterRef("pk"), number=1).values("message")[:1]
    chats = Chat.objects.filter(project=project).select_related("left", "right", "created_by", "project", "run")
    return chats.annotate(begins=Subquery(first), turn_count=Count("turns")).order_by("-pk")


def chat_get(*, project: Project, pk: int) -> Chat:
    found = chats_of(project).filter(pk=pk).first()
    if found is None:
        raise NotFound(f'There is no chat {pk} in "{project.slug}".')
    return found


def turn_get(*, chat: Chat, number: int) -> Turn:
    found = chat.turns.filter(number=number).first()
    if found is None:
        raise NotFound(f"Chat {chat.pk} has no turn {number}.")
    return found


def turns_of(chat: Chat) -> list[dict]:
    """`[{number, message, decoding, prefer, judged, why_not, carried, sides: [side_shown]}]`, the first turn first."""
    turns = list(chat.turns.select_related("judgment__superseded_by").prefetch_related("answers"))
    running = _running_texts([answer for turn in turns for answer in turn.answers.all() if answer.finished_at is None])
    shown = []
    for turn in turns:
        turn.chat = chat
        answers = {answer.side: answer for answer in turn.answers.all()}
        for answer in answers.values():
            answer.turn = turn
        goes_on = chat.follows == Chat.Follows.PREFERRED and all(a.finished_at for a in answers.values())
        shown.append(
            {
                "number": turn.number,
                "message": turn.message,
                "decoding": turn.decoding,
                "prefer": turn.prefer,
                "judgment": turn.judgment_id,
                "taken_back": bool(turn.judgment and _is_taken_back(turn.judgment)),
                "why_not": why_not(turn),
                "carried": carried(turn) if goes_on else "",
                "answering": any(answer.finished_at is None for answer in answers.values()),
                "sides": [_side_shown(chat, answers[side], running) for side in Side.values],
            }
        )
    return shown


def _is_taken_back(judgment) -> bool:
    later = getattr(judgment, "superseded_by", None)
    return later is not None and later.withdrawn


def _running_texts(answers: list[Answer]) -> dict[int, str]:
    """{answer id: what has come of it so far}"""
    texts: dict[int, list[str]] = defaultdict(list)
    wanted = {answer.pk for answer in answers}
    if wanted:
        runs = {answer.run_id for answer in answers}
        events = RunEvent.objects.filter(run__in=runs, type="answer", data__id__in=list(wanted)).order_by("offset")
        for data in events.values_list("data", flat=True):
            if data.get("begin"):
                texts[data["id"]].clear()  # what was written before a crash is written anew
            texts[data["id"]].append(data.get("delta") or "")
    return {pk: "".join(parts) for pk, parts in texts.items()}


def _side_shown(chat: Chat, answer: Answer, running: dict[int, str]) -> dict:
    model = chat.model_of(answer.side)
    text = answer.text if answer.finished_at else running.get(answer.pk, "")
    if chat.names_hidden:
        text = masked(text, model.name)
    return {
        "side": answer.side,
        "letter": answer.get_side_display(),
        "model": None if chat.names_hidden else model.name,
        "text": text,
        "html": markdown(text) if answer.finished_at else None,
        "error": answer.error,
        "tokens": answer.tokens,
        "seconds": answer.latency_ms / 1000 if answer.latency_ms else None,
        "seed": answer.seed,
        "finish_reason": answer.finish_reason,
        "finished": answer.finished_at is not None,
    }


def tally(chat: Chat) -> dict | None:
    """{model name or tie or none: turns}, once names are shown and something was judged."""
    if chat.names_hidden:
        return None
    names = {Turn.Prefer.LEFT: chat.left.name, Turn.Prefer.RIGHT: chat.right.name}
    counts: dict = {}
    for prefer in chat.turns.exclude(prefer="").values_list("prefer", flat=True):
        name = names.get(prefer, prefer)
        counts[name] = counts.get(name, 0) + 1
    return counts or None


def waits_for(chat: Chat) -> str:
    """What an answer under way waits for, in a word: queue, loading, answering; empty when none is."""
    if not Answer.objects.filter(turn__chat=chat, finished_at=None).exists() or chat.run is None:
        return ""
    if chat.run.state == RunState.QUEUED:
        return "queue"
    return "answering" if chat.run.phase == "answering" else "loading"


def chat_shown(chat: Chat) -> dict:
    """The chat with its transcript, as the API and the JSON export have it."""
    hidden = chat.names_hidden
    turns = turns_of(chat)
    for turn in turns:
        for side in turn["sides"]:
            del side["html"], side["letter"]
    return {
        "id": chat.pk,
        "blind": chat.is_blind,
        "revealed": not hidden,
        "models": None if hidden else {"left": chat.left.name, "right": chat.right.name},
        "follows": chat.follows,
        "by": chat.created_by.username,
        "created_at": chat.created_at,
        "waits_for": waits_for(chat),
        "turns": turns,
    }


def chat_markdown(chat: Chat) -> str:
    """The transcript as Markdown."""
    lines = [f"# Chat {chat.pk}", ""]
    if not chat.names_hidden:
        lines += [f"A: {chat.left.name}  ", f"B: {chat.right.name}", ""]
    for turn in turns_of(chat):
        lines += [f"## {turn['number']}", "", *(f"> {line}" for line in turn["message"].splitlines()), ""]
        for side in turn["sides"]:
            lines += [f"### {side['letter']}", "", side["text"] or side["error"] or "–", ""]
        if turn["prefer"]:
            lines += [f"Said: {Turn.Prefer(turn['prefer']).label}", ""]
    return "\n".join(lines)
