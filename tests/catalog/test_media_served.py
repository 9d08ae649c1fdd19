"""Pictures and videos are served from our own origin, to members of a project that has them, as what they are."""

import asyncio
import io

import pytest
from pictures import MP4, WEBM, png

from feedbackhub.catalog.media_types import Kind, kind_of
from feedbackhub.projects.services import project_create

pytestmark = pytest.mark.django_db
AVIF = b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif" + b"\x00\x00\x00\x14ispe" + bytes(4) + b"\0\0\1\0\0\0\0\x80"
JPEG = b"\xff\xd8\xff\xe0\x00\x04AB\xff\xc4\x00\x03x\xff\xc2\x00\x0b\x08\x00\x78\x00\xa0\x03" + bytes(9)
WEBP = {
    b"VP8X": b"VP8X\x0a\x00\x00\x00" + bytes(4) + b"\x9f\x00\x00\x77\x00\x00",
    b"VP8L": b"VP8L\x00\x00\x00\x00\x2f" + (159 | 119 << 14).to_bytes(4, "little"),
    b"VP8 ": b"VP8 \x00\x00\x00\x00" + bytes(3) + b"\x9d\x01\x2a\xa0\x00\x78\x00",
}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (png(width=160, height=120), Kind("image/png", 160, 120)),
        (b"GIF89a\xa0\x00\x78\x00" + bytes(9), Kind("image/gif", 160, 120)),
        (JPEG, Kind("image/jpeg", 160, 120)),
        *((b"RIFF\0\0\0\0WEBP" + body, Kind("image/webp", 160, 120)) for body in WEBP.values()),
        (AVIF, Kind("image/avif", 256, 128)),
        (MP4, Kind("video/mp4")),
        (WEBM, Kind("video/webm")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<!doctype html><p>", None),
        (b"%PDF-1.7", None),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", None),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", None),
        (WEBM.replace(b"webm", b"matr"), None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\xff\xd8\xff", Kind("image/jpeg")),
        (b"\x89PNG\r\n\x1a\n", Kind("image/png")),
        (b"", None),
    ],
)
def test_what_a_file_is(content, kind):
    assert kind_of(io.BytesIO(content)) == kind


@pytest.fixture
def page(kept, project):
    """page(content): where a project's page loads it."""
    return lambda content: f"/p/{project.slug}/catalog/media/{kept(content)['media']}/"


def test_a_picture_comes_as_what_it_is_and_as_nothing_else(page, client_of, bob):
    answer = client_of(bob).get(page(png()))
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, png(), "image/png")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["Content-Disposition"].startswith("inline; filename=")
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    again = client_of(bob).get(page(png()), HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_who_may_see_it(page, client_of, api_of, client, alice, bob, dave, eve, root, kept):
    path = page(png())
    for member in (alice, bob, dave, root):
        assert client_of(member).get(path).status_code == 200
    assert client_of(eve).get(path).status_code == 404
    assert client.get(path).status_code == 302
    assert client_of(bob).post(path).status_code == 405
    other = project_create(by=root, slug="garden", name="Garden")
    elsewhere = path.replace("kitchen", "garden")
    assert client_of(root).get(elsewhere).status_code == 404, "another project's picture"
    assert client_of(bob).get(elsewhere).status_code == 404
    kept(png(), of=other)
    assert client_of(root).get(elsewhere).status_code == 200
    assert client_of(bob).get(elsewhere).status_code == 404, "bob is no member of the garden"
    token = f"/api/v1/projects/kitchen/media/{path.split('/')[-2]}/"
    assert api_of(bob).get(token).content == png()
    assert api_of(bob).get(token)["Content-Type"] == "image/png"
    assert api_of(eve).get(token).status_code == 404
    assert client.get(token).status_code in (401, 403)


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=10-", 206, (10, 100)),
        ("bytes=-7", 206, (93, 100)),
        ("bytes=90-500", 206, (90, 100)),
        ("bytes=-500", 206, (0, 100)),
        ("bytes=100-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,5-6", 200, (0, 100)),
        ("bytes=9-3", 200, (0, 100)),
        ("bytes=-", 200, (0, 100)),
        ("pages=1-2", 200, (0, 100)),
        ("", 200, (0, 100)),
    ],
)
def test_ranges_of_a_video(page, client_of, bob, asked, status, span):
    content = MP4 + bytes(range(100 - len(MP4)))
    answer = client_of(bob).get(page(content), HTTP_RANGE=asked)
    assert (answer.status_code, answer["Accept-Ranges"], answer["Content-Type"]) == (status, "bytes", "video/mp4")
    if status == 416:
        assert answer["Content-Range"] == "bytes */100"
        return
    assert answer.content == content[slice(*span)]
    if status == 206:
        assert answer["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/100"
        assert answer["Content-Length"] == str(span[1] - span[0])
    stale = client_of(bob).get(page(content), HTTP_RANGE="bytes=0-9", HTTP_IF_RANGE='"another"')
    assert (stale.status_code, len(stale.content)) == (200, 100)


def test_a_large_video_is_streamed_by_either_kind_of_server(page, client_of, bob, rf, project):
    from django.core.handlers.asgi import ASGIRequest

    from feedbackhub.catalog.media_views import AT_ONCE, media_response

    content = MP4 + bytes(2 * AT_ONCE)
    path = page(content)
    whole = client_of(bob).get(path)
    assert (whole.streaming, int(whole["Content-Length"])) == (True, len(content))
    assert b"".join(whole.streaming_content) == content
    part = client_of(bob).get(path, HTTP_RANGE="bytes=0-")
    assert (part.status_code, len(part.content)) == (206, AT_ONCE), "a range is held in memory, so it has bounds"
    assert part["Content-Range"] == f"bytes 0-{AT_ONCE - 1}/{len(content)}"
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    answer = media_response(ASGIRequest(scope, io.BytesIO()), project, path.split("/")[-2])

    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    assert answer.is_async
    assert asyncio.run(read()) == content


def test_a_file_that_was_half_written_is_written_again(kept, project, media_dir):
    from feedbackhub.catalog.media import media_storage
    from feedbackhub.catalog.models import Media

    part = kept(png())
    name = Media(digest=part["media"]).path
    Media.objects.all().delete()
    (media_dir / name).write_bytes(png()[:20])
    assert kept(png()) == part
    assert media_storage().open(name).read() == png()
    assert len([path for path in media_dir.rglob("*") if path.is_file()]) == 1


def test_pages_load_pictures_and_videos_from_here_only(client_of, bob, project):
    policy = client_of(bob).get(f"/p/{project.slug}/rate/")["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["img-src"], rules["media-src"]) == ("'self'", "'self'")
    assert "data:" in client_of(bob).get("/api/docs/")["Content-Security-Policy"]
