from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.anomalies import in_words
from feedbackhub.leaderboard.models import Standing
from feedbackhub.leaderboard.options import CHOICES, Options
from feedbackhub.leaderboard.selectors import board_of
from feedbackhub.leaderboard.standings import standing_read, tallies_queue, tallies_view
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role

from .base import Endpoint, Strict

DESCRIPTIONS = {
    "method": "bt (default): Bradley–Terry; elo: online Elo.",
    "ties": "half (default): half a win each; davidson: a likelihood of their own.",
    "intervals": "sandwich (default), bootstrap, or simultaneous: for all models at once.",
    "cluster": "Votes that are not independent: of one rater, on one prompt, or both.",
    "control": "length; style: length, headers, lists and bold.",
    "weights": "reliability: each rater's votes by how far they are trusted, beside the unweighted.",
    "anchor": "The model that stands at 1000, instead of the mean.",
    "language": "Votes on prompts in this language.",
    "group": "Votes by raters of this group.",
    "since": "Votes from this moment or day (UTC) on, ISO 8601.",
    "until": "Votes before this moment or day (UTC), ISO 8601.",
    "as_of": "ISO 8601: the board at a past moment.",
}
PARAMETERS = [
    OpenApiParameter(name, str, enum=CHOICES.get(name), description=DESCRIPTIONS.get(name, ""))
    for name in Options.names()
]


def options_of(request: Request) -> Options:
    """The board's options in the query; DomainError names what is unknown or wrong."""
    query, names = request.query_params, Options.names()
    if unknown := sorted(set(query) - set(names)):
        message = f"unknown parameter {', '.join(unknown)}; these are: {', '.join(names)}."
        raise DomainError(message, fields=dict.fromkeys(unknown, "unknown parameter"))
    return Options.read({name: query.get(name, "") for name in names})


class Leaderboard(Endpoint):
    @extend_schema(summary="The leaderboard", parameters=PARAMETERS, responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, READ_REPORTS)
        return Response(board_of(project=project, options=options_of(request)))


class View(Endpoint):
    """A view beside the board, with its time: {computed_at, current, …}."""

    kind = ""

    def view(self, request: Request, slug: str) -> dict:
        project, options = self.project(request, slug, READ_REPORTS), options_of(request)
        options.check(project)
        view = standing_read(project=project, kind=self.kind, options=options)
        return {"computed_at": view.computed_at, "current": view.current, **view.answer}


class LeaderboardHistory(View):
    kind = Standing.Kind.HISTORY

    @extend_schema(summary="Ratings and Elo over the votes", parameters=PARAMETERS, responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return Response(self.view(request, slug))


class LeaderboardAnomalies(View):
    kind = Standing.Kind.ANOMALIES

    @extend_schema(summary="What the ratings do not explain", parameters=PARAMETERS, responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        answer = self.view(request, slug)
        known = Role.ADMIN in request.roles
        found = [{**one, "text": in_words(one, names_raters=known)} for one in answer["found"]]
        hidden = () if known else ("rater",)
        return Response({**answer, "found": [{k: v for k, v in one.items() if k not in hidden} for one in found]})


class TalliesBody(Strict):
    action = serializers.ChoiceField(["check", "rebuild"])


class Tallies(Endpoint):
    @extend_schema(summary="Whether tallies and judgments agree, as last checked", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        view = tallies_view(self.project(request, slug, ADMINISTER))
        return Response(tallies_shown(view))

    @extend_schema(summary="Check the tallies, or rebuild them", request=TalliesBody, responses={202: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        tallies_queue(project=project, rebuild=self.read(request, TalliesBody)["action"] == "rebuild")
        return Response(tallies_shown(tallies_view(project)), status=202)


def tallies_shown(view) -> dict:
    """{checked_at, pending, agree, differences, shown}; agree and differences are null before the first check."""
    answer = (view and view.answer) or {"differences": None, "shown": []}
    known = answer["differences"] is not None
    return {
        "checked_at": view.computed_at if view else None,
        "pending": bool(view) and not view.current,
        "agree": answer["differences"] == 0 if known else None,
        **answer,
    }
