"""An A/B report as a PDF: the words, figures, charts and examples of its page."""

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

from feedbackhub.core.paper import BAD, GOOD, INK, INK_2, INK_3, Paper
from feedbackhub.core.paper_charts import bars, shares, whiskers
from feedbackhub.projects.models import Project
from feedbackhub.stats.compare import BETTER, WORSE

from .ab_words import about

INTERVALS = lazy("with 95 %% intervals")  # as the templates have it
ANSWER = 900  # letters of an answer that are shown; half as many of a prompt


def ab_paper(*, project: Project, found: dict, category: str | None = None) -> bytes:
    """`found`: what ab_page.report gives."""
    ab = found["ab"]
    title = _("%(a)s against %(b)s") % {"a": ab["a"], "b": ab["b"]}
    paper = Paper(title=title, project=project.name)
    if category:
        paper.say(_("Only votes of the category %(category)s.") % {"category": category}, ink=INK_2)
    verdict_on(paper, ab)
    for one in found["slices"]:
        _slice(paper, ab, one)
    _metrics(paper, ab, found)
    for group in found["examples"]:
        _examples(paper, ab, group)
    _together(paper, found["together"])
    return paper.bytes()


def verdict_on(paper: Paper, ab: dict) -> None:
    """The verdict in words, then its numbers."""
    paper.say(ab["headline"], size=13, bold=True, ink={BETTER: GOOD, WORSE: BAD}.get(ab["verdict"], INK))
    if ab["simulated"]:
        words = ngettext(
            "%(count)s of these votes is by a simulated rater, not by a person.",
            "%(count)s of these votes are by simulated raters, not by people.",
            ab["simulated"],
        )
        paper.say(words % {"count": ab["simulated"]}, bold=True)
    for sentence in ab["explanation"]:
        paper.say(sentence)
    for note in ab["notes"]:
        if note["code"] != "no_metrics":
            paper.say(note["text"], ink=INK_2)
    if ab["win_rate"] is not None:
        paper.ln(1)
        tied = ngettext("%(count)s tie", "%(count)s ties", ab["ties"]) % {"count": ab["ties"]}
        shares(paper, ab["a"], ab["b"], ab["wins_a"], ab["ties"], ab["wins_b"], ties_said=tied)
        paper.figures(_figures(ab))


def _figures(ab: dict) -> list[tuple[str, str, str]]:
    """(label, value, note): the tiles of leaderboard/_verdict.html."""
    anytime, by_prompt, bias = ab["anytime"], ab["by_prompt"], ab["position_bias"]
    ends = {"lower": number(ab["lower"]), "upper": number(ab["upper"])}
    sequence = {"lower": number(anytime["lower"], 2), "upper": number(anytime["upper"], 2)}
    e_value = "e > 1000" if anytime["e_value"] > 1000 else f"e {number(anytime['e_value'], 1)}"
    smallest = ab["minimum_detectable"]
    prompts = by_prompt["prompts"]
    first = {key: number(bias[key], 2) for key in ("lower", "upper")} if bias["rate"] is not None else None
    return [
        (_("Win rate of %(name)s") % {"name": ab["a"]}, number(ab["win_rate"]),
         _("95 %%, at one look: %(lower)s to %(upper)s") % ends),
        (_("Wins, losses, ties"), f"{ab['wins_a']} : {ab['wins_b']}", _ties(ab)),
        (_("However often one looks"), e_value, _("20 settles it; rate within %(lower)s to %(upper)s") % sequence),
        (_("Votes still needed"), *_needed(ab)),
        (_("Smallest effect found"), "–" if smallest is None else f"± {number(smallest)}",
         _("from one half, 4 times in 5 with so many votes")),
        (_("Sign test"), _p(ab["p_value"]), _("exact, two-sided, ties left out; for one look")),
        (_("By prompt"), f"{by_prompt['better']} : {by_prompt['worse']}" if prompts else "–",
         f"{_p(by_prompt['p_value'])}, {_mcnemar(prompts)}" if prompts else _("the votes name no prompts")),
        (_("Shown first and preferred"), number(bias["rate"], 2),
         _("95 %%: %(lower)s to %(upper)s; 0.5 is no bias") % first if first else _("no votes of our own raters")),
    ]  # fmt: skip


def _ties(ab: dict) -> str:
    ties = ngettext("%(count)s tie", "%(count)s ties", ab["ties"]) % {"count": ab["ties"]}
    return f"{ties}, " + _("%(count)s both bad") % {"count": ab["both_bad"]}


def _mcnemar(prompts: int) -> str:
    words = ngettext("McNemar on %(count)s shared prompt", "McNemar on %(count)s shared prompts", prompts)
    return words % {"count": prompts}


def _needed(ab: dict) -> tuple[str, str]:
    needed, lower, upper = (ab[f"votes_needed{end}"] for end in ("", "_lower", "_upper"))
    if needed is None:
        return "–", _("cannot be said yet")
    if not needed:
        return "0", _("the verdict is in")
    if upper is None:
        return f"≈ {about(needed)}", _("90 %%: %(lower)s or more") % {"lower": about(lower)}
    return f"≈ {about(needed)}", _("80 %%: %(lower)s to %(upper)s") % {"lower": about(lower), "upper": about(upper)}


def _slice(paper: Paper, ab: dict, one: dict) -> None:
    paper.head(one["title"], one["lead"] or INTERVALS % {}, room=24 + 5.4 * len(one["slices"]))
    whiskers(paper, one["chart"])
    rows = [
        [
            part["name"],
            with_interval(part["win_rate"], part["lower"], part["upper"], 3),
            *(str(part[key]) for key in ("wins_a", "wins_b", "ties", "both_bad")),
            _("too few votes to say") if part["few"] else part["verdict_words"],
        ]
        for part in one["slices"]
    ]
    head = [one["first"], _("Win rate"), _("Wins"), _("Losses"), _("Ties"), _("Both bad"), _("By itself")]
    paper.table_of(head, rows, (28, 30, 10, 11, 9, 13, 26))


def _metrics(paper: Paper, ab: dict, found: dict) -> None:
    paper.head(_("Automatic metrics"), room=70 if found["metrics"] else 10)
    if not found["metrics"]:
        for note in ab["notes"]:
            if note["code"] == "no_metrics":
                paper.say(note["text"], ink=INK_2)
        return
    bars(paper, found["metrics_chart"])
    rows = []
    for row in found["metrics"]:
        values = [
            with_interval(*(row[side].get(key) for key in ("value", "lower", "upper")), row["digits"])
            for side in ("a", "b", "difference")
        ]
        verdict = row["difference"].get("verdict")
        rows.append([row["label"], *values, _(verdict) if verdict else _("no paired rows")])
    head = [_("Metric"), ab["a"], ab["b"], _("Difference"), _("%(name)s is") % {"name": ab["a"]}]
    paper.table_of(head, rows, (18, 27, 27, 27, 20))


def _examples(paper: Paper, ab: dict, group: dict) -> None:
    if not group["found"]:
        return
    paper.head(group["title"], group["lead"])
    for example in group["found"]:
        paper.need(30)
        counts = _("%(a)s %(wins)s : %(losses)s %(b)s") % {
            "a": ab["a"], "b": ab["b"], "wins": example.wins, "losses": example.losses,
        }  # fmt: skip
        paper.say(_cut(example.prompt.label, ANSWER // 2), bold=True)
        paper.say(counts, size=8, ink=INK_3)
        for name, text in zip((ab["a"], ab["b"]), example.plain, strict=True):
            paper.ln(1)
            paper.say(name, size=8, bold=True, ink=INK_2, indent=5)
            paper.say(_cut(text, ANSWER) or _("This answer is empty."), size=8.5, indent=5)
        for comment in example.comments:
            paper.say(f"“{_cut(comment, ANSWER // 2)}”", size=8, ink=INK_2, indent=5)
        paper.ln(2)


def _together(paper: Paper, looked_at: dict) -> None:
    if not looked_at["text"]:
        return
    paper.head(_("All rounds together"), looked_at["text"])
    rows = [
        [row["a"], row["b"], with_interval(row["win_rate"], row["lower"], row["upper"], 3), str(row["votes"]),
         row["verdict_words"], _("holds") if row["holds"] else _("does not hold")]
        for row in looked_at["rows"]
    ]  # fmt: skip
    head = [_("Tuned"), _("Parent"), _("Win rate"), _("Votes"), _("By itself"), _("With all rounds")]
    paper.table_of(head, rows, (24, 24, 26, 10, 22, 18))


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else number_format(f"{value:.{digits}f}")


def with_interval(value: float | None, lower: float | None, upper: float | None, digits: int) -> str:
    if lower is None or upper is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(lower, digits)}, {number(upper, digits)}]"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return _("p < 0.001") if value < 0.001 else f"p {number(value)}"


def _cut(text: str, most: int) -> str:
    text = text.strip()
    return text if len(text) <= most else text[:most].rstrip() + " …"
