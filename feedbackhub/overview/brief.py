"""The project in one minute: a few sentences with numbers, for the overview page and for the weekly mail."""

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedbackhub.leaderboard.ab_words import about, headline, percent
from feedbackhub.leaderboard.lineage import latest_pair, together
from feedbackhub.leaderboard.selectors import ab, board
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment
from feedbackhub.rounds.models import Round


@dataclass
class Brief:
    """Sentences in the order of their worth, and the latest pair of child and parent, compared."""

    sentences: list[str] = field(default_factory=list)
    ab: dict | None = None


def brief(project: Project, since: datetime | None = None) -> Brief:
    """The verdict on the latest tuned model, who leads, how many votes there are and, with `since`, what is new."""
    found = Brief()
    say = found.sentences.append
    if pair := latest_pair(project):
        found.ab = ab(project=project, a=pair[0], b=pair[1], with_metrics=False)
        say(_verdict(found.ab))
    if words := together(project)["text"]:
        say(words)
    standings = board(project=project)
    if words := _leader(standings):
        say(words)
    if standings["votes"]:
        words = ngettext(
            "%(votes)s vote between %(models)s models counts.",
            "%(votes)s votes between %(models)s models count.",
            standings["votes"],
        )
        say(words % {"votes": standings["votes"], "models": standings["models"]})
    if since is not None:
        found.sentences += _new(project, since)
    return found


def _verdict(compared: dict) -> str:
    words = headline(compared["verdict"], compared["a"], compared["b"])
    votes = compared["wins_a"] + compared["wins_b"] + compared["ties"]
    if not votes:
        return _("%(a)s was tuned from %(b)s; nobody has compared the two yet.") % {
            "a": compared["a"],
            "b": compared["b"],
        }
    ends = {name: percent(compared["anytime"][name]) for name in ("lower", "upper")}
    numbers = ngettext(
        "%(a)s wins %(rate)s of %(votes)s vote (%(lower)s to %(upper)s).",
        "%(a)s wins %(rate)s of %(votes)s votes (%(lower)s to %(upper)s).",
        votes,
    )
    said = f"{words} {numbers % {'a': compared['a'], 'rate': percent(compared['win_rate']), 'votes': votes, **ends}}"
    if compared["votes_needed"]:
        said += " " + _("About %(needed)s more votes will tell.") % {"needed": about(compared["votes_needed"])}
    return said


def _leader(standings: dict) -> str:
    rated = [row for row in standings["rows"] if row["rating"] is not None]
    first = [row["model"] for row in rated if row["rank"] == 1]
    if not first or len(rated) < 2:
        return ""
    if len(first) == 1:
        return _("%(model)s leads the board, clear of all others.") % {"model": first[0]}
    if len(first) == len(rated):
        return _("The votes cannot separate any of the %(count)s rated models yet.") % {"count": len(rated)}
    shown = ", ".join(first[:3]) + (" …" if len(first) > 3 else "")
    return _("%(models)s share the first place; the votes cannot separate them.") % {"models": shown}


def _new(project: Project, since: datetime) -> list[str]:
    votes = Judgment.objects.in_force().filter(project=project, received_at__gte=since)
    people, programs = (
        votes.filter(source=source).count() for source in (Judgment.Source.RATER, Judgment.Source.SIMULATED)
    )
    words = ngettext("%(count)s new judgment by a person", "%(count)s new judgments by people", people)
    said = words % {"count": people}
    if programs:
        more = ngettext("%(count)s by a simulated rater", "%(count)s by simulated raters", programs)
        said += ", " + more % {"count": programs}
    sentences = [said + "."]
    rounds = Round.objects.filter(project=project, run__state="completed", run__finished_at__gte=since)
    for made in rounds.select_related("model", "run").order_by("number"):
        if made.model:
            given = {"number": made.number, "model": made.model.name}
            sentences.append(_("Round %(number)s ended and made %(model)s.") % given)
    return sentences
