"""Files as streams of numbered records, whatever is in them.

No reader holds more than one line (or one small batch of a Parquet file) in memory, and none believes a file's name.
"""

import csv
import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError
from feedbackhub.core.json_reading import json_read

from .archive import Archive, ArchiveError

EXTENSIONS = (".jsonl", ".jsonl.gz", ".csv", ".parquet", ".zip")
LINE_BYTES_AT_MOST = 10 * 1024 * 1024
# What a file may unpack to: stops a few kilobytes of gzip that would keep a worker busy for days.
UNPACKED_BYTES_AT_MOST = 20 * 1024**3
PARQUET_BATCH = 200
DELIMITERS = ",;\t"
csv.field_size_limit(LINE_BYTES_AT_MOST)

MAGIC = {
    b"\x1f\x8b": "gzip-compressed",
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive (an .xlsx, perhaps)",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"BZh": "bzip2-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
}


class FileError(Exception):
    """The file as a whole cannot be read (further), in words."""


@dataclass(frozen=True)
class Record:
    """line: where it begins, from 1 (the header of a CSV is line 1). Either a row or an error.

    bytes_read: how far in the stored file the reader is.
    """

    line: int
    row: dict | None
    error: str
    bytes_read: int


def extension_of(filename: str) -> str:
    """The extension that says how to read the file. Raises DomainError naming those there are."""
    for extension in sorted(EXTENSIONS, key=len, reverse=True):
        if filename.lower().endswith(extension):
            return extension
    message = _('"%(filename)s" is none of %(names)s: name the file for what it is, or convert it.') % {
        "filename": filename,
        "names": ", ".join(EXTENSIONS),
    }
    raise DomainError(message, fields={"file": message})


def records(path: Path, filename: str) -> Iterator[Record]:
    """The file's records in order; blank lines are passed over. Raises FileError."""
    extension = extension_of(filename)
    try:
        if extension == ".parquet":
            yield from _parquet(path)
        elif extension == ".csv":
            yield from _csv(path)
        elif extension == ".zip":
            yield from _zip(path)
        else:
            yield from _jsonl(path, packed=extension == ".jsonl.gz")
    except FileNotFoundError as error:
        raise FileError("The uploaded file is no longer there; upload it again.") from error


def _head_check(head: bytes, *, named: str, expected: bytes = b"") -> None:
    """Raise FileError when the first bytes are not those of what the name says."""
    if not head:
        raise FileError("The file is empty.")
    is_what = next((what for magic, what in MAGIC.items() if head.startswith(magic)), None)
    if expected and not head.startswith(expected):
        what = is_what or ("plain text" if b"\x00" not in head else "something else")
        raise FileError(f"The file is named {named}, but it is {what}; name it for what it is.")
    if not expected and is_what:
        raise FileError(f"The file is named {named}, but it is {is_what}; name it for what it is, or convert it.")
    if not expected and b"\x00" in head:
        raise FileError(f"The file is named {named}, but it is binary data.")


# --- JSON Lines --------------------------------------------------------------------------------------------------


def _jsonl(path: Path, *, packed: bool) -> Iterator[Record]:
    with path.open("rb") as stored:
        head = stored.read(4096)
        stored.seek(0)
        if packed:
            _head_check(head, named=".jsonl.gz", expected=b"\x1f\x8b")
            with gzip.GzipFile(fileobj=stored) as unpacked:
                yield from _json_records(unpacked, stored)
        else:
            _head_check(head, named=".jsonl")
            yield from _json_records(stored, stored)


def archive_open(path: Path) -> Archive:
    """The .zip. Raises FileError."""
    try:
        with path.open("rb") as stored:
            _head_check(stored.read(4096), named=".zip", expected=b"PK")
        return Archive(path, UNPACKED_BYTES_AT_MOST)
    except ArchiveError as error:
        raise FileError(str(error)) from error


def _zip(path: Path) -> Iterator[Record]:
    with closing(archive_open(path)) as archive:
        try:
            with archive.lines() as lines:
                yield from _json_records(lines, archive.stored)
        except ArchiveError as error:
            raise FileError(f"{archive.lines_name} in the archive cannot be read: {error}.") from error
        except zipfile.BadZipFile as error:
            raise FileError(f"The archive is damaged ({error}).") from error


def _json_records(file: IO[bytes], stored: IO[bytes]) -> Iterator[Record]:
    first = True
    for number, line in _lines(file):
        if line is None:
            yield Record(number, None, _too_long(), stored.tell())
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not (line := line.strip()):
            continue
        if first and (line == b"[" or line.startswith(b"[{")):
            raise FileError(
                "The file is one JSON array, not JSON Lines. Write one object a line, for example with: jq -c '.[]'"
            )
        first = False
        row, error = _json_row(line)
        yield Record(number, row, error, stored.tell())
    if first:
        raise FileError("The file has no lines.")


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) with None for a line over the limit. Raises FileError: damaged gzip, too much unpacked."""
    number = total = 0
    try:
        while line := file.readline(LINE_BYTES_AT_MOST + 1):
            number += 1
            total += len(line)
            whole = len(line) <= LINE_BYTES_AT_MOST
            while not whole and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_AT_MOST)
                total += len(line)
                if not line or total > UNPACKED_BYTES_AT_MOST:
                    break
            if total > UNPACKED_BYTES_AT_MOST:
                limit = UNPACKED_BYTES_AT_MOST / 1024**3
                raise FileError(f"The file unpacks to more than {limit:g} GiB; split it into several.")
            yield number, line if whole else None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"The compressed data is damaged or cut off after line {number} ({error}).") from error


def _too_long() -> str:
    return f"the line is longer than {LINE_BYTES_AT_MOST // 1024**2} MiB"


def _json_row(line: bytes) -> tuple[dict | None, str]:
    try:
        row = json_read(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: byte {error.start + 1} of the line is {line[error.start]:#04x}"
    except ValueError as error:
        return None, f"not JSON: {error}"
    if not isinstance(row, dict):
        return None, f"the line is {_json_name(row)}, not an object"
    return row, ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _json_name(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else json.dumps(value)


# --- CSV ---------------------------------------------------------------------------------------------------------


def _csv(path: Path) -> Iterator[Record]:
    with path.open("rb") as stored:
        _head_check(stored.read(4096), named=".csv")
    # Bytes that are not UTF-8 come through as lone surrogates, and are told of the line that holds them.
    with path.open("rb") as stored:
        source = _CsvLines(stored)
        try:
            header_line = next(source)
        except StopIteration:
            raise FileError("The file is empty.") from None
        delimiter = max(DELIMITERS, key=header_line.count)
        header = _csv_header(next(csv.reader([header_line], delimiter=delimiter), []))
        reader = csv.reader(source, delimiter=delimiter)
        while True:
            line = source.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = _too_long() if "field larger" in str(error) else str(error)
                yield Record(line, None, f"not CSV: {problem}", stored.tell())
                continue
            if source.long:
                source.long = False
                yield Record(line, None, _too_long(), stored.tell())
            elif any(cells):
                yield _csv_record(line, header, cells, stored.tell())


class _CsvLines:
    """The physical lines of a CSV as text, counted; one over the limit is cut and `long` set."""

    def __init__(self, file: IO[bytes]):
        self.lines = _lines(file)
        self.number = 0
        self.long = False

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        self.number, line = next(self.lines)
        if line is None:
            self.long = True
            return "\n"
        if self.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.decode("utf-8", "surrogateescape")


def _csv_header(names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    if not any(names):
        raise FileError("The first line of the CSV must name its columns.")
    if twice := {name for name in names if name and names.count(name) > 1}:
        raise FileError(f"The CSV's first line names a column twice: {', '.join(sorted(twice))}.")
    return names


def _csv_record(line: int, header: list[str], cells: list[str], bytes_read: int) -> Record:
    if len(cells) != len(header):
        error = f"{len(cells)} cells where the header names {len(header)} columns"
        return Record(line, None, error, bytes_read)
    for name, cell in zip(header, cells):
        if any("\udc80" <= character <= "\udcff" for character in cell):
            return Record(line, None, f'not UTF-8 in column "{name}": save the file as UTF-8', bytes_read)
    row = {name: cell if cell else None for name, cell in zip(header, cells) if name}
    return Record(line, row, "", bytes_read)


# --- Parquet -----------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Iterator[Record]:
    with path.open("rb") as stored:
        _head_check(stored.read(4096), named=".parquet", expected=b"PAR1")
    size = path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > UNPACKED_BYTES_AT_MOST:
                limit = UNPACKED_BYTES_AT_MOST / 1024**3
                raise FileError(f"The file unpacks to more than {limit:g} GiB; split it into several.")
            number = 0
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(number, row, "", size * number // rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileError(f"The Parquet file cannot be read: {error}") from error
    if not number:
        raise FileError("The file has no rows.")
