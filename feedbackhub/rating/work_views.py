"""The admin's pages on work that is under way: the live board, one task, one rater, and what was done about them."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.accounts.models import User
from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.media import media_shown
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.access import ADMINISTER, RATE
from feedbackhub.projects.models import Project
from feedbackhub.projects.pages import project_page

from . import check_results, live, selectors, services
from .forms import known_answer_of
from .models import Gold, Intervention, Judgment, Task

PAGE = 50
LETTERS = "ABCDEFGHIJ"


def _hour(hour: datetime) -> str:
    local = timezone.localtime(hour)
    return f"{date_format(local, 'MONTH_DAY_FORMAT')} {local:%H:00}"


@login_required
@project_page(ADMINISTER)
def board(request: HttpRequest) -> HttpResponse:
    """Throughput, what is left and when it will be done, who is at what; followed live."""
    pace = live.pace(request.project)
    context = {
        "pace": pace,
        "chart": {
            "groups": [_hour(hour) for hour, _count in pace.hours],
            "series": [{"name": _("Judgments"), "values": [count for _hour, count in pace.hours]}],
        },
        "held": live.held(request.project),
        "groups": live.groups(request.project),
    }
    if request.htmx:
        return render(request, "rating/live.html#board", context)
    statistics = {one["name"]: one for one in selectors.agreement(request.project)["statistics"]}
    return render(request, "rating/live.html", {**context, "agreement": statistics})


# --- One task -----------------------------------------------------------------------------------------------------


@login_required
@project_page(ADMINISTER)
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """A task with its answers and whose they are, its places, what was said, and what an admin may do about it."""
    found = _task(request, pk)
    outputs = [row.output for row in found.task_outputs.select_related("output__model").order_by("output_id")]
    answers = [
        {
            "letter": letter,
            "output": output,
            "html": markdown(output.text),
            "media": media_shown(output.parts, request.project),
        }
        for letter, output in zip(LETTERS, outputs)
    ]
    letters = {output.pk: letter for letter, output in zip(LETTERS, outputs)}
    judgments = Judgment.objects.filter(task=found, withdrawn=False).select_related("rater", "superseded_by", "voiding")
    context = {
        "task": found,
        "prompt_html": [
            {
                "role": turn["role"],
                "html": markdown(text_of(turn["content"])),
                "media": media_shown(turn["content"], request.project),
            }
            for turn in found.prompt.messages
        ],
        "answers": answers,
        "places": found.assignments.select_related("rater", "group").order_by("ordinal"),
        "said": [
            {"judgment": one, "words": in_words(one, letters)}
            for one in judgments.prefetch_related("items").order_by("pk")
        ],
        "interventions": found.interventions.select_related("created_by", "rater", "given_to").order_by("-pk"),
        "gold": Gold.objects.filter(task=found, retired_at=None).first(),
        "raters": _raters(request.project),
        "place_numbers": range(1, len(answers) + 1),
    }
    return render(request, "rating/task.html", context)


def in_words(judgment: Judgment, letters: dict[int, str]) -> str:
    """What was said, the answers by their letters: "A > B", "A = B", "none acceptable", "A up", "A truth 4"."""
    if judgment.none_acceptable:
        return _("none acceptable")
    items = sorted(judgment.items.all(), key=lambda item: letters.get(item.output_id, ""))
    if judgment.kind == "thumbs":
        return ", ".join(f"{letters.get(one.output_id)} {'👍' if one.thumbs > 0 else '👎'}" for one in items)
    if judgment.kind == "scores":
        marks = [(letters.get(one.output_id), key, mark) for one in items for key, mark in one.scores.items()]
        return ", ".join(f"{letter} {key} {mark:g}" for letter, key, mark in marks)
    tiers: dict[int, list[str]] = {}
    for one in items:
        tiers.setdefault(one.tier, []).append(letters.get(one.output_id, "?"))
    return " > ".join(" = ".join(tiers[tier]) for tier in sorted(tiers))


@require_POST
@login_required
@project_page(ADMINISTER)
def task_act(request: HttpRequest, pk: int) -> HttpResponse:
    """Open a task again, hand a place of it on, or make it a gold item."""
    found = _task(request, pk)
    act = _ACTS.get(request.POST.get("act", ""))
    if act is None:
        raise NotFound(_("There is nothing of that name to do."))
    try:
        messages.success(request, act(request, found))
    except DomainError as error:
        messages.error(request, error.message)
    if request.POST.get("back") == "live":
        return redirect("rating:live", request.project.slug)
    return redirect("rating:task", request.project.slug, pk)


def _reopen(request: HttpRequest, found: Task) -> str:
    done = services.task_reopen(by=request.user, task=found, reason=request.POST.get("reason", ""))
    return _("Opened again; %(count)d judgments count no more.") % {"count": done.count}


def _reassign(request: HttpRequest, found: Task) -> str:
    rater, given_to = (_user(request, name) for name in ("rater", "given_to"))
    reason = request.POST.get("reason", "")
    services.lease_reassign(by=request.user, task=found, rater=rater, given_to=given_to, reason=reason)
    return _("Given to %(rater)s.") % {"rater": given_to} if given_to else _("Taken back; anyone may get it now.")


def _gold(request: HttpRequest, found: Task) -> str:
    expected = known_answer_of(request.POST, found)
    services.gold_create(by=request.user, task=found, expected=expected, note=request.POST.get("note", ""))
    return _("It is a gold item now: raters get it among their work and are not told.")


_ACTS = {"reopen": _reopen, "reassign": _reassign, "gold": _gold}


def _task(request: HttpRequest, pk: int) -> Task:
    found = Task.objects.select_related("project", "prompt").filter(pk=pk, project=request.project).first()
    if found is None:
        raise NotFound(_("There is no task %(pk)s in this project.") % {"pk": pk})
    return found


def _user(request: HttpRequest, name: str) -> User | None:
    username = request.POST.get(name, "")
    return get_object_or_404(User, username=username) if username else None


def _raters(project: Project) -> list[User]:
    members = User.objects.filter(memberships__project=project, memberships__role__in=RATE)
    return list(members.distinct().order_by("username"))


# --- Checks -------------------------------------------------------------------------------------------------------


@login_required
@project_page(ADMINISTER)
def checks(request: HttpRequest) -> HttpResponse:
    """The gold items and attention checks, how raters fare on them, and tasks that could become some."""
    records = check_results.check_records(request.project)
    raters = User.objects.in_bulk(records)
    context = {
        "records": check_results.gold_records(request.project),
        "raters": sorted(
            ((raters[pk], record.shares()) for pk, record in records.items()), key=lambda row: row[0].username
        ),
        "candidates": check_results.unanimous_tasks(request.project),
    }
    return render(request, "rating/checks.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def checks_act(request: HttpRequest) -> HttpResponse:
    """Make attention checks, make a task gold whose raters agree, or retire a gold item."""
    act = request.POST.get("act", "")
    try:
        if act == "attention":
            made = services.attention_create(by=request.user, project=request.project, count=10)
            messages.success(request, _("%(count)d attention checks made.") % {"count": made})
        elif act == "retire":
            gold = get_object_or_404(Gold, project=request.project, pk=request.POST.get("gold"))
            services.gold_retire(gold=gold)
            messages.success(request, _("Retired: nobody gets it any more."))
        elif act == "agreed":
            _agreed(request)
        else:
            raise NotFound(_("There is nothing of that name to do."))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("rating:checks", request.project.slug)


def _agreed(request: HttpRequest) -> None:
    wished = request.POST.get("task", "")
    for found, expected, count in check_results.unanimous_tasks(request.project):
        if str(found.pk) == wished:
            note = _("%(count)d raters agreed.") % {"count": count}
            services.gold_create(by=request.user, task=found, expected=expected, note=note)
            messages.success(request, _("It is a gold item now: raters get it among their work and are not told."))
            return
    raise DomainError(_("The raters of this task do not all agree any more; look at it again."))


# --- Interventions ------------------------------------------------------------------------------------------------


@login_required
@project_page(ADMINISTER)
def interventions(request: HttpRequest) -> HttpResponse:
    """What admins did to others' work, latest first; a form to make a rater's work void."""
    found = Intervention.objects.filter(project=request.project).order_by("-pk")
    found = found.select_related("created_by", "undone_by", "rater", "given_to", "task__prompt")
    said = Judgment.objects.in_force().filter(project=request.project, rater__isnull=False)
    raters = User.objects.filter(pk__in=said.values("rater")).order_by("username")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "raters": raters, "chosen": request.GET.get("rater", "")}
    return render(request, "rating/interventions.html", context)


@require_POST
@login_required
@project_page(ADMINISTER)
def void(request: HttpRequest) -> HttpResponse:
    """Make a rater's work void, all of it or that of the last days."""
    rater = get_object_or_404(User, username=request.POST.get("rater", ""))
    days = request.POST.get("days", "")
    since = timezone.now() - timedelta(days=int(days)) if days.isdecimal() and len(days) < 5 else None
    try:
        done = services.work_void(
            by=request.user, project=request.project, rater=rater, reason=request.POST.get("reason", ""), since=since
        )
    except DomainError as error:
        messages.error(request, error.message)
    else:
        words = _("%(count)d judgments of %(rater)s count no more; their tasks are open to others.")
        messages.success(request, words % {"count": done.count, "rater": rater})
    return redirect("rating:interventions", request.project.slug)


@require_POST
@login_required
@project_page(ADMINISTER)
def intervention_undo(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Intervention, project=request.project, pk=pk)
    try:
        restored = services.intervention_undo(by=request.user, intervention=found)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        words = _("Undone: %(restored)d of %(count)d are as they were.")
        if restored < found.count:
            words = _("Undone: %(restored)d of %(count)d are as they were; others have judged the rest meanwhile.")
        messages.success(request, words % {"restored": restored, "count": found.count})
    return redirect("rating:interventions", request.project.slug)
