"""The rating pages. A script gets the next task's HTML as the answer to its post; without one the page comes anew."""

import json
import time
import uuid
from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.media import media_shown
from feedbackhub.catalog.models import Output
from feedbackhub.catalog.selectors import revealing_count
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.access import ADMINISTER, OWN_WORK, SUSPENDED, suspension
from feedbackhub.projects.models import Role, TaskKind
from feedbackhub.projects.pages import project_page

from . import selectors, services
from .forms import TasksForm, payload_of
from .models import Assignment, Judgment, Task
from .shown import correction_shown, output_media_shown, spans_shown, text_shown

LETTERS = "ABCDEFGHIJ"
CORRECT_KEYS = "qw"  # one answer or two: a key each
LONG_PROMPT = 900  # characters; a longer one scrolls by itself, so that the answers stay in sight
HISTORY_PAGE = 25
TASKS_PAGE = 50
NOTHING = "0"  # ?then=0: the script has the next task already
_REASONS = dict(Judgment.SpanReason.choices)
QUESTIONS = {
    TaskKind.PAIRWISE: lazy("Which answer is better?"),
    TaskKind.RANKING: lazy("Put the answers in order, best first"),
    TaskKind.THUMBS: lazy("Is this a good answer?"),
    TaskKind.SCORES: lazy("Score the answer"),
}


def _refusals_said(view: Callable) -> Callable:
    """A script gets a service's no as JSON; without one it stands on the page that comes next."""

    @wraps(view)
    def guarded(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            if request.htmx:
                answer = {"detail": error.message, "code": error.code, "fields": error.fields}
                return JsonResponse(answer, status=error.status)
            if error.status == 404:
                raise
            messages.error(request, error.message)
            return redirect("rating:next", request.project.slug)

    return guarded


# --- The next task ------------------------------------------------------------------------------------------------


@never_cache
@login_required
@project_page(OWN_WORK)
def next_task(request: HttpRequest) -> HttpResponse:
    lease = services.task_next(project=request.project, rater=request.user)
    guidelines = markdown(request.project.guidelines) if request.project.guidelines.strip() else ""
    progress = selectors.progress(request.project, request.user)
    context = {"guidelines": guidelines, "progress": progress, **_shown(request, lease)}
    return render(request, "rating/next.html", context)


@require_POST
@login_required
@project_page(OWN_WORK)
@_refusals_said
def ahead(request: HttpRequest) -> HttpResponse:
    """One more task for the script to keep at hand: `?then=` names the one it shows."""
    return _next(request, None, "")


@require_POST
@login_required
@project_page(OWN_WORK)
@_refusals_said
def judge(request: HttpRequest, pk: int) -> HttpResponse:
    task = _task(request, pk)
    given = {"rater": request.user, "task": task, "payload": payload_of(request.POST, task)}
    and_next, after = _wanted(request)
    recorded = services.judgment_record(**given, and_next=and_next, after=after)
    judgment = recorded.judgment
    if judgment.supersedes_id and not request.htmx:
        messages.success(request, _("Changed. Only what you say now counts."))
        return redirect("rating:history", request.project.slug)
    undo = reverse("rating:undo", args=[request.project.slug, judgment.pk])
    late = _("Kept as history: by the time it came, the task had all its judgments.")
    said = _("Saved.") if judgment.counted else late
    done = {"judgment": judgment.pk, "counted": judgment.counted, "undo_url": undo}
    return _answer(request, recorded.next, done) if and_next else _next(request, done, said)


@require_POST
@login_required
@project_page(OWN_WORK)
@_refusals_said
def skip(request: HttpRequest, pk: int) -> HttpResponse:
    services.task_skip(rater=request.user, task=_task(request, pk), reason=request.POST.get("comment", "")[:200])
    return _next(request, {"skipped": pk}, _("Skipped. It goes to somebody else."))


@require_POST
@login_required
@project_page(OWN_WORK)
@_refusals_said
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    judgment = (
        Judgment.objects.filter(pk=pk, project=request.project, rater=request.user).select_related("task").first()
    )
    if judgment is None:
        raise NotFound(_("There is no judgment %(pk)s of yours.") % {"pk": pk})
    services.judgment_undo(rater=request.user, judgment=judgment)
    lease = services.lease_held(rater=request.user, task=judgment.task)
    if request.htmx:
        return _answer(request, lease, {"undone": pk})
    messages.success(request, _("Taken back. The task is yours again.") if lease else _("Taken back."))
    return redirect("rating:next" if lease else "rating:history", request.project.slug)


def _task(request: HttpRequest, pk: int) -> Task:
    task = selectors.task_by_id(pk)
    if task is None or task.project != request.project:
        raise NotFound(_("There is no task %(pk)s in this project.") % {"pk": pk})
    return task


def _next(request: HttpRequest, done: dict | None, said: str) -> HttpResponse:
    """After something was done: to a script what was done and, unless it has one at hand, the next task."""
    if not request.htmx:
        if said:
            messages.success(request, said)
        return redirect("rating:next", request.project.slug)
    wanted, after = _wanted(request)
    if not wanted:
        return _answer(request, None, done, status=204)
    lease = services.task_next(project=request.project, rater=request.user, after=after)
    return _answer(request, lease, done)


def _wanted(request: HttpRequest) -> tuple[bool, int | None]:
    """(Whether a script wants the next task with the answer, the one that it has at hand)"""
    then = request.GET.get("then", "")
    after = int(then) if then.isdecimal() and len(then) < 19 else None
    return bool(request.htmx) and then != NOTHING, after


def _answer(request: HttpRequest, lease: services.Lease | None, done: dict | None, status: int = 200) -> HttpResponse:
    if status == 204:
        response = HttpResponse(status=204)
    else:
        response = render(request, "rating/next.html#task", _shown(request, lease))
    if done is not None:
        progress = selectors.progress(request.project, request.user)
        counts = {"done": progress.done, "left": progress.left, "more": progress.more}
        response.headers["HX-Trigger"] = json.dumps({"rating:done": {**done, **counts}})
    return response


def _shown(request: HttpRequest, lease: services.Lease | None) -> dict:
    """What the task's fragment needs. It names no model."""
    if lease is None and SUSPENDED in request.roles:
        return {"task": None, "suspension": suspension(request.user, request.project)}
    if lease is None:
        return {"task": None, "held_by_others": _held_by_others(request), "is_admin": Role.ADMIN in request.roles}
    return _task_shown(lease.task, lease.outputs)


def _task_shown(task: Task, outputs: list[Output]) -> dict:
    """The outputs in the order in which this rater was served them."""
    project = task.project
    turns = [
        {
            "role": turn["role"],
            "text": text_of(turn["content"]),
            "media": media_shown(turn["content"], project),
        }
        for turn in task.prompt.messages
    ]
    keys = CORRECT_KEYS if len(outputs) <= len(CORRECT_KEYS) else ""
    answers = [
        {
            "id": output.pk,
            "letter": letter,
            "place": place,
            "html": markdown(text),
            "text": text,
            "source": json.dumps(text),  # as it is shown: HTML would change its line ends
            "media": output_media_shown(output, project),
            "correct_key": keys[place - 1 : place],
        }
        for place, (letter, output) in enumerate(zip(LETTERS, outputs), start=1)
        for text in [text_shown(output, project)]
    ]
    return {
        "task": task,
        "question": QUESTIONS[task.kind],
        "messages_html": [{**turn, "html": markdown(turn["text"])} for turn in turns],
        "long": sum(len(turn["text"]) for turn in turns) > LONG_PROMPT,
        "answers": answers,
        "has_media": any(one["media"] for one in [*turns, *answers]),
        "flags": Judgment.Flag.choices,
        "reasons": Judgment.SpanReason.choices,
        "places": range(1, len(answers) + 1),
        "criteria": [{**criterion, "marks": _marks(criterion)} for criterion in task.project.criteria],
        "shown": ",".join(str(output.pk) for output in outputs),
        "key": uuid.uuid4(),
        "rendered_at": round(time.time() * 1000),
    }


def _marks(criterion: dict) -> list[dict]:
    """The numbers of a criterion that has few whole ones, with what each means; else none: the page asks for one."""
    low, high = criterion["min"], criterion["max"]
    whole = isinstance(low, int) and isinstance(high, int) and high - low <= 10
    anchors = criterion.get("anchors", {})
    return [{"value": mark, "anchor": anchors.get(str(mark), "")} for mark in range(low, high + 1)] if whole else []


def _held_by_others(request: HttpRequest) -> int:
    leased = Assignment.objects.filter(project=request.project, state=Assignment.State.LEASED)
    return leased.exclude(rater=request.user).count()


# --- Saying it again ---------------------------------------------------------------------------------------------


@never_cache
@login_required
@project_page(OWN_WORK)
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The task of a judgment as it was shown, with what was said of it, to be judged anew."""
    mine = Judgment.objects.standing().filter(project=request.project, rater=request.user, task__isnull=False)
    said = mine.select_related("task__prompt", "task__project").prefetch_related("items__output").filter(pk=pk).first()
    if said is None:
        raise NotFound(_("There is no judgment %(pk)s of yours that counts and can be changed.") % {"pk": pk})
    items = sorted(said.items.all(), key=lambda item: item.position)
    shown = _task_shown(said.task, [item.output for item in items])
    for answer, item in zip(shown["answers"], items, strict=True):
        correction = correction_shown(item.correction, item.output, request.project)
        answer |= {"correction": correction, "tier": item.tier}
    if said.kind == TaskKind.RANKING and not said.none_acceptable:
        shown["answers"].sort(key=lambda answer: answer["tier"])
        for place, (above, answer) in enumerate(zip([None, *shown["answers"]], shown["answers"]), start=1):
            answer["is_tied"] = above is not None and above["tier"] == answer["tier"]
            answer["place"] = above["place"] if answer["is_tied"] else place
    guidelines = markdown(request.project.guidelines) if request.project.guidelines.strip() else ""
    context = {**shown, "said": said, "verdict": _entry(said)["verdict"], "guidelines": guidelines}
    context["spans"] = json.dumps(spans_shown(said.spans, request.project))
    return render(request, "rating/edit.html", context)


# --- History, tasks ---------------------------------------------------------------------------------------------------


@login_required
@project_page(OWN_WORK)
def history(request: HttpRequest) -> HttpResponse:
    judgments = selectors.history(request.project, request.user)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        judgments = judgments.filter(pk__lt=int(before))
    found = list(judgments[: HISTORY_PAGE + 1])
    more = len(found) > HISTORY_PAGE
    found = found[:HISTORY_PAGE]
    context = {
        "entries": [_entry(judgment) for judgment in found],
        "before": before,
        "older": found[-1].pk if more else None,
        "progress": selectors.progress(request.project, request.user),
    }
    return render(request, "rating/history.html", context)


def _entry(judgment: Judgment) -> dict:
    """A judgment in words: the answers by the letter they had, best first. It names no model."""
    items = sorted(judgment.items.all(), key=lambda item: item.position)
    spans = spans_shown(judgment.spans, judgment.project)
    for item in items:
        item.letter = LETTERS[item.position]
        item.html = markdown(text_shown(item.output, judgment.project)) if item.output else ""
        item.said = correction_shown(item.correction, item.output, judgment.project) if item.output else item.correction
        item.media = output_media_shown(item.output, judgment.project) if item.output else []
        item.spans = [
            {**span, "reason": _REASONS.get(span["reason"], span["reason"])}
            for span in spans
            if span["output"] == item.output_id
        ]
    return {
        "judgment": judgment,
        "items": items,
        "verdict": _verdict(judgment, items),
        "strength": judgment.get_strength_display(),
        "flags": [dict(Judgment.Flag.choices).get(flag, flag) for flag in judgment.flags],
        "withdrawn": hasattr(judgment, "superseded_by"),
    }


def _verdict(judgment: Judgment, items: list) -> str:
    if judgment.kind == TaskKind.THUMBS:
        return _("Thumbs up") if items[0].thumbs > 0 else _("Thumbs down")
    if judgment.kind == TaskKind.SCORES:
        marks = items[0].scores.items()
        return ", ".join(f"{key} {mark:g}" for key, mark in marks)
    if judgment.none_acceptable:
        return _("Both bad") if len(items) == 2 else _("None acceptable")
    tiers: dict[int, list[str]] = {}
    for item in items:
        tiers.setdefault(item.tier, []).append(item.letter)
    if judgment.kind == TaskKind.RANKING:
        return " > ".join(" = ".join(tiers[tier]) for tier in sorted(tiers))
    if len(tiers) == 1:
        return _("Tie")
    letter = tiers[min(tiers)][0]
    better = _("%(letter)s better, shown left") if letter == "A" else _("%(letter)s better, shown right")
    return better % {"letter": letter}


@login_required
@project_page(ADMINISTER)
def tasks(request: HttpRequest) -> HttpResponse:
    form = TasksForm(request.POST or None, project=request.project)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.tasks_create(**form.wish())
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            left_out = _reasons(made)
            said = ngettext("%(count)s task made.", "%(count)s tasks made.", made.created) % {"count": made.created}
            left_out = left_out and " " + _("Left out: %(left_out)s.") % {"left_out": left_out}
            messages.success(request, said + left_out)
            return redirect("rating:tasks", request.project.slug)
    found = selectors.tasks_of(request.project).order_by("-pk")
    page = Paginator(found, TASKS_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "counts": selectors.task_counts(request.project),
        "page": page,
        "revealing": revealing_count(request.project),
    }
    return render(request, "rating/tasks.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def tasks_preview(request: HttpRequest) -> HttpResponse:
    """How many tasks the form, as it stands, would make, and why not more."""
    form = TasksForm(request.POST, project=request.project)
    context: dict = {"form": form}
    if form.is_valid():
        try:
            made = services.tasks_preview(**form.wish())
        except DomainError as error:
            context["problem"] = error.message
        else:
            wanted = form.cleaned_data["judgments_wanted"]
            context |= {"made": made, "judgments": made.created * wanted, "left_out": _reasons(made)}
    return render(request, "rating/tasks.html#preview", context)


def _reasons(made: services.TasksCreated) -> str:
    counts = sorted((reason.replace("_", " "), count) for reason, count in made.skipped.items())
    return ", ".join(f"{_(reason)}: {count}" for reason, count in counts)
