"""What pages composed of several rooms show."""

from collections import defaultdict
from datetime import timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.evaluation.metrics import metric_of
from feedbackhub.evaluation.models import Result
from feedbackhub.leaderboard.selectors import ab, board
from feedbackhub.projects.access import roles_of, visible_projects
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Assignment, Judgment, Task
from feedbackhub.rating.quality import habits
from feedbackhub.rating.selectors import agreement_with_others
from feedbackhub.rounds.models import Round


def projects_of(user: User) -> list[dict]:
    """The user's projects with roles, judgments so far and open tasks."""
    return [
        {
            "project": project,
            "roles": sorted(roles_of(user, project)),
            "judgments": Judgment.objects.filter(project=project).count(),
            "open": Assignment.objects.filter(project=project, state="open").values("task").distinct().count(),
        }
        for project in visible_projects(user)
    ]


def loop_of(project: Project) -> dict:
    """Where the project stands in its loop: counts of each station, and the latest of some."""
    rounds = Round.objects.filter(project=project).select_related("run", "model")
    return {
        "prompts": project.prompts.count(),
        "outputs": Output.objects.filter(prompt__project=project).count(),
        "models": ModelVersion.objects.filter(project=project).count(),
        "tasks": Task.objects.filter(project=project, check_kind="").count(),
        "open": Assignment.objects.filter(project=project, state="open").values("task").distinct().count(),
        "judgments": Judgment.objects.filter(
            project=project, superseded_by=None, withdrawn=False, is_check=False, voiding=None
        ).count(),
        "datasets": project.datasets.count(),
        "rounds": rounds.count(),
        "latest_round": rounds.order_by("-number").first(),
    }


def leaders(project: Project, limit: int = 5) -> list[dict]:
    """The best rows of the default board."""
    return [row for row in board(project=project)["rows"] if row["rating"] is not None][:limit]


def lineage(project: Project, model: ModelVersion) -> dict:
    """The thread behind a model: the round that made it, that round's dataset, its parent, and so on to the base."""
    chain = []
    current: ModelVersion | None = model
    while current is not None:
        made_by = Round.objects.filter(model=current).select_related("dataset", "run", "project").first()
        chain.append({"model": current, "round": made_by, "dataset": made_by.dataset if made_by else None})
        current = current.parent
    return {"chain": chain, "standing": _standing(project, model), "metrics": _metrics(project, model)}


DAYS = 14  # of votes a day


def rater_page(project: Project, rater: User) -> dict:
    """A rater's own: habits (None before the first judgment), agreement, judgments a day, and what their votes trained.

    `trained`: [{round, votes, rows, ab}] of completed rounds, latest first; `ab` is the child against its parent.
    """
    found = habits(project, rater)
    mine = Judgment.objects.in_force().filter(project=project, rater=rater)
    return {
        "habits": found[0] if found else None,
        "agreement": agreement_with_others(project, rater),
        "days": _days(mine),
        "trained": _trained(project, set(mine.values_list("pk", flat=True))),
    }


def _days(judgments: QuerySet[Judgment]) -> dict:
    """Judgments a day of the last 14 days (UTC), as the chart of bars takes it."""
    today = timezone.now().date()
    first = today - timedelta(days=DAYS - 1)
    recent = judgments.filter(occurred_at__date__gte=first)
    counts = dict(recent.order_by().values_list("occurred_at__date").annotate(Count("pk")))
    days = [first + timedelta(days=number) for number in range(DAYS)]
    return {
        "groups": [date_format(day, "MONTH_DAY_FORMAT") for day in days],
        "series": [{"name": _("Judgments"), "values": [counts.get(day, 0) for day in days]}],
    }


def _trained(project: Project, mine: set[int]) -> list[dict]:
    rounds = Round.objects.filter(project=project, model__isnull=False).select_related("dataset", "model", "base_model")
    found = []
    for made in rounds.order_by("-number"):
        behind = [mine.intersection(ids) for ids in made.dataset.rows.values_list("judgments", flat=True).iterator()]
        votes = set().union(*behind)
        if votes:
            is_policy = made.model.role == ModelVersion.Purpose.POLICY
            compared = ab(project=project, a=made.model, b=made.base_model) if is_policy else None
            found.append({"round": made, "votes": len(votes), "rows": sum(map(bool, behind)), "ab": compared})
    return found


def _standing(project: Project, model: ModelVersion) -> dict | None:
    return next((row for row in board(project=project)["rows"] if row["model"] == model.name), None)


def _metrics(project: Project, model: ModelVersion) -> list[Result]:
    """Each metric's latest result on the suites of every project, without parts of metrics."""
    latest: dict[str, Result] = {}
    results = Result.objects.filter(model=model, evaluation__project=project, evaluation__suite_version=None)
    results = results.select_related("evaluation")
    for result in results.order_by("evaluation_id"):
        latest[result.metric] = result
    return [latest[name] for name in sorted(latest) if not metric_of(name).minor]


def votes_on(project: Project, model: ModelVersion) -> dict[str, int]:
    """Judgments in force on the model's outputs, by source."""
    judgments = Judgment.objects.in_force().filter(project=project, items__model=model)
    counts: dict[str, int] = defaultdict(int)
    for source in judgments.values_list("source", flat=True):
        counts[_(source)] += 1
    return dict(counts)
