from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.evaluation.selectors import comparison_table
from feedbackhub.leaderboard.selectors import ab
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page
from feedbackhub.runs import selectors as runs
from feedbackhub.runs.models import RunState

from . import doubt, selectors, services
from .calibration_page import calibration_differences, calibration_slices
from .datasets import dataset_freeze
from .estimates import estimate_create, estimate_shown
from .exports import dataset_export, formats_of
from .forms import FreezeForm, RoundForm, first_settings
from .models import FollowUp
from .preflight import preflight
from .presets import preset_get, presets
from .promotion import champion
from .recipes import recipes, schema
from .search_views import search_context

LOG_LINES = 200
SCORINGS = 5  # shown, the latest


@login_required
@project_page(ADMINISTER)
def dataset_list(request: HttpRequest) -> HttpResponse:
    form = FreezeForm(request.POST or None, project=request.project)
    if request.method == "POST" and form.is_valid():
        try:
            dataset = dataset_freeze(
                project=request.project, by=request.user, kind=form.cleaned_data["kind"], filters=form.filters()
            )
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("Frozen: %(rows)s rows.") % {"rows": dataset.counts["rows"]})
            return redirect("rounds:dataset", request.project.slug, dataset.pk)
    datasets = Paginator(selectors.datasets_of(request.project), 50).get_page(request.GET.get("page"))
    return render(request, "rounds/datasets.html", {"form": form, "datasets": datasets})


@login_required
@project_page(ADMINISTER)
def dataset(request: HttpRequest, pk: int) -> HttpResponse:
    found = selectors.dataset_get(project=request.project, pk=pk)
    rows = Paginator(found.rows.select_related("prompt"), 20).get_page(request.GET.get("page"))
    return render(
        request,
        "rounds/dataset.html",
        {
            "dataset": found,
            "rows": rows,
            "formats": formats_of(found.kind),
            "rounds": found.rounds.all(),
            "excluded": [(_(reason.replace("_", " ")), n) for reason, n in sorted(found.excluded.items())],
        },
    )


@login_required
@project_page(ADMINISTER)
def dataset_row(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """A frozen row and the very votes behind it."""
    found = selectors.dataset_get(project=request.project, pk=pk)
    row = selectors.row_get(dataset=found, position=position)
    votes = list(selectors.votes_behind(row))
    for vote in votes:
        vote.ordered_items = sorted(vote.items.all(), key=lambda item: (item.tier or 0, item.position))
    context = {"dataset": found, "row": row, "votes": votes, **_row_shown(row.data)}
    return render(request, "rounds/dataset_row.html", context)


def _row_shown(data: dict) -> dict:
    """A row's conversation, and its answers with their names."""
    if "messages" in data:
        *prompt, answer = data["messages"]
        return {"prompt": prompt, "answers": [{"name": _("Demonstration"), "text": answer["content"], "class": ""}]}
    names = {"chosen": (_("Chosen"), "is-chosen"), "rejected": (_("Rejected"), "is-rejected")}
    names["completion"] = (_("Thumbs up"), "is-chosen") if data.get("label") else (_("Thumbs down"), "is-rejected")
    answers = [
        {"name": name, "text": data[key][0]["content"], "class": look}
        for key, (name, look) in names.items()
        if key in data
    ]
    return {"prompt": data["prompt"], "answers": answers}


@login_required
@project_page(ADMINISTER)
def dataset_download(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    found = selectors.dataset_get(project=request.project, pk=pk)
    content_type, filename, content = dataset_export(dataset=found, format=request.GET.get("format", "trl"))
    answer = StreamingHttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


@login_required
@project_page(READ_REPORTS)
def round_list(request: HttpRequest) -> HttpResponse:
    rounds = Paginator(selectors.rounds_of(request.project), 50).get_page(request.GET.get("page"))
    return render(request, "rounds/rounds.html", {"rounds": rounds, "is_admin": Role.ADMIN in request.roles})


@login_required
@project_page(ADMINISTER)
def round_new(request: HttpRequest) -> HttpResponse:
    """The form; choosing another recipe brings that recipe's settings and datasets."""
    asked = request.POST.get("recipe") or request.GET.get("recipe")
    recipe = asked if asked in recipes() else "dpo"
    preset = preset_get(recipe, request.GET.get("preset"))
    initial = _initial(request) | {f"setting_{name}": value for name, value in preset.settings.items()}
    form = RoundForm(request.POST or None, project=request.project, recipe=recipe, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            tuning_round = services.round_create(
                project=request.project,
                by=request.user,
                recipe=recipe,
                base_model=form.cleaned_data["base_model"],
                dataset=form.cleaned_data["dataset"],
                mixture=form.mixture(),
                settings=form.settings(),
                reward_model=form.cleaned_data.get("reward_model"),
                audit_model=form.cleaned_data.get("audit_model"),
            )
            if "check" in request.POST:
                estimate_create(tuning_round=tuning_round, by=request.user)
            else:
                services.round_launch(tuning_round=tuning_round)
        except DomainError as error:
            if error.code == "preflight":  # the draft is there, and its page says what was found
                return redirect("rounds:round", request.project.slug, tuning_round.number)
            form.add_error(None, error.message)
        else:
            return redirect("rounds:round", request.project.slug, tuning_round.number)
    context = {"form": form, "recipe": recipe, "presets": presets(recipe), "preset": preset}
    return render(request, "rounds/round_new.html", context)


def _initial(request: HttpRequest) -> dict:
    return {"dataset": request.GET["dataset"]} if request.GET.get("dataset", "").isdigit() else {}


@login_required
@project_page(READ_REPORTS)
def round_page(request: HttpRequest, number: int) -> HttpResponse:
    """The round's story: dataset → curves → answers → metrics → blind pairs → verdict."""
    tuning_round = selectors.round_get(project=request.project, number=number)
    run = tuning_round.run
    steps = list(tuning_round.follow_ups.order_by("pk"))
    measured = (step for step in steps if step.step == FollowUp.Step.EVALUATION and step.evaluation_id)
    evaluation = next((step.evaluation for step in measured), None)
    context = {
        "round": tuning_round,
        "run": run,
        "steps": steps,
        "following": selectors.is_followed(tuning_round, steps),
        "evaluation": evaluation,
        "table": comparison_table(evaluation) if evaluation else None,
        "ab": _verdict(tuning_round),
        "champion": champion(request.project),
        **_reward(request, tuning_round),
    }
    if request.headers.get("HX-Target") == "after":
        return render(request, "rounds/_after.html", context)
    if request.headers.get("HX-Target") == "search":
        return render(request, "rounds/_search.html", context | search_context(tuning_round))
    if run.state == RunState.DRAFT:
        if request.headers.get("HX-Target") == "estimate":
            return _estimate_fragment(request, tuning_round)
        context |= {"preflight": preflight(tuning_round)}
    context |= {
        "series": runs.series(run),
        "samples": runs.samples(run),
        "log": runs.log_tail(run, LOG_LINES),
        **_settings_shown(tuning_round),
        **search_context(tuning_round),
        "socket": f"/ws/rounds/{tuning_round.pk}/",
    }
    return render(request, "rounds/round.html", context)


def _estimate_fragment(request: HttpRequest, tuning_round) -> HttpResponse:
    """The rehearsal as it stands; once it has ended the whole page is asked for, its findings count tokens then."""
    shown = estimate_shown(tuning_round)
    answer = render(
        request, "rounds/_estimate.html", {"round": tuning_round, "preflight": {"estimate": shown}, **_role(request)}
    )
    if not (shown and shown["active"]):
        answer["HX-Refresh"] = "true"
    return answer


def _role(request: HttpRequest) -> dict:
    return {"is_admin": Role.ADMIN in request.roles}


@require_POST
@login_required
@project_page(ADMINISTER)
def estimate(request: HttpRequest, number: int) -> HttpResponse:
    """Rehearse a draft: what it would take."""
    tuning_round = selectors.round_get(project=request.project, number=number)
    try:
        estimate_create(tuning_round=tuning_round, by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("rounds:round", request.project.slug, number)


def _settings_shown(tuning_round) -> dict[str, list[tuple[str, object]]]:
    """Every setting of the recipe with its value: `settings`, what was chosen or is looked at first, and `defaults`."""
    rules = schema()[tuning_round.recipe]["settings"]
    given, first = tuning_round.settings, first_settings(tuning_round.recipe)
    shown: dict[str, list[tuple[str, object]]] = {"settings": [], "defaults": []}
    for name, rule in rules.items():
        value = given.get(name, rule["default"])
        kind = "settings" if name in first or value != rule["default"] else "defaults"
        shown[kind].append((name.replace("_", " "), value))
    return shown


def _verdict(tuning_round) -> dict | None:
    if tuning_round.model is None or tuning_round.model.role != ModelVersion.Purpose.POLICY:
        return None
    return ab(project=tuning_round.project, a=tuning_round.model, b=tuning_round.base_model)


def _reward(request: HttpRequest, tuning_round) -> dict:
    """Of a reward model: what it is worth on the validation pairs, and what it said of open ones."""
    found = {"is_admin": Role.ADMIN in request.roles}
    model = tuning_round.model
    if model is None or model.role != ModelVersion.Purpose.REWARD:
        return found
    scorings = model.scorings.select_related("run").order_by("-pk")[:SCORINGS]
    calibration = (tuning_round.run.result or {}).get("calibration")
    return {
        **found,
        "calibration": calibration,
        "calibration_slices": calibration_slices(calibration),
        "calibration_differences": calibration_differences(calibration),
        "scorings": [(one, doubt.agreement_with_people(one) if one.applied_at else None) for one in scorings],
    }


@require_POST
@login_required
@project_page(ADMINISTER)
def scoring_new(request: HttpRequest, number: int) -> HttpResponse:
    """Let the round's reward model look at the open pairs."""
    tuning_round = selectors.round_get(project=request.project, number=number)
    if tuning_round.model is None:
        raise NotFound("This round has made no model yet.")
    try:
        scoring = doubt.scoring_create(project=request.project, model=tuning_round.model, by=request.user)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        given = {"model": tuning_round.model.name, "count": len(scoring.tasks)}
        messages.success(request, _("%(model)s looks at %(count)s open pairs.") % given)
    return redirect("rounds:round", request.project.slug, number)


@require_POST
@login_required
@project_page(ADMINISTER)
def round_action(request: HttpRequest, number: int, action: str) -> HttpResponse:
    """launch, stop or resume."""
    tuning_round = selectors.round_get(project=request.project, number=number)
    try:
        if action == "launch":
            services.round_launch(tuning_round=tuning_round, anyway="anyway" in request.POST)
        else:
            {"stop": services.round_stop, "resume": services.round_resume}[action](tuning_round=tuning_round)
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("rounds:round", request.project.slug, number)
