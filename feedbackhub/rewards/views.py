from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page

from . import selectors, services
from .agreement import agreement
from .best_of import figures, rankings
from .forms import BestOfForm, ScoreForm
from .models import BestOf

SCORINGS_SHOWN = 10


@login_required
@project_page(READ_REPORTS)
def overview(request: HttpRequest) -> HttpResponse:
    """Reward models, the sets that they have ranked, and the form for another; ?reward_model=ID fills it in."""
    is_admin = Role.ADMIN in request.roles
    form = None
    if is_admin:
        initial = {"n": 4, "limit": 50, **request.GET.dict()}
        form = BestOfForm(request.POST or None, project=request.project, initial=initial)
    if request.method == "POST" and form is not None and form.is_valid():
        given = {**form.cleaned_data, "split": form.cleaned_data["split"] or None}
        try:
            best_of = services.best_of_create(project=request.project, by=request.user, **given)
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            return redirect("rewards:best_of", request.project.slug, best_of.pk)
    context = {
        "models": selectors.reward_models_of(request.project),
        "best_ofs": Paginator(selectors.best_ofs_of(request.project), 20).get_page(request.GET.get("page")),
        "form": form,
    }
    return render(request, "rewards/rewards.html", context)


@login_required
@project_page(READ_REPORTS)
def best_of(request: HttpRequest, pk: int) -> HttpResponse:
    """The ranking with what it gains; the page asks again until it is done."""
    found = selectors.best_of_get(project=request.project, pk=pk)
    ranked = rankings(found) if found.status == BestOf.Status.DONE else []
    shown = Paginator(ranked, 10).get_page(request.GET.get("page"))
    gained = figures(found, ranked)
    context = {
        "best_of": found,
        "active": found.status in BestOf.UNFINISHED,
        "parts": found.generation.parts.select_related("run", "model"),
        "figures": gained,
        "chart": gained and _curve_chart(gained),
        "page": shown,
        "rows": [_row(scores) for scores in shown],
        "is_admin": Role.ADMIN in request.roles,
    }
    return render(request, "rewards/best_of.html" + ("#standing" if request.htmx else ""), context)


def _curve_chart(gained: dict) -> dict:
    rows = [
        {
            "name": _("one answer") if one["k"] == 1 else _("best of %(k)s") % {"k": one["k"]},
            "rating": one["value"],
            "lower": one["lower"],
            "upper": one["upper"],
            "votes": gained["prompts"],
        }
        for one in gained["curve"]
    ]
    return {"rows": rows, "x": _("Expected reward"), "name": _("Taken")}


def _row(scores: list) -> dict:
    top = scores[0].reward
    answers = [
        {
            "place": place,
            "html": markdown(score.output.text),
            "reward": score.reward,
            "behind": top - score.reward,
            "lowest": min(score.heads, default=score.reward),
            "highest": max(score.heads, default=score.reward),
        }
        for place, score in enumerate(scores, 1)
    ]
    return {"prompt": scores[0].output.prompt, "answers": answers}


@login_required
@project_page(READ_REPORTS)
def reward_model(request: HttpRequest, pk: int) -> HttpResponse:
    """What a reward model has scored, and whether people agree with it."""
    model = selectors.reward_model_get(project=request.project, pk=pk)
    found = agreement(model)
    is_admin = Role.ADMIN in request.roles
    unscored = services.outputs_judged_since(model).exclude(reward_scores__reward_model=model)
    context = {
        "model": model,
        "agreement": found,
        "time_chart": _share_chart(found["over_time"], "from", _("From")),
        "category_chart": _share_chart(found["by_category"], "category", _("Category")),
        "scorings": selectors.scorings_of(model)[:SCORINGS_SHOWN],
        "active": selectors.scorings_of(model).filter(run__state__in=("queued", "running", "stopping")).exists(),
        "form": ScoreForm(project=request.project) if is_admin else None,
        "unscored": unscored.count(),
        "is_admin": is_admin,
    }
    return render(request, "rewards/model.html" + ("#scorings" if request.htmx else ""), context)


def _share_chart(rows: list[dict], name: str, title: str) -> dict:
    def percent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 1)

    shown = [
        {
            "name": row[name] or _("without a category"),
            "rating": percent(row["value"]),
            "lower": percent(row["lower"]),
            "upper": percent(row["upper"]),
            "votes": row["pairs"],
        }
        for row in rows
    ]
    return {"rows": shown, "x": _("Agreement, %"), "name": title}


@require_POST
@login_required
@project_page(ADMINISTER)
def score(request: HttpRequest, pk: int) -> HttpResponse:
    """Score outputs: of the chosen models and split, or (judged) what people have compared since it was made."""
    model: ModelVersion = selectors.reward_model_get(project=request.project, pk=pk)
    form = ScoreForm(request.POST, project=request.project)
    if "judged" in request.POST:
        outputs = services.outputs_judged_since(model)
    elif form.is_valid():
        outputs = services.outputs_of(request.project, **form.cleaned_data)
    else:
        outputs = None
        messages.error(request, " ".join(words for field in form for words in field.errors))
    if outputs is not None:
        try:
            scoring = services.outputs_score(
                project=request.project, reward_model=model, outputs=outputs, by=request.user
            )
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, _("%(count)s outputs are being scored.") % {"count": scoring.outputs})
    return redirect("rewards:model", request.project.slug, pk)
