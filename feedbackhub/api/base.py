"""What every endpoint shares: strict input, cursor pages, the caller's project."""

from collections.abc import Callable

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import project_for
from feedbackhub.projects.models import Project

PAGE = 100
PAGE_AT_MOST = 1000


class Strict(serializers.Serializer):
    """A serializer that refuses what it does not know, by name."""

    def to_internal_value(self, data):
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({name: [f"unknown field; the fields are {known}."] for name in unknown})
        return super().to_internal_value(data)


class Endpoint(APIView):
    """An endpoint within a project: `self.project(request, slug, allowed)`; `self.read(request, Serializer)`."""

    def project(self, request: Request, slug: str, allowed: frozenset[str]) -> Project:
        project, request.roles = project_for(request.user, slug, allowed)
        return project

    def read(self, request: Request, serializer: type[Strict]) -> dict:
        """The body, checked. Raises ValidationError naming each field that is wrong or unknown."""
        given = serializer(data=request.data)
        given.is_valid(raise_exception=True)
        return given.validated_data


def number_of(
    request: Request, name: str, default: int | None, *, minimum: int = 0, maximum: int = 2**62
) -> int | None:
    """A whole number from the query string; DomainError naming it when it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not minimum <= number <= maximum:
        message = f'{name}="{text}" must be a whole number from {minimum} to {maximum}.'
        raise DomainError(message, fields={name: message})
    return number


def page(request: Request, rows: QuerySet, show: Callable, *, descending: bool = True) -> Response:
    """{results, next}: rows by id, `next` the address of the following page or null. `?cursor=` `?limit=`"""
    limit = number_of(request, "limit", PAGE, minimum=1, maximum=PAGE_AT_MOST)
    cursor = number_of(request, "cursor", None)
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor) if descending else rows.filter(pk__gt=cursor)
    found = list(rows.order_by("-pk" if descending else "pk")[: limit + 1])
    following = None
    if len(found) > limit:
        found = found[:limit]
        query = request.query_params.copy()
        query["cursor"] = found[-1].pk
        following = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
    return Response({"results": [show(row) for row in found], "next": following})


def body_of(**fields) -> type[Strict]:
    """A strict serializer for a small body."""
    return type("Body", (Strict,), fields)
