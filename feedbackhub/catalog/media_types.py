"""What a media file is, by its bytes and never by its name: the types that every browser shows, and how large they are.

Sources: PNG (W3C, 11.2.2), GIF89a (18), JPEG (ITU T.81, B.2.2), WebP (RFC 9649, 2.4 to 2.7), ISO base media file format
(ISO/IEC 14496-12, 4.3) with AVIF's brands, Matroska's EBML header (RFC 8794, 8.1).
"""

from dataclasses import dataclass
from typing import IO

HEAD_BYTES = 4096
SEARCHED = 256 * 1024  # bytes in which a picture's size must stand
PIXELS_AT_MOST = 100_000_000  # more would stop a rater's browser, however few bytes it is

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
ACCEPTED = "PNG, JPEG, GIF, WebP or AVIF pictures, MP4 or WebM videos"
AVIF_BRANDS = {b"avif", b"avis"}
MP4_BRANDS = {
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"M4V ",
    b"M4VH",
    b"MSNV",
    b"dash",
}
# JPEG: start-of-frame markers; C4, C8 and CC in between are tables.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Kind:
    """`media_type`: like image/png. width, height: in pixels, None where they are not cheap to know (videos)."""

    media_type: str
    width: int | None = None
    height: int | None = None

    @property
    def type(self) -> str:
        return self.media_type.partition("/")[0]


def media_type_of(head: bytes) -> str | None:
    """The media type of a file that begins so (its first 4096 bytes suffice), None if it is none that we take."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
        if brands & AVIF_BRANDS:
            return "image/avif"
        return "video/mp4" if brands & MP4_BRANDS else None
    if head.startswith(b"\x1aE\xdf\xa3") and b"\x42\x82\x84webm" in head[:64]:
        return "video/webm"
    return None


def kind_of(file: IO[bytes]) -> Kind | None:
    """What the file is, None if it is nothing that we take. Reads its beginning only."""
    file.seek(0)
    head = file.read(SEARCHED)
    media_type = media_type_of(head[:HEAD_BYTES])
    if media_type is None:
        return None
    width, height = _SIZES.get(media_type, lambda _: (None, None))(head)
    return Kind(media_type, width or None, height or None)


def _png(head: bytes) -> tuple:
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(head: bytes) -> tuple:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _jpeg(head: bytes) -> tuple:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in FRAMES:
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None, None


def _webp(head: bytes) -> tuple:
    chunk = head[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return None, None


def _avif(head: bytes) -> tuple:
    at = head.find(b"ispe")
    if at < 0 or at + 16 > len(head):
        return None, None
    return int.from_bytes(head[at + 8 : at + 12], "big"), int.from_bytes(head[at + 12 : at + 16], "big")


_SIZES = {"image/png": _png, "image/gif": _gif, "image/jpeg": _jpeg, "image/webp": _webp, "image/avif": _avif}
