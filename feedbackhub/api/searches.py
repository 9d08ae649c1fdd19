"""Settings searched for a draft with short runs that its validation rows judge."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.core.errors import NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.rounds import searches
from feedbackhub.rounds.models import SettingsSearch
from feedbackhub.rounds.search import STEPS

from .base import body_of
from .rounds import RoundEndpoint

SearchBody = body_of(
    steps=serializers.IntegerField(
        min_value=1,
        max_value=searches.STEPS_AT_MOST,
        required=False,
        default=STEPS,
        help_text="Optimiser steps of a try.",
    )
)


class SearchEndpoint(RoundEndpoint):
    def latest(self, request: Request, pk: int) -> SettingsSearch:
        found = searches.search_latest(self.round(request, pk, ADMINISTER))
        if found is None:
            raise NotFound(f"No settings were searched for round {pk} yet: POST here to begin.")
        return found


class RoundSearch(SearchEndpoint):
    @extend_schema(
        summary="The latest search of settings for a draft: its tries, the pick and its reason", responses=dict
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(searches.search_shown(self.latest(request, pk)))

    @extend_schema(
        summary="Search settings for a draft: learning rate, β, rank, a short run each",
        request=SearchBody,
        responses={202: dict},
    )
    def post(self, request: Request, pk: int) -> Response:
        tuning_round = self.round(request, pk, ADMINISTER)
        body = self.read(request, SearchBody)
        searches.search_create(tuning_round=tuning_round, by=request.user, **body)
        return Response(searches.search_shown(self.latest(request, pk)), status=202)


class RoundSearchStop(SearchEndpoint):
    @extend_schema(summary="Stop the search of settings and its run", request=None, responses={202: dict})
    def post(self, request: Request, pk: int) -> Response:
        searches.search_stop(search=self.latest(request, pk))
        return Response(searches.search_shown(self.latest(request, pk)), status=202)
