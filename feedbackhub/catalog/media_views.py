"""Pictures and videos from our own origin, to members of the project only, so that no browser takes one for a page."""

import re
from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from feedbackhub.core.errors import NotFound
from feedbackhub.core.streaming import streamed
from feedbackhub.projects.access import ANY
from feedbackhub.projects.models import Project
from feedbackhub.projects.pages import project_page

from .media import filename_of, media_storage
from .models import Media

# What one answer holds in memory. A browser that wants more of a video asks for the next range.
AT_ONCE = 4 * 1024**2
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"


@require_safe
@login_required
@project_page(ANY)
def media(request: HttpRequest, digest: str) -> HttpResponseBase:
    return media_response(request, request.project, digest)


def media_response(request: HttpRequest, project: Project, digest: str) -> HttpResponseBase:
    """The file, or the range of it that is asked for. Raises NotFound where the project does not have it."""
    found = Media.objects.filter(pk=digest, uses__project=project).first()
    if found is None:
        raise NotFound(_('There is no such picture or video in "%(project)s".') % {"project": project.slug})
    etag = f'"{found.digest}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response: HttpResponseBase = HttpResponseNotModified()
    else:
        response = _answer(request, found, etag)
        response.headers["Content-Type"] = found.media_type
    about = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'inline; filename="{filename_of(found)}"',
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    for name, value in about.items():
        response.headers[name] = value
    return response


def _answer(request: HttpRequest, found: Media, etag: str) -> HttpResponseBase:
    asked = _range(request, found.bytes, etag)
    if asked is None:
        return _whole(request, found)
    start, end = asked
    if start >= found.bytes:
        response = HttpResponse(status=416)
        response.headers["Content-Range"] = f"bytes */{found.bytes}"
        return response
    end = min(end, start + AT_ONCE - 1, found.bytes - 1)
    with media_storage().open(found.path) as file:
        file.seek(start)
        response = HttpResponse(file.read(end - start + 1), status=206)
    response.headers["Content-Range"] = f"bytes {start}-{end}/{found.bytes}"
    return response


def _range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """(first byte, last byte) of the one range asked for; None where all of it is to be sent (RFC 9110, 14.2)."""
    found = RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if found is None or found[1] == found[2] == "" or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = found[1], found[2]
    if not first:  # the last so many bytes
        return (max(0, size - int(last)), size - 1) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), int(last) if last else size - 1


def _whole(request: HttpRequest, found: Media) -> HttpResponseBase:
    if found.bytes <= AT_ONCE:
        with media_storage().open(found.path) as file:
            return HttpResponse(file.read())
    answer = streamed(request, _chunks(found))
    answer.headers["Content-Length"] = str(found.bytes)
    return answer


def _chunks(found: Media) -> Iterator[bytes]:
    with media_storage().open(found.path) as file:
        while chunk := file.read(AT_ONCE):
            yield chunk
