"""A frozen dataset in the formats that trainers and vendors read."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Judgment

from .models import PreferenceDataset, PreferenceRow

Kind = PreferenceDataset.Kind
CHUNK = 500  # rows
IDS_AT_ONCE = 10_000  # SQLite takes 32,766 in one query


def _trl(row: PreferenceRow) -> dict:
    return row.data


def _openai_sft(row: PreferenceRow) -> dict:
    return {"messages": row.data["messages"]}


def _openai_preference(row: PreferenceRow) -> dict:
    return {
        "input": {"messages": row.data["prompt"], "tools": [], "parallel_tool_calls": True},
        "preferred_output": row.data["chosen"],
        "non_preferred_output": row.data["rejected"],
    }


def _hh(row: PreferenceRow) -> dict:
    """Anthropic's HH format: the whole conversation as one text, once with each answer."""
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    said = "".join(f"\n\n{names[turn['role']]}: {turn['content']}" for turn in row.data["prompt"])
    return {key: f"{said}\n\nAssistant: {row.data[key][0]['content']}" for key in ("chosen", "rejected")}


def _alpaca(row: PreferenceRow) -> dict:
    """Stanford Alpaca's: the last question as instruction, what was said before it as input."""
    *before, question, reply = row.data["messages"]
    context = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in before)
    return {"instruction": question["content"], "input": context, "output": reply["content"]}


def _flat(row: PreferenceRow, spans: dict[int, list[dict]]) -> dict:
    """One cell a column: conversations as JSON, answers as text; with split, margin, the votes behind the row, and the
    passages that their raters marked: a JSON list of {judgment, output, start, end, text, reason} (rating/spans.py).
    """
    cells = {}
    for key, value in row.data.items():
        if key in ("chosen", "rejected", "completion"):
            cells[key] = value[0]["content"]
        else:
            cells[key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    votes = " ".join(str(judgment) for judgment in row.judgments)
    marked = [{"judgment": pk, **span} for pk in row.judgments for span in spans.get(pk, [])]
    cells |= {"split": row.split, "margin": row.margin, "prompt_id": row.prompt_id, "judgments": votes}
    return {**cells, "spans": json.dumps(marked, ensure_ascii=False)}


def _flat_rows(rows: Iterable[PreferenceRow]) -> Iterator[dict]:
    coming = iter(rows)
    while chunk := list(islice(coming, CHUNK)):
        spans = _spans_of(sorted({pk for row in chunk for pk in row.judgments}))
        yield from (_flat(row, spans) for row in chunk)


def _spans_of(judgments: list[int]) -> dict[int, list[dict]]:
    """{judgment id: its spans} of those that have any."""
    found = {}
    for start in range(0, len(judgments), IDS_AT_ONCE):
        some = Judgment.objects.filter(pk__in=judgments[start : start + IDS_AT_ONCE]).exclude(spans=[])
        found.update(some.values_list("pk", "spans"))
    return found


_JSON_LINES: dict[str, tuple[Callable[[PreferenceRow], dict], tuple[str, ...]]] = {
    "trl": (_trl, tuple(Kind.values)),
    "openai-sft": (_openai_sft, (Kind.SFT,)),
    "openai-preference": (_openai_preference, (Kind.PREFERENCE,)),
    "hh": (_hh, (Kind.PREFERENCE,)),
    "alpaca": (_alpaca, (Kind.SFT,)),
}
FORMATS = (*_JSON_LINES, "csv", "parquet")


def formats_of(kind: str) -> list[str]:
    """The formats that fit a dataset of this kind."""
    return [name for name in FORMATS if name not in _JSON_LINES or kind in _JSON_LINES[name][1]]


def dataset_export(*, dataset: PreferenceDataset, format: str = "trl") -> tuple[str, str, Iterable[bytes]]:
    """(content type, file name, content) of the dataset's rows in `format`.

    Raises DomainError for an unknown format and for one that does not fit the dataset's kind.
    """
    if format not in FORMATS:
        message = f'format "{format}" is none of {", ".join(FORMATS)}.'
        raise DomainError(message, fields={"format": message})
    if format not in formats_of(dataset.kind):
        fitting = ", ".join(formats_of(dataset.kind))
        message = f'format "{format}" does not fit a dataset of kind {dataset.kind}; these do: {fitting}.'
        raise DomainError(message, fields={"format": message})
    name = f"{dataset.project.slug}-{dataset.kind}-{dataset.pk}-{dataset.content_hash[:8]}"
    rows = dataset.rows.order_by("position").iterator(chunk_size=1000)
    if format == "csv":
        return "text/csv; charset=utf-8", f"{name}.csv", _csv(rows)
    if format == "parquet":
        return "application/vnd.apache.parquet", f"{name}.parquet", [_parquet(rows)]
    return "application/jsonl; charset=utf-8", f"{name}.{format}.jsonl", _json_lines(rows, _JSON_LINES[format][0])


def _json_lines(rows: Iterable[PreferenceRow], shape: Callable[[PreferenceRow], dict]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(shape(row), ensure_ascii=False).encode() + b"\n"


def _csv(rows: Iterable[PreferenceRow]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = None
    for cells in _flat_rows(rows):
        if writer is None:
            writer = csv.DictWriter(buffer, fieldnames=list(cells))
            writer.writeheader()
        writer.writerow(cells)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _parquet(rows: Iterable[PreferenceRow]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(_flat_rows(rows))), buffer)
    return buffer.getvalue()
