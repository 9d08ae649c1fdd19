"""Pictures and videos as lines name them: by an address, a data: URI, or a file of the same .zip."""

from collections.abc import Iterator
from dataclasses import dataclass

from feedbackhub.catalog.content import MEDIA

from .fields import LineError

ALT_AT_MOST = 1000
SOURCE_AT_MOST = 2000
# In a stored part's place until the file is here (getting.py).
WANTED = "wanted"


@dataclass(frozen=True)
class Wanted:
    """What is to be got. kind: url, data or file. type: image or video, None where the bytes shall say."""

    kind: str
    source: str
    type: str | None

    @property
    def label(self) -> str:
        """As an error names it."""
        if self.kind == "data":
            return "the data: URI"
        return f'"{self.source if len(self.source) <= 200 else self.source[:200] + "…"}"'


def media_part_read(part: object) -> dict | None:
    """A part that shows something, with WANTED in its file's place; None where it is no such part.

    As we write it, {"type": "image", "url" | "file": …, "alt": …}; as chat APIs do, {"type": "image_url", "image_url":
    {"url": …}}. Raises ValueError.
    """
    if not isinstance(part, dict):
        return None
    if part.get("type") == "image_url":
        given = part.get("image_url")
        part = {"type": "image", "url": given.get("url") if isinstance(given, dict) else given, "alt": part.get("alt")}
    if part.get("type") not in MEDIA:
        return None
    return _part(part)


def media_list_read(value: object, what: str) -> list[dict]:
    """The `media` of an output: a list of parts, in which a bare text is an address whose bytes say what it is."""
    if value is None:
        return []
    if not isinstance(value, list):
        value = [value]
    found = []
    for number, entry in enumerate(value, start=1):
        if isinstance(entry, str):
            entry = {"url": entry}
        if not isinstance(entry, dict) or entry.get("type") not in (None, *MEDIA):
            raise LineError(f'{what} {number} must be {{"type": "image" or "video", "url" or "file": …, "alt": …}}')
        try:
            found.append(_part(entry))
        except ValueError as error:
            raise LineError(f"{what} {number}: {error}") from error
    return found


def _part(part: dict) -> dict:
    alt = part.get("alt")
    if alt is not None and not isinstance(alt, str):
        raise ValueError("alt must be a text")
    url, file = part.get("url"), part.get("file")
    if (url is None) == (file is None):
        raise ValueError(f"{'a picture or video' if not part.get('type') else part['type']} needs one of url and file")
    source = url if url is not None else file
    if not isinstance(source, str) or not source.strip():
        raise ValueError("url and file must be texts")
    source = source.strip()
    kind = "file" if url is None else "data" if source[:5].lower() == "data:" else "url"
    if kind != "data" and len(source) > SOURCE_AT_MOST:
        raise ValueError(f"{kind} is longer than {SOURCE_AT_MOST} characters")
    wanted = Wanted(kind, source, part.get("type"))
    return {"type": part.get("type") or MEDIA[0], WANTED: wanted, "alt": _clean(alt or "")}


def _clean(alt: str) -> str:
    return alt.replace("\x00", "").encode("utf-8", "replace").decode().strip()[:ALT_AT_MOST]


def part_lists(line: object) -> Iterator[list[dict]]:
    """The lists of parts in a checked line of any kind that may hold media, to be changed in place."""
    prompt = getattr(line, "prompt", line)
    for message in getattr(prompt, "messages", None) or ():
        yield message["content"]
    if hasattr(line, "prompt") and isinstance(getattr(line, "outputs", None), list):
        for output in line.outputs:
            yield output.media


def wanted_of(line: object) -> list[Wanted]:
    return [part[WANTED] for parts in part_lists(line) for part in parts if WANTED in part]
