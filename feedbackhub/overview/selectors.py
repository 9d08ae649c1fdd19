"""What pages composed of several rooms show."""

from collections import defaultdict

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.evaluation.models import Result
from feedbackhub.leaderboard.selectors import board
from feedbackhub.projects.access import roles_of, visible_projects
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Assignment, Judgment, Task
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
        "tasks": Task.objects.filter(project=project).count(),
        "open": Assignment.objects.filter(project=project, state="open").values("task").distinct().count(),
        "judgments": Judgment.objects.filter(project=project, superseded_by=None, withdrawn=False).count(),
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


def _standing(project: Project, model: ModelVersion) -> dict | None:
    return next((row for row in board(project=project)["rows"] if row["model"] == model.name), None)


def _metrics(project: Project, model: ModelVersion) -> list[Result]:
    """Each metric's latest result."""
    latest: dict[str, Result] = {}
    results = Result.objects.filter(model=model, evaluation__project=project).select_related("evaluation")
    for result in results.order_by("evaluation_id"):
        latest[result.metric] = result
    return [latest[name] for name in sorted(latest)]


def votes_on(project: Project, model: ModelVersion) -> dict[str, int]:
    """Judgments in force on the model's outputs, by source."""
    judgments = Judgment.objects.in_force().filter(project=project, items__model=model)
    counts: dict[str, int] = defaultdict(int)
    for source in judgments.values_list("source", flat=True):
        counts[Judgment.Source(source).label] += 1
    return dict(counts)
