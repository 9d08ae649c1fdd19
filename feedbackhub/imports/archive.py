"""A .zip that holds one .jsonl and the media that its lines name.

Nothing is unpacked to where an entry's name says: lines name entries, entries are read as streams, and media are kept
under the hash of their content.
"""

import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

ENTRIES_AT_MOST = 200_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveError(Exception):
    """The archive, or one of its entries, cannot be read; in words."""


class Archive:
    """bytes_at_most: what all of it may unpack to. Raises ArchiveError."""

    def __init__(self, path: Path, bytes_at_most: int):
        self.stored: IO[bytes] = path.open("rb")
        try:
            self.zip = zipfile.ZipFile(self.stored)
            self.entries = {entry.filename: entry for entry in self.zip.infolist() if not _is_clutter(entry)}
            self._check(bytes_at_most)
            self.lines_name = self._lines_name()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            self.stored.close()
            raise ArchiveError(f"The archive is damaged or cut off ({error}).") from error
        except BaseException:
            self.stored.close()
            raise

    def _check(self, bytes_at_most: int) -> None:
        if len(self.entries) > ENTRIES_AT_MOST:
            raise ArchiveError(f"The archive has more than {ENTRIES_AT_MOST:,} files; split it into several.")
        # An entry is never read beyond the size that it states, so the statements can be believed.
        if sum(entry.file_size for entry in self.entries.values()) > bytes_at_most:
            raise ArchiveError(
                f"The archive unpacks to more than {bytes_at_most / 1024**3:g} GiB; split it into several."
            )

    def _lines_name(self) -> str:
        found = [name for name in self.entries if name.lower().endswith(".jsonl")]
        if len(found) != 1:
            there = f"{len(found)} of them: {', '.join(sorted(found)[:5])}" if found else "none"
            raise ArchiveError(f"The archive must hold one .jsonl beside its pictures and videos; it has {there}.")
        return found[0]

    def lines(self) -> IO[bytes]:
        return self._open(self.entries[self.lines_name])

    def open(self, name: str) -> IO[bytes]:
        """The entry of that name, as seen from the .jsonl's folder or from the archive's top. Raises ArchiveError."""
        beside = str(PurePosixPath(self.lines_name).parent / name)
        entry = self.entries.get(beside) or self.entries.get(name)
        if entry is None:
            raise ArchiveError("the archive has no such file")
        return self._open(entry)

    def _open(self, entry: zipfile.ZipInfo) -> IO[bytes]:
        if entry.flag_bits & 0x1:
            raise ArchiveError("it is encrypted")
        if entry.compress_type not in METHODS:
            raise ArchiveError("it is packed in a way other than deflate")
        try:
            return self.zip.open(entry)
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise ArchiveError(f"it is damaged ({error})") from error

    def close(self) -> None:
        self.zip.close()
        self.stored.close()


def _is_clutter(entry: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds to every archive."""
    parts = PurePosixPath(entry.filename).parts
    return entry.is_dir() or "__MACOSX" in parts or not parts or parts[-1].startswith(".")
