"""Text metrics and their intervals: against sacrebleu and rouge_score themselves, and against known distributions."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from training_cast import ROOT, events, failure, finished, rows_of

from training import metrics
from training.suites import overlap

TEXTS = ["the cat sat on the mat", "a dog", "nothing in common here", "Three men went home."]
REFERENCES = [
    ["the cat sat on a mat", "a cat is on the mat"],
    ["a dog barks"],
    ["wholly other words"],
    ["Three men went home."],
]


def predictions(texts=TEXTS, references=REFERENCES) -> list[dict]:
    return [{"id": n, "text": text, "references": of} for n, (text, of) in enumerate(zip(texts, references))]


@pytest.mark.parametrize(("name", "theirs"), [("bleu", BLEU()), ("chrf", CHRF())])
def test_corpus_scores_are_sacrebleus_also_with_unlike_numbers_of_references(name, theirs):
    streams = [[of[0] for of in REFERENCES], [of[1] if len(of) > 1 else None for of in REFERENCES]]
    measured = {"bleu": overlap.bleu, "chrf": overlap.chrf}[name](TEXTS, REFERENCES)[name]
    assert measured.value(measured.statistics.sum(axis=0)) == theirs.corpus_score(TEXTS, streams).score


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"), [(0, 0, 1), (0, 4, 0.125), (6, 0, 2 / 64), (1, 5, 14 / 64), (3, 3, 1)]
)
def test_a_sign_test_counts_what_turned(gained, lost, p_value):
    assert metrics.sign_test([100.0] * gained + [0.0] * 9 + [-100.0] * lost) == pytest.approx(p_value)


def test_an_interval_of_a_mean_is_what_theory_says():
    """n = 400 with standard deviation 1: the mean ± 1.96 / 20."""
    scores = np.random.default_rng(1).normal(10, 1, 400)
    found = metrics.interval(metrics.mean_of(scores), metrics.resamples(400, 4000, 0))
    half = 1.96 * scores.std() / 20
    assert found["value"] == pytest.approx(scores.mean())
    assert found["lower"] == pytest.approx(scores.mean() - half, abs=0.01)
    assert found["upper"] == pytest.approx(scores.mean() + half, abs=0.01)
    assert found["n"] == 400


def test_perplexity_is_of_tokens_not_of_rows():
    measured = metrics.perplexity_of([2.0, 30.0], [1, 9])
    assert measured.value(measured.statistics.sum(axis=0)) == pytest.approx(np.exp(3.2))


def test_a_paired_difference_is_sharper_than_two_intervals():
    chance = np.random.default_rng(2)
    theirs = chance.normal(0, 10, 200)
    ours = theirs + chance.normal(0.5, 1, 200)
    counts = metrics.resamples(200, 2000, 0)
    found = metrics.paired_difference(metrics.mean_of(ours), metrics.mean_of(theirs), counts)
    assert 0 < found["lower"] < found["value"] < found["upper"] < 1
    assert found["p_value"] < 0.01
    same = metrics.paired_difference(metrics.mean_of(theirs), metrics.mean_of(theirs), counts)
    assert (same["value"], same["p_value"]) == (0, 1)


def test_text_overlap_needs_no_model(run_dir):
    folder = run_dir("evaluate", {"predictions": predictions()}, {"suite": "text-overlap"}, base={})
    result = finished(folder)
    rouge = {f"{kind}{part}" for kind in overlap.ROUGE for part in overlap.PARTS}
    assert set(result["metrics"]) == rouge | {"bleu", "bleu1", "bleu2", "bleu3", "chrf"}
    for measured in result["metrics"].values():
        assert measured["lower"] <= measured["value"] <= measured["upper"]
        assert measured["n"] == 4
    scores = rows_of(folder / "scores.jsonl")
    assert [row["id"] for row in scores] == [0, 1, 2, 3]
    assert scores[3]["rouge1"] == 100
    assert scores[2]["rougeL"] == 0
    assert result["metrics"]["rouge1"]["value"] == pytest.approx(np.mean([row["rouge1"] for row in scores]))


def test_the_best_reference_counts_unless_the_first_is_asked_for(run_dir):
    rows = predictions(["a cat is on the mat"], [REFERENCES[0]])
    best = finished(run_dir("evaluate", {"predictions": rows}, {}, name="best"))
    first = finished(run_dir("evaluate", {"predictions": rows}, {"references": "first"}, name="first"))
    assert best["metrics"]["rouge1"]["value"] == 100
    assert first["metrics"]["rouge1"]["value"] < 100
    assert first["metrics"]["bleu"]["value"] < best["metrics"]["bleu"]["value"]


def test_two_models_are_compared_on_the_rows_of_both(run_dir):
    worse = [{"id": n, "text": "quite off"} for n in range(3)]
    folder = run_dir("evaluate", {"predictions": predictions(), "baseline": worse})
    result = finished(folder)
    assert result["metrics"]["rouge1"]["n"] == 4
    difference = result["differences"]["rouge1"]
    assert difference["n"] == 3
    ours = [row["rouge1"] for row in rows_of(folder / "scores.jsonl")][:3]
    assert difference["value"] == pytest.approx(np.mean(ours))
    assert difference["lower"] <= difference["value"] <= difference["upper"]


def test_rows_without_references_are_counted_and_told(run_dir):
    rows = [*predictions(), {"id": 9, "text": "alone", "references": []}, {"id": 10, "text": "b", "references": [" "]}]
    folder = run_dir("evaluate", {"predictions": rows})
    result = finished(folder)
    assert result["notes"] == ["2 of 6 rows in data/predictions.jsonl have no reference and were left out."]
    assert events(folder, "warning")[0]["message"] == result["notes"][0]
    kind, message = failure(run_dir("evaluate", {"predictions": rows[4:]}, name="none"))
    assert kind == "empty_data"
    assert "none has a reference to compare with" in message


def test_a_baseline_of_other_rows_is_told(run_dir):
    folder = run_dir("evaluate", {"predictions": predictions(), "baseline": [{"id": "x", "text": "y"}]})
    result = finished(folder)
    assert result["differences"] == {}
    assert "shares no id" in result["notes"][0]


@pytest.mark.data
def test_scores_of_real_summaries_are_the_reference_values(run_dir):
    """baseline_prediction of dialogues.jsonl: ROUGE of the first and of the best of three references, BLEU, chrF."""
    data = Path(os.environ.get("FEEDBACKHUB_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "dialogues.jsonl").is_file():
        pytest.fail(f"{data} has no dialogues.jsonl; set FEEDBACKHUB_DATA to the folder that has it.")
    expected = json.loads((data / "reference_values.json").read_text())["dialogues.jsonl"]
    rows = [json.loads(line) for line in (data / "dialogues.jsonl").read_text().splitlines()]
    rows = [
        {"id": row["id"], "text": row["baseline_prediction"], "references": row["references"]}
        for row in rows
        if row["baseline_prediction"] is not None
    ]
    assert len(rows) == expected["rows"]
    best = finished(run_dir("evaluate", {"predictions": rows}, {}, name="best"))["metrics"]
    first = finished(run_dir("evaluate", {"predictions": rows}, {"references": "first"}, name="first"))["metrics"]
    for name in ("rouge1", "rouge2", "rougeL"):
        assert best[name]["value"] == pytest.approx(expected[f"{name}_f_best_of_3_stem1"], abs=1e-4)
        assert first[name]["value"] == pytest.approx(expected[f"{name}_f_first_reference_stem1"], abs=1e-4)
    texts, references = [row["text"] for row in rows], [row["references"] for row in rows]
    for suffix, of_row in (("best_of_3", references), ("first_reference", [of[:1] for of in references])):
        unstemmed = overlap.rouge(texts, of_row, stem=False)
        for name in ("rouge1", "rouge2", "rougeL"):
            value = unstemmed[name].scores.mean()
            assert value == pytest.approx(expected[f"{name}_f_{suffix}_stem0"], abs=1e-4)
    assert best["bleu"]["value"] == pytest.approx(expected["sacrebleu_corpus_3refs"], abs=1e-4)
    assert first["bleu"]["value"] == pytest.approx(expected["sacrebleu_corpus_first_reference"], abs=1e-4)
    assert first["chrf"]["value"] == pytest.approx(expected["chrf_first_reference"], abs=1e-4)
    assert all(measured["lower"] < measured["value"] < measured["upper"] for measured in best.values())
