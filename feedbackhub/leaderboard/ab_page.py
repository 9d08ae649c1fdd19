"""What the page of an A/B report shows, itself or by a shared link: tables and charts of `ab`'s numbers."""

import csv
from io import StringIO

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.metrics import metric_of
from feedbackhub.projects.models import Project

from .ab import LENGTH_WORDS, ab
from .ab_examples import examples
from .ab_words import VERDICTS
from .lineage import together
from .pair_votes import pair_votes
from .vote_facts import facts_of, votes_in

EXAMPLES = (
    ("for_a", lazy("Most decisive for %(a)s")),
    ("for_b", lazy("Most decisive for %(b)s")),
    ("contested", lazy("Most contested")),
)
LEADS = {
    "for_a": lazy("Most votes for it and none against."),
    "for_b": lazy("Most votes for it and none against."),
    "contested": lazy("Raters were divided."),
}
CHART_TITLES = {
    "categories": lazy("Win rate of %(a)s by category"),
    "lengths": lazy("Win rate of %(a)s by length"),
    "raters": lazy("Win rate of %(a)s by raters"),
}
COUNTS = ("wins_a", "wins_b", "ties", "both_bad")
COLUMNS = ("slice", "name", *COUNTS, "win_rate", "lower", "upper", "p_value", "verdict")


def report(
    *, project: Project, a: ModelVersion, b: ModelVersion, category: str | None = None, with_examples: bool = True
) -> dict:
    """The context of leaderboard/_report.html."""
    votes = votes_in(pair_votes(project, a, b), category)
    found = ab(project=project, a=a, b=b, category=category, facts=facts_of(project, votes))
    metrics = [_metric(row) for row in found["metrics"]]
    looked_at = together(project)
    for row in looked_at["rows"]:
        row["verdict_words"] = VERDICTS[row["verdict"]]
    return {
        "ab": found,
        # one slice alone says nothing that the verdict does not
        "slices": [one for one in slices_of(found) if len(one["slices"]) > 1],
        "metrics": metrics,
        "metrics_chart": _metrics_chart(found, metrics),
        "examples": _examples(project, votes, found) if with_examples else [],
        "together": looked_at,
    }


def slices_of(found: dict) -> list[dict]:
    """By category, by length and by raters: {id, title, first, lead, slices, chart, chart_title}."""
    names = {"a": found["a"], "b": found["b"]}
    kinds = (
        ("categories", _("By category"), _("Category"), "", lambda part: part["category"]),
        ("lengths", _("By length"), _("Answers"), _("Whether the preferred answer is only the longer one."),
         lambda part: LENGTH_WORDS[part["slice"]] % names),
        ("raters", _("By raters"), _("Raters"), "", lambda part: part["slice"]),
    )  # fmt: skip
    made = []
    for key, title, first, lead, name_of in kinds:
        parts = [
            {**part, "name": name_of(part), "verdict_words": VERDICTS[part["verdict"]]} for part in found[key]
        ]  # fmt: skip
        made.append(
            {"id": key, "title": title, "first": first, "lead": lead, "slices": parts, "chart": _whiskers(parts),
             "chart_title": CHART_TITLES[key] % names}
        )  # fmt: skip
    return made


def _whiskers(parts: list[dict]) -> dict:
    rows = [
        {"name": part["name"], "rating": part["win_rate"], "lower": part["lower"], "upper": part["upper"],
         "votes": part["wins_a"] + part["wins_b"] + part["ties"]}
        for part in parts
        if part["win_rate"] is not None
    ]  # fmt: skip
    return {"rows": rows, "x": _("Win rate"), "name": _("Votes of"), "range": [0, 1], "middle": 0.5}


def _metric(row: dict) -> dict:
    known = metric_of(row["metric"])
    return {**row, "label": known.label, "digits": known.digits}


def _metrics_chart(found: dict, metrics: list[dict]) -> dict:
    return {
        "groups": [str(row["label"]) for row in metrics],
        "series": [
            {"name": found[side], "values": [row[side] for row in metrics]} for side in ("a", "b")
        ],
    }  # fmt: skip


def _examples(project: Project, votes: list, found: dict) -> list[dict]:
    names = {"a": found["a"], "b": found["b"]}
    chosen = examples(project, votes)
    made = [
        {"title": title % names, "lead": LEADS[key], "found": chosen[key]} for key, title in EXAMPLES if chosen[key]
    ]  # fmt: skip
    return made


def as_csv(found: dict) -> str:
    """The votes of an A/B and of each of its slices, a row each."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerow({**found, "slice": "all", "name": ""})
    for part in slices_of(found):
        writer.writerows({**row, "slice": part["id"], "name": inert(row["name"])} for row in part["slices"])
    return text.getvalue()


def inert(name: str) -> str:
    """A name that a spreadsheet would run as a formula gets a quote before it."""
    return f"'{name}" if name[:1] in {"=", "+", "-", "@", "\t", "\r"} else name
