"""The real battle files, imported through the imports room, give the reference values."""

import gzip
import json

import pytest

from feedbackhub.imports.services import import_create, import_run
from feedbackhub.leaderboard.selectors import board
from feedbackhub.rating.services import tallies_check

pytestmark = [pytest.mark.data, pytest.mark.django_db(transaction=True)]
FILES = [
    "battles_llmfao_crowd.jsonl",
    "battles_alpacaeval1_gpt4.jsonl.gz",
    "battles_wildbench_gpt4turbo_derived.jsonl.gz",
]


@pytest.mark.parametrize("name", FILES)
def test_ratings_errors_ranks_and_elo_are_the_published_ones(project, root, queue, data_dir, name):
    with (data_dir / name).open("rb") as file:
        report = import_create(project=project, by=root, kind="votes", file=file, filename=name)
    import_run(report.pk)
    report.refresh_from_db()
    assert (report.status, report.rejected_count) == ("done", 0)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(data_dir / name, "rt") as lines:
        battles = sum(1 for _ in lines)
    expected = json.loads((data_dir / "reference_values.json").read_text())[name]
    answer = board(project=project)
    assert answer["votes"] == battles == expected["info"]["battles"]
    assert answer["connected"] is True
    rows = {row["model"]: row for row in answer["rows"]}
    elo = {row["model"]: row["rating"] for row in board(project=project, method="elo")["rows"]}
    for known in expected["bradley_terry"]:
        row = rows[known["model"]]
        # the reference is stored with six decimals, so half a unit of the last place belongs to its rounding
        assert row["rating"] == pytest.approx(known["rating"], abs=1.5e-6)
        assert row["se"] == pytest.approx(known["se_sandwich"], abs=1.5e-6)
        assert row["rank"] == known["rank_ci"]
        assert row["ties"] == known["ties"]
        assert elo[known["model"]] == pytest.approx(known["elo_online_k4"], abs=1.5e-6)
    assert tallies_check(project=project) == []
    if "length_controlled_bt" in expected:
        controlled = {row["model"]: row["rating"] for row in board(project=project, control="length")["rows"]}
        for model, rating in expected["length_controlled_bt"]["ratings"].items():
            assert controlled[model] == pytest.approx(rating, abs=1.5e-6)
