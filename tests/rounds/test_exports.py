"""A frozen dataset in each format that fits its kind."""

import csv
import io
import json

import pyarrow.parquet
import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Judgment
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.exports import dataset_export

pytestmark = pytest.mark.django_db
QUESTION = [{"role": "user", "content": "What is tea?"}]


@pytest.fixture
def preferences(project, alice, pair, judge):
    red, blue = pair("What is tea?")
    judge([[red], [blue]])
    return dataset_freeze(project=project, by=alice)


@pytest.fixture
def demonstrations(project, alice, make_prompt):
    make_prompt("What is coffee?", references=["A drink."])
    return dataset_freeze(project=project, by=alice, kind="sft")


def exported(dataset, format):
    return b"".join(dataset_export(dataset=dataset, format=format)[2])


def line(dataset, format):
    return json.loads(exported(dataset, format))


def test_trl_is_conversational(preferences, demonstrations):
    assert line(preferences, "trl") == {
        "prompt": QUESTION,
        "chosen": [{"role": "assistant", "content": "red on What is tea?"}],
        "rejected": [{"role": "assistant", "content": "blue on What is tea?"}],
    }
    assert line(demonstrations, "trl") == {
        "messages": [{"role": "user", "content": "What is coffee?"}, {"role": "assistant", "content": "A drink."}]
    }


def test_openai(preferences, demonstrations):
    row = line(preferences, "openai-preference")
    assert row["input"]["messages"] == QUESTION
    assert row["preferred_output"][0]["content"] == "red on What is tea?"
    assert line(demonstrations, "openai-sft")["messages"][-1]["content"] == "A drink."


def test_hh(preferences):
    said = "\n\nHuman: What is tea?\n\nAssistant: "
    assert line(preferences, "hh")["chosen"] == said + "red on What is tea?"


def test_alpaca(demonstrations):
    assert line(demonstrations, "alpaca") == {"instruction": "What is coffee?", "input": "", "output": "A drink."}


def test_csv_and_parquet_carry_margin_and_votes(preferences):
    (row,) = csv.DictReader(io.StringIO(exported(preferences, "csv").decode()))
    (same,) = pyarrow.parquet.read_table(io.BytesIO(exported(preferences, "parquet"))).to_pylist()
    assert row["chosen"] == same["chosen"] == "red on What is tea?"
    assert same["margin"] == 1.0
    assert row["judgments"] == same["judgments"] == str(preferences.rows.get().judgments[0])
    assert row["spans"] == same["spans"] == "[]"


def test_csv_and_parquet_carry_what_raters_marked(preferences):
    judgment = preferences.rows.get().judgments[0]
    span = {"output": 1, "start": 0, "end": 3, "text": "red", "reason": "well_put"}
    Judgment.objects.filter(pk=judgment).update(spans=[span])
    (row,) = csv.DictReader(io.StringIO(exported(preferences, "csv").decode()))
    (same,) = pyarrow.parquet.read_table(io.BytesIO(exported(preferences, "parquet"))).to_pylist()
    assert json.loads(row["spans"]) == json.loads(same["spans"]) == [{"judgment": judgment, **span}]


@pytest.mark.parametrize(("format", "says"), [("openai-sft", "does not fit"), ("xml", "is none of trl")])
def test_a_format_that_does_not_fit_is_refused_in_words(preferences, format, says):
    with pytest.raises(DomainError, match=says):
        dataset_export(dataset=preferences, format=format)
