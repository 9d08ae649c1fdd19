from django.http import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from feedbackhub.catalog.media_views import media_response
from feedbackhub.projects.access import ANY
from feedbackhub.projects.models import Project

from .base import Endpoint


def with_media(request: Request, project: Project, shown: list[dict]) -> dict:
    """{"media": [{type, url, alt}]}, or nothing where there is none. The addresses take a token as all of the API."""
    if not shown:
        return {}
    media = []
    for one in shown:
        path = reverse("media-api", args=[project.slug, one["media"]])
        media.append({"type": one["type"], "url": request.build_absolute_uri(path), "alt": one["alt"]})
    return {"media": media}


class MediaFile(Endpoint):
    @extend_schema(summary="A picture or video of a prompt or an output", responses={(200, "image/*"): bytes})
    def get(self, request: Request, slug: str, digest: str) -> HttpResponseBase:
        return media_response(request._request, self.project(request, slug, ANY), digest)
