"""Pictures and videos of prompts and outputs: kept once each under the hash of their content, known by their bytes.

A part of a conversation or an answer that shows one is {"type": "image" | "video", "media": digest, "media_type",
"alt", "width"?, "height"?}: enough to show it without asking the database.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.urls import reverse

from feedbackhub.projects.models import Project

from .content import media_of
from .media_types import ACCEPTED, EXTENSIONS, PIXELS_AT_MOST, Kind, kind_of, media_type_of
from .models import Media, MediaUse

CHUNK = 500
ALT_AT_MOST = 1000


class MediaRefused(Exception):
    """Why a file is not taken, in words."""


def media_storage() -> Storage:
    return storages["media"]


def media_limit(head: bytes) -> int:
    """How many bytes a file that begins so may have. Raises MediaRefused where it is nothing that we take."""
    media_type = media_type_of(head)
    if media_type is None:
        raise MediaRefused(f"it is none of {ACCEPTED}")
    return (settings.MEDIA_VIDEO_MB if media_type.startswith("video/") else settings.MEDIA_IMAGE_MB) * 1024**2


class _Held(File):
    """A file that a storage on the same disk may move instead of copying."""

    def __init__(self, path: Path, file: IO[bytes]):
        super().__init__(file, name=path.name)
        self.path = path

    def temporary_file_path(self) -> str:
        return str(self.path)


def media_keep(*, project: Project, path: Path, digest: str, source: str = "") -> Media:
    """Take the file at `path` (in MEDIA_DIR, its bytes checked against media_limit, SHA-256 `digest`) into the project.

    The file is moved away or left to be deleted by the caller. source: the address that it was fetched from.
    Raises MediaRefused.
    """
    with path.open("rb") as file:
        kind = kind_of(file)
        if kind is None:
            raise MediaRefused(f"it is none of {ACCEPTED}")
        if kind.width and kind.height and kind.width * kind.height > PIXELS_AT_MOST:
            raise MediaRefused(f"it has {kind.width} × {kind.height} pixels; a browser cannot be expected to show it")
        size = os.fstat(file.fileno()).st_size
        if not Media.objects.filter(pk=digest).exists():
            _file_keep(Media(digest=digest).path, path, file, size)
    return _rows_keep(project, digest, kind, size, source)


@transaction.atomic
def _rows_keep(project: Project, digest: str, kind: Kind, size: int, source: str) -> Media:
    known = {"media_type": kind.media_type, "bytes": size, "width": kind.width, "height": kind.height}
    media, _ = Media.objects.get_or_create(digest=digest, defaults=known)
    MediaUse.objects.get_or_create(
        project=project, media=media, source_digest=source_digest(source), defaults={"source": source}
    )
    return media


def _file_keep(name: str, path: Path, file: IO[bytes], size: int) -> None:
    """The file under `name`, whole or not at all."""
    storage = media_storage()
    if storage.exists(name):
        if storage.size(name) == size:
            return
        storage.delete(name)  # somebody was killed while writing it
    os.fsync(file.fileno())
    file.seek(0)
    kept = storage.save(name, _Held(path, file))
    if kept != name:  # somebody else was quicker
        storage.delete(kept)


def source_digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest() if source else ""


def media_by_source(*, project: Project, sources: Iterable[str]) -> dict[str, Media]:
    """Address → what the project has of it already."""
    wanted = {source_digest(source): source for source in sources}
    digests = sorted(wanted)
    found = {}
    for start in range(0, len(digests), CHUNK):
        uses = MediaUse.objects.filter(project=project, source_digest__in=digests[start : start + CHUNK])
        found.update((wanted[use.source_digest], use.media) for use in uses.select_related("media"))
    return found


def media_part(media: Media, alt: str) -> dict:
    """The part that shows it."""
    part = {"type": media.media_type.partition("/")[0], "media": media.digest, "media_type": media.media_type}
    if media.width and media.height:
        part |= {"width": media.width, "height": media.height}
    return {**part, "alt": alt[:ALT_AT_MOST]}


def media_shown(parts: list[dict], project: Project) -> list[dict]:
    """What a page needs to show the parts' pictures and videos: [{type, url, alt, width?, height?}]."""
    return [{**part, "url": reverse("catalog:media", args=[project.slug, part["media"]])} for part in media_of(parts)]


def filename_of(media: Media) -> str:
    return f"{media.digest[:16]}.{EXTENSIONS[media.media_type]}"
