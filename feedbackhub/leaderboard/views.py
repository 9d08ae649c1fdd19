import csv

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.translation import gettext as _

from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.access import READ_REPORTS
from feedbackhub.projects.pages import project_page

from . import selectors

COLUMNS = [
    *("rank", "rank_lower", "rank_upper", "model", "rating", "se", "lower", "upper"),
    *("status", "wins", "losses", "ties", "both_bad", "votes"),
]


@login_required
@project_page(READ_REPORTS)
def leaderboard(request: HttpRequest) -> HttpResponse:
    """The board; ?method= ?category= ?control=, and ?as=csv or json for its table."""
    chosen = {name: request.GET.get(name) or None for name in ("category", "control")}
    chosen["method"] = request.GET.get("method") or "bt"
    if request.GET.get("as") in ("json", "csv"):
        return _download(request, chosen)
    board = selectors.board(project=request.project, **chosen)
    elo = {} if chosen["method"] == "elo" else _elo(request, chosen["category"])
    context = {
        **chosen,
        "board": board,
        "rows": _rows(request, board, elo),
        "categories": selectors.categories(request.project),
        "elo": elo,
        "chart": _chart(board),
        "heatmap": _heatmap(board),
    }
    template = "leaderboard/board.html"
    return render(request, f"{template}#board" if request.htmx else template, context)


def _download(request: HttpRequest, chosen: dict) -> HttpResponse:
    """The board for programs: in English, as the API has it."""
    with translation.override(settings.LANGUAGE_CODE):
        board = selectors.board(project=request.project, **chosen)
        return JsonResponse(board) if request.GET["as"] == "json" else _csv(board, request.project.slug)


def _elo(request: HttpRequest, category: str | None) -> dict[str, float]:
    """Online Elo beside the ratings: model → rating."""
    board = selectors.board(project=request.project, method="elo", category=category)
    return {row["model"]: row["rating"] for row in board["rows"]}


def _rows(request: HttpRequest, board: dict, elo: dict[str, float]) -> list[dict]:
    """The board's rows with what the table needs beside them: the model's id, online Elo, the status in words."""
    ids = dict(models_of(request.project).values_list("name", "pk"))
    return [
        {
            **row,
            "model_id": ids[row["model"]],
            "elo": elo.get(row["model"]),
            "status_words": _(status),
        }
        for row, status in ((row, row["status"].replace("_", " ")) for row in board["rows"])
    ]


def _chart(board: dict) -> dict:
    """Ratings with whiskers, the best first."""
    rated = [row for row in board["rows"] if row["rating"] is not None]
    return {
        "rows": [
            {"name": row["model"], **{key: row[key] for key in ("rating", "lower", "upper", "votes")}} for row in rated
        ]
    }


def _heatmap(board: dict) -> dict:
    """Share of votes that the row's model won against the column's, a tie as ½; None where they never met."""
    wins = board["win_matrix"]
    n = range(len(wins))
    games = [[wins[i][j] + wins[j][i] for j in n] for i in n]
    return {
        "names": [row["model"] for row in board["rows"]],
        "values": [[wins[i][j] / games[i][j] if games[i][j] else None for j in n] for i in n],
        "votes": games,
    }


def _csv(board: dict, slug: str) -> HttpResponse:
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{slug}-leaderboard-{board["method"]}.csv"'
    writer = csv.DictWriter(answer, fieldnames=COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(board["rows"])
    return answer
