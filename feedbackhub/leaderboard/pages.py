"""What the leaderboard's pages show of a board: charts, and rows with what stands beside the ratings."""

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.models import Project

from .options import Options, categories, groups, languages

CURVES = 8  # of a history that are told apart
BARS = 30  # models, up to which votes are shown by outcome

CHOICES = {
    "method": [("", "Bradley–Terry"), ("elo", lazy("Online Elo"))],
    "control": [("", lazy("None")), ("length", lazy("Answer length")), ("style", lazy("Length, headers, lists, bold"))],
    "ties": [("", lazy("Half a win each")), ("davidson", lazy("After Davidson"))],
    "intervals": [
        ("", lazy("Each model for itself")),
        ("simultaneous", lazy("All models at once")),
        ("bootstrap", lazy("Bootstrap")),
    ],
    "cluster": [
        ("", lazy("Every vote for itself")),
        ("rater", lazy("Votes of a rater")),
        ("prompt", lazy("Votes on a prompt")),
        ("both", lazy("Both")),
    ],
    "weights": [("", lazy("All the same")), ("reliability", lazy("By reliability"))],
}
LABELS = {
    "method": lazy("Method"),
    "category": lazy("Category"),
    "control": lazy("Control"),
    "ties": lazy("Ties"),
    "intervals": lazy("Intervals"),
    "cluster": lazy("What goes together"),
    "weights": lazy("Raters’ weights"),
    "anchor": lazy("Stands at 1000"),
    "language": lazy("Language"),
    "group": lazy("Group of raters"),
}
FIRST = ("method", "category", "control")
STATUS_WORDS = {
    "only_wins": lazy("only wins"),
    "only_losses": lazy("only losses"),
    "separated": lazy("separated"),
    "unconnected": lazy("unconnected"),
    "ok": "",
}


def fields(project: Project, options: Options) -> list[dict]:
    """The selects of the form: {name, label, choices: [(value, words)], value, first}; one that has no choice is left
    out, `first` are those that are always seen."""
    everything = _("All")
    listed = {
        "category": (everything, categories(project)),
        "language": (everything, languages(project)),
        "group": (everything, groups(project)),
        "anchor": (_("The mean"), sorted(models_of(project).values_list("name", flat=True))),
    }
    found = []
    for name, label in LABELS.items():
        choices = CHOICES.get(name)
        if choices is None:
            nothing, values = listed[name]
            if not values and name != "category":
                continue
            choices = [("", nothing), *((value, value) for value in values)]
        value = options.changed.get(name, "")
        found.append({"name": name, "label": label, "choices": choices, "value": value, "first": name in FIRST})
    return found


def rows(project: Project, board: dict, elo: dict[str, float]) -> list[dict]:
    """The board's rows with the model's id, online Elo, and the status in words."""
    ids = dict(models_of(project).values_list("name", "pk"))
    return [
        {
            **row,
            "model_id": ids.get(row["model"]),
            "elo": elo.get(row["model"]),
            "status_words": status_said(row, board),
        }
        for row in board["rows"]
    ]


def status_said(row: dict, board: dict) -> str:
    """Why a row has no rating, in a word or two. A fit without an answer is no fault of the row's."""
    fault = {note["value"] for note in board["notes"] if note["code"] in STATUS_WORDS}
    if row["status"] != "ok" and row["model"] not in fault:
        return _("not rated")
    return STATUS_WORDS[row["status"]]


def ratings_chart(board: dict) -> dict:
    """Ratings with whiskers, the best first."""
    keys = ("rating", "lower", "upper", "votes")
    rated = [row for row in board["rows"] if row["rating"] is not None]
    return {"rows": [{"name": row["model"], **{key: row[key] for key in keys}} for row in rated]}


def heatmap(board: dict) -> dict:
    """Share of votes that the row's model won against the column's, a tie as ½; None where they never met."""
    wins = board["win_matrix"]
    n = range(len(wins))
    games = [[wins[i][j] + wins[j][i] for j in n] for i in n]
    return {
        "names": [row["model"] for row in board["rows"]],
        "values": [[wins[i][j] / games[i][j] if games[i][j] else None for j in n] for i in n],
        "votes": games,
    }


def votes_chart(board: dict) -> dict:
    """How many votes each model has: by outcome where there are few models, else altogether."""
    outcomes = {"wins": _("Wins"), "ties": _("Ties"), "losses": _("Losses"), "both_bad": _("Both bad")}
    if len(board["rows"]) > BARS:
        outcomes = {"votes": _("Votes")}
    return {
        "groups": [row["model"] for row in board["rows"]],
        "series": [{"name": name, "values": [row[key] for row in board["rows"]]} for key, name in outcomes.items()],
    }


def history_chart(answer: dict, key: str) -> dict:
    """The curves of the models that are best now, over time; `key`: ratings or elo."""
    last = {name: values[-1] for name, values in answer[key].items() if values and values[-1] is not None}
    best = sorted(last, key=lambda name: -last[name])[:CURVES]
    at = [round(datetime.fromisoformat(moment).timestamp() * 1000) for moment in answer["moments"]]
    curves = {name: [[x, y] for x, y in zip(at, answer[key][name], strict=True) if y is not None] for name in best}
    return {
        "series": [{"name": name, "points": points} for name, points in curves.items()],
        "time": True,
        "x": _("time"),
    }


def generations_chart(chains: list[dict]) -> dict:
    """Ratings with intervals, step by step; with one chain each step has its model's name below it."""
    shown = chains[:CURVES]
    keys = ("rating", "lower", "upper", "model")
    series = [
        {
            "name": chain["name"],
            "points": [[number, *(step[key] for key in keys)] for number, step in enumerate(chain["steps"])],
        }
        for chain in shown
    ]
    chart = {"series": series, "x": _("rounds after the first"), "y": _("rating")}
    return {**chart, "ticks": [step["model"] for step in shown[0]["steps"]]} if len(shown) == 1 else chart
