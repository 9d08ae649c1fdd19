import csv
import gzip
import io
import json

import pytest

from feedbackhub.imports.services import import_create, import_run


@pytest.fixture
def uploaded(project, alice):
    """uploaded(kind, rows_or_bytes, filename=…): an import that waits, of rows (as .jsonl) or of a file's bytes."""

    def upload(kind, content, filename="lines.jsonl", **options):
        if not isinstance(content, bytes):
            content = jsonl(content)
        return import_create(
            project=project, by=alice, kind=kind, file=io.BytesIO(content), filename=filename, **options
        )

    return upload


@pytest.fixture
def imported(uploaded):
    """The same, read to its end."""

    def run(kind, content, filename="lines.jsonl", **options):
        report = import_run(uploaded(kind, content, filename, **options).pk)
        assert report is not None
        return report

    return run


def jsonl(rows) -> bytes:
    """Rows as JSON Lines; a text among them is a line as it stands."""
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


def zipped(rows) -> bytes:
    return gzip.compress(jsonl(rows))


def table(header, *rows, delimiter=",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue().encode()


def parquet(rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), written)
    return written.getvalue()


@pytest.fixture
def files():
    """The ways of writing a file: files.jsonl(rows), .zipped, .table(header, *rows), .parquet(rows)."""
    from types import SimpleNamespace

    return SimpleNamespace(jsonl=jsonl, zipped=zipped, table=table, parquet=parquet)


@pytest.fixture
def rejections():
    """rejections(report): {line: error}."""
    return lambda report: dict(report.rejections.order_by("line").values_list("line", "error"))
