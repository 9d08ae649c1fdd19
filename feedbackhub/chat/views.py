import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page

from . import selectors, services
from .forms import ChatForm, MessageForm
from .models import Chat, Turn


@login_required
@project_page(ADMINISTER)
def chat_list(request: HttpRequest) -> HttpResponse:
    """Chats so far, and the form for a new one; ?a=MODEL&b=MODEL (ids) fill it in."""
    form = ChatForm(request.POST or None, project=request.project, initial={"blind": True, **request.GET.dict()})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            chat = services.chat_create(
                project=request.project,
                by=request.user,
                a=given["a"],
                b=given["b"],
                is_blind=given["blind"],
                follows=given["follows"],
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect("chat:chat", request.project.slug, chat.pk)
    chats = Paginator(selectors.chats_of(request.project), 20).get_page(request.GET.get("page"))
    return render(request, "chat/chats.html", {"form": form, "chats": chats})


@login_required
@project_page(ADMINISTER)
def chat_page(request: HttpRequest, pk: int) -> HttpResponse:
    chat = selectors.chat_get(project=request.project, pk=pk)
    return _turns(request, chat) if request.htmx else _page(request, chat)


def _context(request: HttpRequest, chat: Chat) -> dict:
    return {
        "chat": chat,
        "turns": selectors.turns_of(chat),
        "waits_for": selectors.waits_for(chat),
        "tally": selectors.tally(chat),
        "is_own": chat.created_by_id == request.user.pk,
        "verdicts": Turn.Prefer.choices,
    }


def _page(request: HttpRequest, chat: Chat, form: MessageForm | None = None, status: int = 200) -> HttpResponse:
    if form is None:
        last = chat.turns.order_by("-number").first()
        form = MessageForm(initial=last.decoding if last else None)
    return render(request, "chat/chat.html", {**_context(request, chat), "form": form}, status=status)


def _turns(request: HttpRequest, chat: Chat, error: str = "") -> HttpResponse:
    answer = render(request, "chat/_turns.html", _context(request, chat))
    if error:
        answer["HX-Trigger"] = json.dumps({"toast": {"message": error, "level": "error"}})
    return answer


@require_POST
@login_required
@project_page(ADMINISTER)
def say(request: HttpRequest, pk: int) -> HttpResponse:
    chat = selectors.chat_get(project=request.project, pk=pk)
    form = MessageForm(request.POST)
    error = ""
    if form.is_valid():
        try:
            services.turn_say(chat=chat, by=request.user, **form.cleaned_data)
        except DomainError as refused:
            error = refused.message
            form.add_error(None, error)
    else:
        error = " ".join(words for field in form for words in field.errors)
    if request.htmx:
        answer = _turns(request, selectors.chat_get(project=request.project, pk=pk), error)
        if error:
            answer["HX-Reswap"] = "none"  # what was written stays in its box
        return answer
    if error:
        return _page(request, chat, form, status=400)
    return redirect("chat:chat", request.project.slug, pk)


@require_POST
@login_required
@project_page(ADMINISTER)
def verdict(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    chat = selectors.chat_get(project=request.project, pk=pk)
    turn = selectors.turn_get(chat=chat, number=number)
    prefer = request.POST.get("prefer", "")
    return _do(request, pk, lambda: services.verdict_give(turn=turn, by=request.user, prefer=prefer))


@require_POST
@login_required
@project_page(ADMINISTER)
def action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """stop (the answers under way), reveal (the names), end (give the models' memory back)."""
    chat = selectors.chat_get(project=request.project, pk=pk)
    done = {"stop": services.turn_stop, "reveal": services.chat_reveal, "end": services.chat_end}[action]
    return _do(request, pk, lambda: done(chat=chat, by=request.user))


def _do(request: HttpRequest, pk: int, what) -> HttpResponse:
    """Do it, and show the chat as it stands then, with what was refused in words."""
    error = ""
    try:
        what()
    except DomainError as refused:
        error = refused.message
    if request.htmx:
        return _turns(request, selectors.chat_get(project=request.project, pk=pk), error)
    if error:
        messages.error(request, error)
    return redirect("chat:chat", request.project.slug, pk)


@login_required
@project_page(ADMINISTER)
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """The transcript: ?as=json, or Markdown. While names are hidden it names nobody."""
    chat = selectors.chat_get(project=request.project, pk=pk)
    if request.GET.get("as") == "json":
        text = json.dumps(selectors.chat_shown(chat), cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        answer, ending = HttpResponse(text, content_type="application/json"), "json"
    else:
        answer, ending = HttpResponse(selectors.chat_markdown(chat), content_type="text/markdown; charset=utf-8"), "md"
    answer["Content-Disposition"] = f'attachment; filename="{request.project.slug}-chat-{chat.pk}.{ending}"'
    return answer
