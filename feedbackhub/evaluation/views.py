import csv

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page

from . import failures, following, selectors, services
from .forms import EvaluationForm
from .models import DataRequest, Evaluation

COLUMNS = ("model", "metric", "value", "lower", "upper", "n")


@login_required
@project_page(READ_REPORTS)
def evaluation_list(request: HttpRequest) -> HttpResponse:
    form = None
    if Role.ADMIN in request.roles:
        asked = {"models": request.GET.getlist("model"), "suite": request.GET.get("suite")}
        form = EvaluationForm(project=request.project, initial=asked)
    return _list(request, form)


def _list(request: HttpRequest, form: EvaluationForm | None, status: int = 200) -> HttpResponse:
    context = {
        "evaluations": Paginator(selectors.evaluations_of(request.project), 20).get_page(request.GET.get("page")),
        "suites": selectors.latest_suites(request.project),
        "is_admin": Role.ADMIN in request.roles,
        "form": form,
        "requests": DataRequest.objects.filter(project=request.project, done_at=None).count() if form else 0,
    }
    return render(request, "evaluation/evaluations.html", context, status=status)


@require_POST
@login_required
@project_page(ADMINISTER)
def evaluation_new(request: HttpRequest) -> HttpResponse:
    form = EvaluationForm(request.POST, project=request.project)
    if form.is_valid():
        try:
            evaluation = services.evaluation_create(
                project=request.project,
                models=list(form.cleaned_data["models"]),
                suite=form.cleaned_data["suite"],
                by=request.user,
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect("evaluation:evaluation", request.project.slug, evaluation.pk)
    return _list(request, form, status=400)


@login_required
@project_page(READ_REPORTS)
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """The models side by side; the page asks again until the evaluation has ended. ?as=csv or json for its table."""
    found = selectors.evaluation_get(project=request.project, pk=pk)
    if request.GET.get("as") in ("csv", "json"):
        return _exported(request, found)
    table = selectors.comparison_table(found)
    parts = list(found.parts.select_related("run", "model", "evaluation__suite_version").order_by("pk"))
    active = found.status in (Evaluation.Status.PENDING, Evaluation.Status.RUNNING)
    analyses = [a for a in map(failures.analysis, parts) if a] if found.suite_version_id and not active else []
    context = {
        "evaluation": found,
        "table": table,
        "parts": parts,
        "active": active,
        "reuse": [(part.model, part.run.result["reuse"]) for part in parts if (part.run.result or {}).get("reuse")],
        "notes": [(part.model, note) for part in parts for note in (part.run.result or {}).get("notes") or []],
        "analyses": analyses,
        # whose line of rounds stands in another model's already
        "ancestors": {step.part.pk for analysis in analyses for step in analysis.history[:-1]},
        "others": selectors.evaluations_like(found)[:20],
        "is_admin": Role.ADMIN in request.roles,
    }
    return render(request, "evaluation/evaluation.html" + ("#results" if request.htmx else ""), context)


def _exported(request: HttpRequest, found: Evaluation) -> HttpResponse:
    rows = selectors.result_rows(found)
    if request.GET["as"] == "json":
        return JsonResponse({"id": found.pk, "suite": found.title, "results": rows})
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{request.project.slug}-evaluation-{found.pk}.csv"'
    writer = csv.DictWriter(answer, fieldnames=COLUMNS)
    writer.writeheader()
    for row in rows:  # a spreadsheet takes a text that begins like this for a formula
        row = {key: f"'{value}" if str(value)[:1] in "=+@\t" else value for key, value in row.items()}
        writer.writerow(row)
    return answer


@require_POST
@login_required
@project_page(ADMINISTER)
def evaluation_action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """stop or resume."""
    actions = {"stop": services.evaluation_stop, "resume": services.evaluation_resume}
    try:
        actions[action](evaluation=selectors.evaluation_get(project=request.project, pk=pk))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("evaluation:evaluation", request.project.slug, pk)


@login_required
@project_page(READ_REPORTS)
def evaluation_compare(request: HttpRequest) -> HttpResponse:
    """Two evaluations side by side: ?a=ID&b=ID."""
    chosen = {side: request.GET.get(side, "") for side in ("a", "b")}
    found = [
        selectors.evaluation_get(project=request.project, pk=int(text)) for text in chosen.values() if text.isdecimal()
    ]
    context = {"all": selectors.evaluations_of(request.project)[:200], **chosen}
    if len(found) == 2:
        context |= {"table": selectors.compared_table(found), "compared": found}
    return render(request, "evaluation/compare.html", context)


# --- What fails ------------------------------------------------------------------------------------------------------


@login_required
@project_page(READ_REPORTS)
def evaluation_items(request: HttpRequest, pk: int) -> HttpResponse:
    """The items of one model that fail, were fixed, fail newly, or all: ?model=ID&group=rule:NAME&show=failed."""
    part = failures.part_of(selectors.evaluation_get(project=request.project, pk=pk), request.GET.get("model", ""))
    group, show = request.GET.get("group", ""), request.GET.get("show", "failed")
    analysis = failures.analysis(part)
    groups = [analysis.all, *analysis.rules, *analysis.tags] if analysis else []
    chosen = next((one for one in groups if one.key == group), None)
    results = failures.results_of(part)
    if show != "all":
        wanted = getattr(chosen, show if show in ("failed", "fixed", "new") else "failed") if chosen else []
        results = results.filter(item__in=wanted)
    page = Paginator(results, 20).get_page(request.GET.get("page"))
    context = {"evaluation": part.evaluation, "part": part, "groups": groups, "chosen": chosen, "show": show}
    before = failures.answers_before(analysis.previous, page) if analysis and analysis.previous else {}
    asked = [(result, following.prompt_text(result), before.get(result.item_id)) for result in page]
    context |= {"page": page, "asked": asked, "previous": analysis and analysis.previous}
    return render(request, "evaluation/items.html", {**context, "is_admin": Role.ADMIN in request.roles})


@require_POST
@login_required
@project_page(ADMINISTER)
def failures_follow(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """queue: rating tasks of a failing group. request: a note for the admins."""
    found = selectors.evaluation_get(project=request.project, pk=pk)
    try:
        part = failures.part_of(found, request.POST.get("model", ""))
        group = request.POST.get("group", "")
        if action == "queue":
            made = following.failures_queue(part=part, group=group, by=request.user)
            left = ", ".join(f"{reason.replace('_', ' ')}: {n}" for reason, n in sorted(made.skipped.items()))
            words = ngettext("%(count)s task waits for raters.", "%(count)s tasks wait for raters.", made.created)
            words %= {"count": made.created}
            messages.success(request, f"{words} {_('Left out')}: {left}." if left else words)
            return redirect("rating:tasks", request.project.slug)
        following.data_request_create(part=part, group=group, note=request.POST.get("note", ""), by=request.user)
        messages.success(request, _("The data request is kept."))
        return redirect("evaluation:requests", request.project.slug)
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("evaluation:evaluation", request.project.slug, pk)


@login_required
@project_page(ADMINISTER)
def request_list(request: HttpRequest) -> HttpResponse:
    found = DataRequest.objects.filter(project=request.project).select_related("model", "evaluation__suite_version")
    page = Paginator(found.order_by("done_at", "-pk"), 20).get_page(request.GET.get("page"))
    return render(request, "evaluation/requests.html", {"requests": page})


@require_POST
@login_required
@project_page(ADMINISTER)
def request_done(request: HttpRequest, pk: int) -> HttpResponse:
    """Met, or with `open` open again."""
    found = selectors.data_request_get(project=request.project, pk=pk)
    following.data_request_done(request=found, done="open" not in request.POST)
    return redirect("evaluation:requests", request.project.slug)
