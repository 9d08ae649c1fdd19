"""A round's story as a PDF."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedbackhub.core.paper import INK_2, Paper
from feedbackhub.core.paper_charts import bars, lines
from feedbackhub.leaderboard.ab_paper import INTERVALS, verdict_on, with_interval
from feedbackhub.runs.templatetags.runs import curves

CURVE = 42  # millimetres high


def story_paper(found: dict) -> bytes:
    """`found`: what story.story gives."""
    made, dataset, votes = found["round"], found["dataset"], found["votes"]
    title = _("The story of round %(number)s (%(recipe)s)") % {"number": made.number, "recipe": made.recipe.upper()}
    paper = Paper(title=title, project=made.project.name)
    paper.say(found["ab"]["headline"] if found["ab"] else _lead(made), size=12, bold=True)

    paper.head(f"1 · {_('Votes')}")
    note = ", ".join(f"{words} {n}" for words, n in votes["sources"])
    simulated = ngettext("%(count)s judgment by a program", "%(count)s judgments by programs", votes["simulated"])
    said = f"{_('simulated')}: {simulated % {'count': votes['simulated']}}" if votes["simulated"] else ""
    paper.figures(
        [(_("Judgments"), str(votes["judgments"]), note), (_("Raters"), str(votes["raters"]), said)], columns=2
    )

    paper.head(f"2 · {_('The dataset frozen of them')}")
    counts = dataset.counts
    rows = _("%(train)s to learn from, %(validation)s held out") % {
        "train": counts.get("train", 0), "validation": counts.get("validation", 0),
    }  # fmt: skip
    named = f"{_('dataset #%(number)s') % {'number': dataset.pk}} {dataset.content_hash[:8]}"
    left_out = ", ".join(f"{reason}: {n}" for reason, n in found["excluded"])
    figures = [
        (dataset.get_kind_display(), str(counts.get("rows", 0)), rows),
        (_("Prompts"), str(counts.get("prompts", 0)), named),
        (_("Left out"), str(found["left_out"]), left_out),
    ]
    paper.figures(figures, columns=3)

    paper.head(f"3 · {_('The training')}", str(made.run.get_state_display()))
    for chart in curves(found["series"], made.run.recipe):
        if chart["first"]:
            paper.need(CURVE + 26)
            paper.say(str(chart["title"]), bold=True)
            paper.say(str(chart["lead"]), size=8, ink=INK_2)
            lines(paper, chart["data"], height=CURVE)
    if found["table"]:
        _metrics(paper, found["table"])
    if found["ab"]:
        paper.head(f"{5 if found['table'] else 4} · {_('What raters say, blind')}", room=70)
        verdict_on(paper, found["ab"])
        if found["together"].get("text"):
            paper.say(found["together"]["text"])
    return paper.bytes()


def _lead(made) -> str:
    if made.model:
        return _("It made a reward model, which is judged by its own measures.")
    return _("It has not made a model yet.")


def _metrics(paper: Paper, table) -> None:
    paper.head(f"4 · {_('Automatic metrics beside its parent')}", INTERVALS % {}, room=66)
    bars(paper, table.chart())
    rows = [
        [
            str(row.metric.label),
            *(
                with_interval(cell.result.value, cell.result.lower, cell.result.upper, row.metric.digits)
                if cell
                else "–"
                for cell in row.cells
            ),
        ]
        for row in table.main
    ]
    paper.table_of([_("Metric"), *(model.name for model in table.models)], rows, (24, *[28] * len(table.models)))
