import csv

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from feedbackhub.projects.access import ADMINISTER, RATE, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page
from feedbackhub.rating.selectors import tasks_wait

from . import anomalies, history, pages, selectors
from .ab_views import pdf
from .models import Standing
from .options import Options, in_words
from .standings import standing_read, tallies_queue, tallies_view

COLUMNS = [
    *("rank", "rank_lower", "rank_upper", "model", "rating", "se", "lower", "upper"),
    *("status", "wins", "losses", "ties", "both_bad", "votes"),
]


@login_required
@project_page(READ_REPORTS)
def leaderboard(request: HttpRequest) -> HttpResponse:
    """The board by the options in the address (options.Options), and ?as=csv, json or pdf."""
    options = Options.read(request.GET.dict())
    if request.GET.get("as") in ("json", "csv"):
        return _download(request, options)
    if request.GET.get("as") == "pdf":
        return _paper(request, options)
    board = selectors.board_of(project=request.project, options=options, wait=False)
    context = {
        "options": options,
        "query": urlencode(options.changed),
        "said": in_words(options),
        "fields": pages.fields(request.project, options),
        "moments": {name: request.GET.get(name, "") for name in ("since", "until", "as_of")},
        "board": board,
        "may_rate": bool(request.roles & RATE),
        "tasks_wait": bool(board) and not board["rows"] and tasks_wait(request.project),
    }
    if board:
        elo = _elo(request, options)
        context |= {
            "rows": pages.rows(request.project, board, elo),
            "elo": elo,
            "chart": pages.ratings_chart(board),
            "heatmap": pages.heatmap(board),
            "votes": pages.votes_chart(board),
            "chains": (chains := history.generations(request.project, board["rows"])),
            "generations": pages.generations_chart(chains),
        }
    template = "leaderboard/board.html"
    return render(request, f"{template}#board" if request.htmx else template, context)


def _download(request: HttpRequest, options: Options) -> HttpResponse:
    """The board for programs: in English, as the API has it."""
    with translation.override(settings.LANGUAGE_CODE):
        board = selectors.board_of(project=request.project, options=options)
        return JsonResponse(board) if request.GET["as"] == "json" else _csv(board, request.project.slug)


def _paper(request: HttpRequest, options: Options) -> HttpResponse:
    from .board_paper import board_paper  # letters and drawing take a third of a second to import

    board = selectors.board_of(project=request.project, options=options)
    charts = {
        "ratings": pages.ratings_chart(board),
        "heatmap": pages.heatmap(board),
        "generations": pages.generations_chart(history.generations(request.project, board["rows"])),
    }
    content = board_paper(project=request.project, board=board, said=in_words(options), charts=charts)
    return pdf(content, f"{request.project.slug}-leaderboard.pdf")


def _elo(request: HttpRequest, options: Options) -> dict[str, float]:
    """Online Elo beside the default board or a category's, as last computed: model → rating."""
    if set(options.changed) - {"category"}:
        return {}
    beside = Options(method="elo", category=options.category)
    board = selectors.board_of(project=request.project, options=beside, wait=False)
    return {row["model"]: row["rating"] for row in board["rows"]} if board else {}


def _csv(board: dict, slug: str) -> HttpResponse:
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{slug}-leaderboard-{board["method"]}.csv"'
    writer = csv.DictWriter(answer, fieldnames=COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(board["rows"])
    return answer


@login_required
@project_page(READ_REPORTS)
def beside(request: HttpRequest) -> HttpResponse:
    """What takes longer than the board: its history and what the ratings do not explain; the page fetches it."""
    options = Options.read(request.GET.dict())
    options.check(request.project)
    read = {"project": request.project, "wait": False}
    past = standing_read(kind=Standing.Kind.HISTORY, options=options, **read)
    odd = standing_read(kind=Standing.Kind.ANOMALIES, options=options, **read)
    context = {"options": options, "past": past, "odd": odd}
    if past.answer and len(past.answer["moments"]) > 1:  # votes imported without their times are of one moment
        key = "elo" if options.method == "elo" else "ratings"
        context["history"] = pages.history_chart(past.answer, key)
    if odd.answer:
        known = Role.ADMIN in request.roles
        context["triads"] = odd.answer["triads"]
        context["found"] = [anomalies.in_words(one, names_raters=known) for one in odd.answer["found"]]
    return render(request, "leaderboard/beside.html", context)


@login_required
@require_http_methods(["GET", "POST"])
@project_page(ADMINISTER)
def tallies(request: HttpRequest) -> HttpResponse:
    """Whether the tallies agree with the judgments, as last checked; POST checks, or rebuilds them."""
    if request.method == "POST":
        tallies_queue(project=request.project, rebuild=request.POST.get("action") == "rebuild")
        messages.success(request, _("The judgments are being counted; this page says what comes of it."))
        return redirect("leaderboard:tallies", request.project.slug)
    return render(request, "leaderboard/tallies.html", {"view": tallies_view(request.project)})
