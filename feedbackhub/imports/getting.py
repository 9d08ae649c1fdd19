"""Getting the files that lines name, each once, before the lines are stored; outside any transaction."""

import base64
import binascii
import hashlib
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes
from zipfile import BadZipFile

from django.conf import settings

from feedbackhub.catalog.media import media_part
from feedbackhub.catalog.media_types import HEAD_BYTES
from feedbackhub.catalog.models import Media
from feedbackhub.catalog.services import MediaRefused, media_by_source, media_keep, media_limit
from feedbackhub.core.fetching import Fetched, FetchRefused, fetch
from feedbackhub.projects.models import Project

from .archive import Archive, ArchiveError
from .media_lines import WANTED, Wanted, part_lists, wanted_of

AT_ONCE = 8  # files fetched side by side
RENEW_SECONDS = 15
CHUNK = 256 * 1024


class Getter:
    """Fills the media of an import's lines. renew: called every 15 seconds at least, while files are on their way."""

    def __init__(self, project: Project, archive: Archive | None, renew: Callable[[], None]):
        self.project, self.archive, self._renew = project, archive, renew
        self.renewed = time.monotonic()

    def fill(self, lines: dict[int, object]) -> dict[int, str]:
        """Put the files into the lines that name any; {line: why not} of those whose files cannot be had."""
        wanted = {one: None for line in lines.values() for one in wanted_of(line)}
        if not wanted:
            return {}
        got = self._got(wanted)
        problems: dict[int, str] = {}
        for number, line in lines.items():
            for parts in part_lists(line):
                for place, part in enumerate(parts):
                    if WANTED in part and number not in problems:
                        found = got[part[WANTED]]
                        if isinstance(found, str):
                            problems[number] = f"{part[WANTED].label}: {found}"
                        else:
                            parts[place] = media_part(found, part["alt"])
        return problems

    def renew(self) -> None:
        if time.monotonic() - self.renewed > RENEW_SECONDS:
            self._renew()
            self.renewed = time.monotonic()

    # --- From where ------------------------------------------------------------------------------------------------

    def _got(self, wanted: Iterable[Wanted]) -> dict[Wanted, Media | str]:
        settings.MEDIA_DIR.mkdir(parents=True, exist_ok=True)
        urls = {one.source for one in wanted if one.kind == "url"}
        by_url: dict[str, Media | str] = dict(media_by_source(project=self.project, sources=urls))
        by_url.update(self._fetched(urls - set(by_url)))
        got: dict[Wanted, Media | str] = {}
        for one in wanted:
            self.renew()
            found = by_url[one.source] if one.kind == "url" else self._read(one)
            if isinstance(found, Media) and one.type and not found.media_type.startswith(one.type):
                found = f"it is no {one.type} but {found.media_type}"
            got[one] = found
        return got

    def _fetched(self, urls: set[str]) -> dict[str, Media | str]:
        got: dict[str, Media | str] = {}
        waiting: dict[Future, str] = {}
        order = iter(sorted(urls))
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool, _Folder() as folder:
            while True:
                # Only as many as are under way: what was fetched is kept before more comes to lie on the disk.
                while len(waiting) < AT_ONCE and (url := next(order, None)) is not None:
                    waiting[pool.submit(_fetch, url, folder)] = url
                if not waiting:
                    return got
                for future in wait(waiting, timeout=RENEW_SECONDS, return_when="FIRST_COMPLETED").done:
                    url = waiting.pop(future)
                    got[url] = self._kept(future.result, source=url)
                self.renew()

    def _read(self, one: Wanted) -> Media | str:
        with _Folder() as folder:
            read = self._data if one.kind == "data" else self._file
            return self._kept(lambda: read(one.source, folder))

    def _kept(self, read: Callable[[], tuple[Path, str]], source: str = "") -> Media | str:
        """What was read, taken into the project, or why it is not."""
        try:
            path, digest = read()
            try:
                return media_keep(project=self.project, path=path, digest=digest, source=source)
            finally:
                path.unlink(missing_ok=True)
        except (FetchRefused, MediaRefused, ArchiveError) as error:
            return str(error)

    def _data(self, uri: str, folder: Path) -> tuple[Path, str]:
        head, comma, body = uri.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise MediaRefused("write it as data:image/png;base64,…")
        try:
            content = base64.b64decode(unquote_to_bytes(body), validate=True)
        except binascii.Error:
            raise MediaRefused("its base64 is damaged") from None
        if len(content) > media_limit(content[:HEAD_BYTES]):
            raise MediaRefused(f"it is larger than {media_limit(content[:HEAD_BYTES]) / 1024**2:g} MiB")
        path = _named(folder)
        path.write_bytes(content)
        return path, hashlib.sha256(content).hexdigest()

    def _file(self, name: str, folder: Path) -> tuple[Path, str]:
        if self.archive is None:
            raise ArchiveError("only an import of a .zip can name files; name a url here")
        path = _named(folder)
        try:
            with self.archive.open(name) as packed, path.open("wb") as file:
                return path, _copied(packed, file)
        except (BadZipFile, zlib.error, EOFError) as error:
            raise ArchiveError(f"it is damaged ({error})") from error


def _fetch(url: str, folder: Path) -> tuple[Path, str]:
    path = _named(folder)
    try:
        with path.open("wb") as file:
            fetched: Fetched = fetch(url, file, limit_of=media_limit, seconds=settings.MEDIA_FETCH_SECONDS)
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise
    return path, fetched.digest


def _copied(packed: IO[bytes], file: IO[bytes]) -> str:
    """SHA-256 of what was copied. Raises MediaRefused where it is nothing that we take, or too much of it."""
    chunk = packed.read(CHUNK)
    limit, digest, size = media_limit(chunk[:HEAD_BYTES]), hashlib.sha256(), 0
    while chunk:
        size += len(chunk)
        if size > limit:
            raise MediaRefused(f"it is larger than {limit / 1024**2:g} MiB")
        digest.update(chunk)
        file.write(chunk)
        chunk = packed.read(CHUNK)
    return digest.hexdigest()


class _Folder:
    """A folder for files that are on their way, beside where they will lie: to keep one is to rename it."""

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory(dir=settings.MEDIA_DIR, prefix="incoming-")
        return Path(self.folder.__enter__())

    def __exit__(self, *error: object) -> None:
        self.folder.cleanup()


def _named(folder: Path) -> Path:
    descriptor, name = tempfile.mkstemp(dir=folder)
    with open(descriptor, "wb"):
        return Path(name)
