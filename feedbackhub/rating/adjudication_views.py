"""The adjudication queue: one task after the other, settled by key."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.media import media_shown
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.models import Project, TaskKind
from feedbackhub.projects.pages import project_page

from . import adjudication as service
from .models import Judgment, Task
from .quality_report import report
from .shown import output_media_shown, text_shown

LETTERS = "ABCDEFGHIJ"
SETTLED_SHOWN = 10


@never_cache
@login_required
@project_page(ADMINISTER)
def queue(request: HttpRequest) -> HttpResponse:
    """The most evenly split task that nobody has settled; `?after=` the one that follows, `?task=` this very one."""
    wanted = _id(request.GET.get("task", ""))
    waiting = _waiting(request.project)
    found = (
        service.dispute(_task(request.project, wanted)) if wanted else _next(waiting, _id(request.GET.get("after", "")))
    )
    settled = service.settlements(request.project).select_related("task__prompt", "rater").prefetch_related("items")
    context = {
        "left": len(waiting),
        "settled": [_settled(one) for one in settled.order_by("-pk")[:SETTLED_SHOWN]],
        "guidelines": markdown(request.project.guidelines) if request.project.guidelines.strip() else "",
        **(_shown(found) if found else {"task": None}),
    }
    return render(request, "rating/adjudicate.html", context)


def _waiting(project: Project) -> list[int]:
    """Tasks that raters disagree on and nobody has settled, the most evenly split first."""
    settled = set(service.settlements(project).values_list("task", flat=True))
    return [pk for pk, _labels in report(project).split if pk not in settled]


def _next(waiting: list[int], after: int | None) -> service.Dispute | None:
    """The first in line, past `after`. The report may be older than an edit: what is no dispute any more is passed."""
    start = waiting.index(after) + 1 if after in waiting else 0
    for pk in [*waiting[start:], *waiting[:start]]:
        task = Task.objects.select_related("prompt", "project").filter(pk=pk, kind__in=service.KINDS).first()
        found = service.dispute(task) if task else None
        if found and len(found.verdicts) > 1:
            return found
    return None


def _id(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _task(project: Project, pk: int) -> Task:
    task = Task.objects.select_related("prompt", "project").filter(pk=pk, project=project).first()
    if task is None or task.check_kind or task.kind not in service.KINDS:
        raise NotFound(_("There is no task %(task)d here that can be settled.") % {"task": pk})
    return task


def _shown(found: service.Dispute) -> dict:
    task = found.task
    letters = {output.pk: letter for output, letter in zip(found.outputs, LETTERS)}
    turns = [
        {
            "role": turn["role"],
            "html": markdown(text_of(turn["content"])),
            "media": media_shown(turn["content"], task.project),
        }
        for turn in task.prompt.messages
    ]
    answers = [
        {
            "id": output.pk,
            "letter": letters[output.pk],
            "html": markdown(text_shown(output, task.project)),
            "media": output_media_shown(output, task.project),
        }
        for output in found.outputs
    ]
    said = [
        {
            "judgment": one,
            "verdict": words(task.kind, service.verdict_of(one), letters),
            "flags": [dict(Judgment.Flag.choices).get(flag, flag) for flag in one.flags],
        }
        for one in found.judgments
    ]
    return {
        "task": task,
        "messages_html": turns,
        "answers": answers,
        "said": said,
        "choices": _choices(found, letters),
        "settlement": found.settlement,
        "settled_as": words(task.kind, service.verdict_of(found.settlement), letters) if found.settlement else "",
        "waiting": found.waiting,
    }


def _choices(found: service.Dispute, letters: dict[int, str]) -> list[dict]:
    """What one may settle on, each with its key; for rankings the orders that raters gave."""
    kind = found.task.kind
    if kind == TaskKind.THUMBS:
        return [
            {"value": "-1", "label": _("Bad"), "key": "-", "keys": "- ArrowDown"},
            {"value": "1", "label": _("Good"), "key": "+", "keys": "+ ArrowUp"},
        ]
    if kind == TaskKind.PAIRWISE:
        (one, other) = (output.pk for output in found.outputs)
        return [
            {"value": f"{one}>{other}", "label": _("A better"), "key": "A", "keys": "a ArrowLeft 1"},
            {"value": service.TIE, "label": _("Tie"), "key": "T", "keys": "t"},
            {"value": service.NONE, "label": _("Both bad"), "key": "N", "keys": "n"},
            {"value": f"{other}>{one}", "label": _("B better"), "key": "B", "keys": "b ArrowRight 2"},
        ]
    orders = [verdict for verdict, _count in found.verdicts if not verdict.none_acceptable][:9]
    choices = [
        {"value": verdict.text, "label": words(kind, verdict, letters), "key": str(place), "keys": str(place)}
        for place, verdict in enumerate(orders, start=1)
    ]
    return [*choices, {"value": service.NONE, "label": _("None acceptable"), "key": "N", "keys": "n"}]


def words(kind: str, verdict: service.Verdict, letters: dict[int, str]) -> str:
    """A verdict by the letters of the page."""
    if verdict.thumbs is not None:
        return _("Good") if verdict.thumbs > 0 else _("Bad")
    if verdict.none_acceptable:
        return _("Both bad") if kind == TaskKind.PAIRWISE else _("None acceptable")
    tiers: dict[int, list[str]] = {}
    for output, tier in verdict.tiers.items():
        tiers.setdefault(tier, []).append(letters.get(output, "?"))
    order = [sorted(tiers[tier]) for tier in sorted(tiers)]
    if kind == TaskKind.RANKING:
        return " > ".join(" = ".join(tier) for tier in order)
    return _("Tie") if len(order) == 1 else _("%(letter)s better") % {"letter": order[0][0]}


def _settled(settlement: Judgment) -> dict:
    letters = {item.output_id: LETTERS[item.position] for item in settlement.items.all()}
    return {"judgment": settlement, "verdict": words(settlement.kind, service.verdict_of(settlement), letters)}


@require_POST
@login_required
@project_page(ADMINISTER)
def settle(request: HttpRequest, pk: int) -> HttpResponse:
    task = _task(request.project, pk)
    given = request.POST
    try:
        service.task_settle(
            task=task, by=request.user, verdict=given.get("verdict", ""), comment=given.get("comment", "")
        )
    except DomainError as error:
        messages.error(request, error.message)
        return redirect(f"{reverse('rating:adjudicate', args=[request.project.slug])}?task={pk}")
    messages.success(request, _("Settled. Datasets that are frozen from now on take your word; the votes stay."))
    return redirect("rating:adjudicate", request.project.slug)


@require_POST
@login_required
@project_page(ADMINISTER)
def settlement_undo(request: HttpRequest, pk: int) -> HttpResponse:
    found = Judgment.objects.filter(pk=pk, project=request.project, source=Judgment.Source.ADJUDICATION).first()
    if found is None:
        raise NotFound(_("There is no such settlement."))
    try:
        service.settlement_undo(settlement=found, by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("rating:adjudicate", request.project.slug)
    messages.success(request, _("Taken back: the votes speak again."))
    return redirect(f"{reverse('rating:adjudicate', args=[request.project.slug])}?task={found.task_id}")
