"""Files of every sort: what is read, and what is said of a file that is not what its name says."""

import gzip
import json

import pytest

from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.imports import readers
from feedbackhub.imports.models import Import
from feedbackhub.rating.models import Judgment

pytestmark = pytest.mark.django_db
ROWS = [{"prompt": "One", "category": "a"}, {"prompt": "Two", "category": "b"}]


def texts() -> list[str]:
    return [prompt.text for prompt in Prompt.objects.order_by("pk")]


@pytest.mark.parametrize("name", ["lines.jsonl", "LINES.JSONL", "../../etc/lines.jsonl", "c:\\data\\lines.jsonl"])
def test_json_lines(imported, name):
    report = imported("prompts", ROWS, name)
    assert texts() == ["One", "Two"]
    assert "/" not in report.filename
    assert "\\" not in report.filename
    assert report.path.name == f"{report.pk:06d}"


def test_json_lines_without_a_last_newline_and_with_a_byte_order_mark(imported):
    report = imported("prompts", b"\xef\xbb\xbf" + b'{"prompt": "One"}\r\n{"prompt": "Two"}')
    assert texts() == ["One", "Two"]
    assert report.read == 2


def test_gzipped_json_lines(imported, files):
    report = imported("prompts", files.zipped(ROWS), "lines.jsonl.gz")
    assert texts() == ["One", "Two"]
    assert report.status == "done"


def test_csv(imported, files, rejections):
    content = files.table(
        ["prompt", "references", "category"],
        ["One, with a comma\nand a second line", '["r1", "r2"]', "a"],
        ["", "", "b"],
        ["Three", "only one", ""],
    )
    report = imported("prompts", content, "sheet.csv")
    one, three = Prompt.objects.order_by("pk")
    assert (one.text, one.references) == ("One, with a comma\nand a second line", ["r1", "r2"])
    assert (three.references, three.category) == (["only one"], "")
    # The header is line 1, the first row begins at line 2 and ends at line 3.
    assert rejections(report) == {4: "neither messages nor prompt says what is to be answered"}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_with_the_delimiters_of_spreadsheets(imported, files, delimiter):
    content = b"\xef\xbb\xbf" + files.table(["prompt", "category"], ["One, two", "a"], delimiter=delimiter)
    imported("prompts", content, "sheet.csv")
    assert (Prompt.objects.get().text, Prompt.objects.get().category) == ("One, two", "a")


def test_a_csv_row_with_too_many_or_too_few_cells(imported, rejections):
    report = imported("prompts", b"prompt,category\nOne,a\nTwo\nThree,c,d\n", "sheet.csv")
    assert rejections(report) == {
        3: "1 cells where the header names 2 columns",
        4: "3 cells where the header names 2 columns",
    }
    assert texts() == ["One"]


def test_votes_in_a_csv(imported, files):
    header = ["id", "model_a", "model_b", "winner", "chars_a", "timestamp"]
    imported("votes", files.table(header, ["0", "a", "b", "model_b", "12", "1704067200"]), "votes.csv")
    vote = Judgment.objects.get()
    assert [(item.tier, item.chars) for item in vote.items.order_by("position")] == [(1, 12), (0, None)]


def test_outputs_in_a_csv_a_row_each(imported, files):
    content = files.table(["prompt", "model", "text"], ["Why?", "small", "So."], ["Why?", "large", "Because."])
    report = imported("outputs", content, "sheet.csv")
    assert report.created == {"prompts": 1, "models": 2, "outputs": 2}
    assert Output.objects.count() == 2


def test_parquet(imported, files, rejections):
    rows = [
        {"prompt": "One", "references": ["r1", "r2"], "outputs": [{"model": "m", "text": "t"}]},
        {"prompt": None, "references": [], "outputs": [{"model": "m", "text": "t"}]},
        {"prompt": "Three", "references": None, "outputs": []},
    ]
    report = imported("outputs", files.parquet(rows), "rows.parquet")
    assert (report.status, report.read) == ("done", 3)
    assert Prompt.objects.get().references == ["r1", "r2"]
    assert list(rejections(report)) == [2, 3]


WRONG = [
    ("lines.jsonl", gzip.compress(b'{"prompt": "One"}\n'), "named .jsonl, but it is gzip-compressed"),
    ("lines.jsonl.gz", b'{"prompt": "One"}\n', "named .jsonl.gz, but it is plain text"),
    ("lines.jsonl.gz", b"\x1f\x8bnothing that unpacks", "damaged or cut off"),
    ("lines.jsonl.gz", gzip.compress(b'{"prompt": "One"}\n' * 1000)[:-20], "damaged or cut off"),
    ("lines.jsonl.gz", gzip.compress(b""), "The file has no lines."),
    ("lines.jsonl", b"PAR1xxxx", "but it is a Parquet file"),
    ("lines.jsonl", '{"prompt": "One"}'.encode("utf-16"), "UTF-16 text"),
    ("lines.jsonl", b'[{"prompt": "One"}]', "one JSON array, not JSON Lines"),
    ("lines.jsonl", b'[\n  {"prompt": "One"}\n]', "one JSON array, not JSON Lines"),
    ("lines.jsonl", b"\n \n", "The file has no lines."),
    ("sheet.csv", b"PK\x03\x04....", "a ZIP archive (an .xlsx, perhaps)"),
    ("sheet.csv", b"a,a\n1,2\n", "names a column twice: a"),
    ("sheet.csv", b"\n1,2\n", "must name its columns"),
    ("sheet.csv", b"prompt\x00,b\n", "binary data"),
    ("rows.parquet", b'{"prompt": "One"}\n', "named .parquet, but it is plain text"),
    ("rows.parquet", b"PAR1 and then nothing PAR1", "The Parquet file cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "error"), WRONG)
def test_a_file_that_is_not_what_its_name_says_fails_in_words(imported, name, content, error):
    report = imported("prompts", content, name)
    assert report.status == "failed"
    assert error in report.error
    assert report.finished_at is not None


def test_what_comes_before_the_damage_is_kept(imported):
    import random

    generator = random.Random(1)
    lines = [json.dumps({"prompt": f"{i} {generator.getrandbits(200):x}"}) for i in range(3000)]
    whole = gzip.compress("\n".join(lines).encode())
    report = imported("prompts", whole[: len(whole) // 2], "lines.jsonl.gz")
    assert report.status == "failed"
    assert 1000 < report.read == Prompt.objects.count() < 3000
    again = imported("prompts", whole, "lines.jsonl.gz")
    assert (again.status, Prompt.objects.count()) == ("done", 3000)


@pytest.mark.parametrize("name", ["lines.json", "lines", "lines.txt", "lines.csv.gz", ""])
def test_an_unknown_extension_is_refused_at_once(uploaded, name):
    with pytest.raises(DomainError, match=r"is none of \.jsonl, \.jsonl\.gz, \.csv, \.parquet") as refused:
        uploaded("prompts", ROWS, name)
    assert refused.value.status == 400
    assert not Import.objects.exists()


def test_an_empty_file_is_refused_at_once(uploaded):
    with pytest.raises(DomainError, match="The file is empty"):
        uploaded("prompts", b"")
    assert not Import.objects.exists()


@pytest.mark.parametrize("name", ["lines.jsonl", "lines.jsonl.gz"])
def test_a_line_over_the_limit_is_rejected_and_the_next_one_read(imported, rejections, name):
    long = json.dumps({"prompt": "x" * readers.LINE_BYTES_AT_MOST})
    content = f'{{"prompt": "One"}}\n{long}\n{{"prompt": "Three"}}\n'.encode()
    report = imported("prompts", gzip.compress(content) if name.endswith("gz") else content, name)
    assert rejections(report) == {2: "the line is longer than 10 MiB"}
    assert texts() == ["One", "Three"]


def test_a_csv_cell_over_the_limit_is_rejected_and_the_next_row_read(imported, rejections):
    long = b"x" * (readers.LINE_BYTES_AT_MOST + 1)
    report = imported("prompts", b"prompt,category\nOne,a\n" + long + b",b\nThree,c\n", "sheet.csv")
    assert rejections(report) == {3: "the line is longer than 10 MiB"}
    assert texts() == ["One", "Three"]


def test_a_file_that_unpacks_without_end_is_stopped(imported, monkeypatch):
    monkeypatch.setattr(readers, "UNPACKED_BYTES_AT_MOST", 1024**3 // 512)
    bomb = gzip.compress(b'{"prompt": "One"}\n' + b" " * (64 * 1024**2))
    report = imported("prompts", bomb, "lines.jsonl.gz")
    assert report.status == "failed"
    assert "unpacks to more than" in report.error
    assert texts() == ["One"]


def test_a_parquet_file_that_unpacks_to_too_much_is_not_begun(imported, files, monkeypatch):
    monkeypatch.setattr(readers, "UNPACKED_BYTES_AT_MOST", 100)
    report = imported("prompts", files.parquet([{"prompt": f"prompt {i}"} for i in range(100)]), "rows.parquet")
    assert report.status == "failed"
    assert "unpacks to more than" in report.error
