"""Pictures and videos come in by address, as data: URIs, or as files of a .zip: each held once, known by its bytes."""

import base64
import hashlib
import io
import json
import zipfile

import pytest
from pictures import MP4, WEBM, png

from feedbackhub.catalog.media import media_storage
from feedbackhub.catalog.models import Media, MediaUse, Output, Prompt
from feedbackhub.imports import archive

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_dir")]
RED, BLUE = png((200, 30, 30)), png((30, 30, 200))


def line(*media, text=None, prompt="A red square", model="small", **more):
    return {"prompt": prompt, "outputs": [{"model": model, "text": text, "media": list(media)}], **more}


def zip_of(lines, files=(), name="set/lines.jsonl", method=zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as packed:
        packed.writestr(name, "\n".join(map(json.dumps, lines)))
        for path, content in dict(files).items():
            packed.writestr(path, content)
    return written.getvalue()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_a_picture_is_fetched_once_and_held_under_its_hash(imported, site, project, media_dir):
    red, blue = site.put("/red.png", RED), site.put("/blue", BLUE, Content_Type="text/html")
    rows = [
        line({"type": "image", "url": red, "alt": "A red square"}, text="Here you are."),
        line({"type": "image", "url": red}, {"type": "image", "url": blue}, model="large"),
        line(red, prompt="Another"),
    ]
    report = imported("outputs", rows)
    assert (report.created, report.rejected_count) == ({"prompts": 2, "models": 2, "outputs": 3}, 0)
    assert sorted(path for path, _ in site.asked) == ["/blue", "/red.png"]
    assert {(one.pk, one.media_type, one.bytes, one.width, one.height) for one in Media.objects.all()} == {
        (digest(content), "image/png", len(content), 40, 30) for content in (RED, BLUE)
    }
    first = Output.objects.get(model__name="small", prompt__messages__0__content__0__text="A red square")
    part = {"type": "image", "media": digest(RED), "media_type": "image/png", "width": 40, "height": 30}
    assert first.parts == [{"type": "text", "text": "Here you are."}, {**part, "alt": "A red square"}]
    assert [one["type"] for one in Output.objects.get(model__name="large").parts] == ["image", "image"]
    with media_storage().open(Media(digest=digest(RED)).path) as file:
        assert file.read() == RED
    again = imported("outputs", rows)
    assert set(again.created.values()) == {0}
    assert len(site.asked) == 2, "what the project has was fetched again"
    assert [path.name for path in media_dir.rglob("incoming-*")] == []
    assert MediaUse.objects.get(source=red).project == project


def test_pictures_in_the_messages_of_a_prompt(imported, site):
    red = site.put("/red.png", RED)
    ours = [{"type": "text", "text": "What is this?"}, {"type": "image", "url": red, "alt": "a square"}]
    theirs = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(BLUE).decode()}"}}]
    rows = [{"messages": [{"role": "user", "content": content}]} for content in (ours, theirs, "What is this?")]
    report = imported("prompts", rows)
    assert report.created == {"prompts": 3}, "a picture makes another prompt of the same text"
    shown, only, plain = Prompt.objects.order_by("pk")
    assert (shown.text, shown.messages[0]["content"][1]["media"]) == ("What is this?", digest(RED))
    assert (only.text, only.label) == ("", "Picture")
    assert imported("prompts", rows).created == {"prompts": 0}


def test_parts_of_an_output_and_names_of_others(imported, site):
    url = site.put("/v", MP4)
    parts = [{"type": "text", "text": "Look"}, {"type": "video", "url": url}]
    imported("outputs", [{"prompt": "A", "model": "m", "parts": parts}])
    imported("outputs", [{"q": "B", "a": [{"by": "m", "img": url}]}], field_map={
        "prompt": "q", "outputs": "a", "outputs.model": "by", "outputs.media": "img",
    })  # fmt: skip
    first, second = Output.objects.order_by("pk")
    assert (first.text, first.parts[1]["type"], second.parts[0]["media_type"]) == ("Look", "video", "video/mp4")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"type": "image", "url": "http://127.0.0.1:9/a.png"}, "is not on the public internet"),
        ({"type": "image", "url": "http://169.254.169.254/latest"}, "is not on the public internet"),
        ({"type": "image", "url": "http://[::1]/a.png"}, "is not on the public internet"),
        ({"type": "image", "url": "file:///etc/passwd"}, "must begin with http"),
        ({"type": "image", "file": "red.png"}, "only an import of a .zip can name files"),
        ({"type": "image"}, "image needs one of url and file"),
        ({"type": "sound", "url": "https://example.org/a"}, 'must be {"type": "image" or "video"'),
        ({"type": "image", "url": 5}, "url and file must be texts"),
        ({"type": "image", "url": "data:image/png;base64,%%%"}, "its base64 is damaged"),
        ({"type": "image", "url": "data:image/svg+xml;base64,PHN2Zy8+"}, "it is none of PNG, JPEG"),
        (
            {"type": "image", "url": f"data:video/mp4;base64,{base64.b64encode(MP4).decode()}"},
            "is no image but video/mp4",
        ),
    ],
)
def test_a_line_that_cannot_be_had_is_rejected_and_says_why(imported, rejections, entry, why):
    report = imported("outputs", [line(entry), line(text="Fine.")])
    assert (report.status, report.created["outputs"]) == ("done", 1)
    assert why in rejections(report)[1]


def test_what_a_server_says_it_is_does_not_count(imported, site, settings, rejections):
    settings.MEDIA_IMAGE_MB = 1
    page = site.put("/page", b"<html><script>alert(1)</script>", Content_Type="image/png")
    svg = site.put(
        "/a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", Content_Type="image/svg+xml"
    )
    large = site.put("/large", RED + bytes(1024**2))
    huge = site.put("/huge", png()[:16] + b"\x00\x01\x00\x00" * 2 + png()[24:])
    moved = site.put("/moved", status=302, Location="http://10.0.0.1/a.png")
    video = site.put("/film", WEBM)
    urls = [page, svg, large, huge, moved, f"http://{site.host}/none", video]
    report = imported("outputs", [line({"type": "image", "url": url}) for url in urls])
    found = rejections(report)
    for number, why in enumerate(
        ["none of PNG", "none of PNG", "larger than 1 MiB", "65536 × 65536 pixels", "public", "404", "no image but"], 1
    ):
        assert why in found[number]
        assert urls[number - 1] in found[number]
    assert Output.objects.count() == 0


class TestZip:
    def test_its_lines_name_its_files(self, imported, rejections):
        rows = [
            line({"type": "image", "file": "red.png", "alt": "red"}),
            line({"type": "image", "file": "pictures/blue.png"}, model="large"),
            line({"type": "image", "file": "none.png"}, prompt="Another"),
            line({"type": "image", "file": "../../etc/passwd"}, prompt="Another"),
            line({"type": "image", "file": "notes.txt"}, prompt="Another"),
        ]
        files = {"set/red.png": RED, "set/pictures/blue.png": BLUE, "set/notes.txt": "words", "__MACOSX/._x.jsonl": "x"}
        report = imported("outputs", zip_of(rows, files), filename="set.zip")
        assert (report.status, report.created) == ("done", {"prompts": 1, "models": 2, "outputs": 2})
        assert [part["media"] for one in Output.objects.order_by("pk") for part in one.parts] == [
            digest(RED),
            digest(BLUE),
        ]
        found = rejections(report)
        assert ("no such file" in found[3], "no such file" in found[4], "none of PNG" in found[5]) == (True, True, True)
        again = imported("outputs", zip_of(rows, files), filename="set.zip")
        assert set(again.created.values()) == {0}

    def test_an_entry_named_to_lie_elsewhere_lies_nowhere(self, imported, tmp_path, media_dir):
        name = f"../../../../../../../..{tmp_path}/out.png"
        imported(
            "outputs", zip_of([line({"type": "image", "file": name})], {name: RED}, name="l.jsonl"), filename="a.zip"
        )
        assert not (tmp_path / "out.png").exists()
        assert [path.name for path in media_dir.rglob("*") if path.is_file()] == [digest(RED)]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (zip_of([], name="words.txt"), "it has none"),
            (zip_of([line(text="a")], {"b.jsonl": "{}"}), "2 of them"),
            (zip_of([line(text="a")])[:80], "damaged"),
            (zip_of([line(text="a")], method=zipfile.ZIP_LZMA), "other than deflate"),
            (b"not a zip", "named .zip, but it is plain text"),
        ],
    )
    def test_an_archive_that_is_none(self, imported, content, why):
        report = imported("outputs", content, filename="a.zip")
        assert report.status == "failed"
        assert why in report.error

    def test_bombs(self, imported, rejections, settings, monkeypatch):
        settings.MEDIA_IMAGE_MB = 1
        bomb = zip_of([line({"type": "image", "file": "red.png"})], {"set/red.png": RED + bytes(50 * 1024**2)})
        assert len(bomb) < 100_000
        report = imported("outputs", bomb, filename="a.zip")
        assert "larger than 1 MiB" in rejections(report)[1]
        monkeypatch.setattr("feedbackhub.imports.readers.UNPACKED_BYTES_AT_MOST", 40 * 1024**2)
        report = imported("outputs", bomb, filename="a.zip")
        assert "unpacks to more than" in report.error
        monkeypatch.setattr(archive, "ENTRIES_AT_MOST", 1)
        assert "more than 1 files" in imported("outputs", bomb, filename="a.zip").error
