"""The leaderboard, and models side by side, as PDFs."""

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedbackhub.core.paper import INK_2, Paper
from feedbackhub.core.paper_charts import CURVE, bars, heatmap, heatmap_height, lines, radar, whiskers
from feedbackhub.projects.models import Project

from .ab_paper import INTERVALS, number, with_interval
from .pages import status_said

HEATMAP = 40  # models, beyond which a cell is a speck on paper


def board_paper(*, project: Project, board: dict, said: list[str], charts: dict) -> bytes:
    """`said`: the options in words; `charts`: {ratings, heatmap or None, generations} as on the page."""
    paper = Paper(title=_("Leaderboard"), project=project.name)
    words = ngettext(
        "%(votes)s vote between %(models)s models.", "%(votes)s votes between %(models)s models.", board["votes"]
    )
    paper.say(words % {"votes": number_format(board["votes"], force_grouping=True), "models": board["models"]})
    for words in said:
        paper.say(words, ink=INK_2)
    if not board["rows"]:
        paper.say(_("No votes yet."), bold=True)
        return paper.bytes()
    if charts["ratings"]["rows"]:
        paper.head(_("Ratings"), INTERVALS % {} if board["method"] == "bt" else _("online Elo"))
        whiskers(paper, charts["ratings"])
    rows = [
        [
            _rank(row), row["model"],
            status_said(row, board) if row["rating"] is None
            else with_interval(row["rating"], row["lower"], row["upper"], 0),
            *(str(row[key]) for key in ("wins", "losses", "ties", "both_bad", "votes")),
        ]
        for row in board["rows"]
    ]  # fmt: skip
    head = [_("Rank"), _("Model"), _("Rating"), _("Wins"), _("Losses"), _("Ties"), _("Both bad"), _("Votes")]
    paper.table_of(head, rows, (10, 34, 26, 10, 11, 9, 12, 10))
    if board["notes"]:
        paper.head(_("Notes"))
        for note in board["notes"]:
            paper.say(note["text"])
    if charts["heatmap"] and len(board["rows"]) <= HEATMAP:
        paper.head(
            _("Win rates"),
            _("share of votes that the row won against the column, a tie as ½"),
            room=min(heatmap_height(len(board["rows"])), 200),
        )
        heatmap(paper, charts["heatmap"])
    if charts["generations"]["series"]:
        paper.head(_("From round to round"), _("each model beside what it was made from"), room=CURVE + 10)
        lines(paper, charts["generations"])
    return paper.bytes()


def compare_paper(*, project: Project, names: list[str], found: dict) -> bytes:
    """`found`: what side_by_side gives."""
    paper = Paper(title=_("Models side by side"), project=project.name)
    paper.say(" · ".join(names))
    for one in found["missing"]:
        words = _("%(metric)s was not taken of %(names)s on the same inputs.")
        paper.say(words % {"metric": one["metric"], "names": one["models"]}, ink=INK_2)
    paper.head(_("All metrics"), INTERVALS % {})
    rows = [
        [row["label"], *(_cell(cell, row["digits"]) for cell in row["cells"])] for row in found["rows"]
    ]  # fmt: skip
    paper.table_of([_("Metric"), *names], rows, (20, *[24] * len(names)))
    if found["radar"]:
        paper.head(_("Shape"), _("each metric as a share of the best model’s"), room=96)
        radar(paper, found["radar"])
    for chart in found["bars"]:
        paper.head(chart["title"], chart["lead"], room=66)
        bars(paper, chart["data"])
    return paper.bytes()


def _rank(row: dict) -> str:
    if not row["rank"]:
        return "–"
    return str(row["rank"]) if row["rank"] == row["rank_upper"] else f"{row['rank']}–{row['rank_upper']}"


def _cell(cell: dict | None, digits: int) -> str:
    return with_interval(cell["value"], cell["lower"], cell["upper"], digits) if cell else number(None)
