from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import NotFound
from feedbackhub.leaderboard.models import ShareLink
from feedbackhub.leaderboard.sharing import share_create, share_get, share_revoke, shares_of
from feedbackhub.projects.access import ADMINISTER, require

from .base import Endpoint, Strict, page


class ShareBody(Strict):
    kind = serializers.CharField()
    days = serializers.IntegerField(default=30)
    a = serializers.CharField(required=False)
    b = serializers.CharField(required=False)
    category = serializers.CharField(required=False)
    method = serializers.CharField(default="bt")
    with_examples = serializers.BooleanField(default=False)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


def share_shown(link: ShareLink) -> dict:
    return {
        "id": link.pk,
        "kind": link.kind,
        "hint": link.hint,
        "note": link.note,
        "with_examples": link.with_examples,
        "expires_at": link.expires_at,
        "revoked_at": link.revoked_at,
        "created_by": link.created_by.username,
        "created_at": link.created_at,
    }


class Shares(Endpoint):
    @extend_schema(summary="The links by which reports are shared", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        def shown(link: ShareLink) -> dict:
            return {**share_shown(link), "opened": link.opened, "last_opened": link.last_opened}

        return page(request, shares_of(self.project(request, slug, ADMINISTER)), shown)

    @extend_schema(summary="Share a report; answers its address once", request=ShareBody, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, ShareBody))
        for side in ("a", "b"):
            if side in body:
                body[side] = model_by_name(project=project, name=body[side])
        link, token = share_create(project=project, by=request.user, **body)
        return Response({**share_shown(link), "url": request.build_absolute_uri(f"/shared/{token}/")}, status=201)


class ShareRevoke(Endpoint):
    @extend_schema(summary="Take a link back", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        found = ShareLink.objects.select_related("project", "created_by").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no link {pk} that you may take back.")
        require(request.user, found.project, ADMINISTER)
        share_revoke(link=found, by=request.user)
        return Response(share_shown(share_get(project=found.project, pk=pk)))
