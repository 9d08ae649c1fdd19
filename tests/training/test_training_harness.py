"""Tasks in lm-evaluation-harness's shape give lm_eval's own numbers (bench/harness_numbers.py took them)."""

import json
from pathlib import Path

import numpy as np
import pytest
from training_cast import failure, finished, rows_of

from training.errors import TrainingError
from training.harness import binary_f1, binary_mcc, task_checked, yaml_read

CASES = json.loads((Path(__file__).parent / "harness_cases.json").read_text())
SETTINGS = {"suite": "task", "precision": "fp32", "resamples": 100}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_the_harness_own(run_dir, name):
    case = CASES[name]
    files = {"task": [case["task"]], "rows": case["rows"]}
    files |= {"fewshot": case["fewshot"]} if "fewshot" in case else {}
    folder = run_dir("evaluate", files, SETTINGS)
    result = finished(folder)
    for metric, value in case["expected"].items():
        found = result["metrics"][metric]
        assert found["value"] == pytest.approx(100 * value, abs=1e-4), metric
        assert found["lower"] <= found["value"] + 1e-9
        assert found["n"] == len(case["rows"])
    scores = rows_of(folder / "scores.jsonl")
    if "texts" in case:
        assert [row["text"] for row in scores] == case["texts"]
    else:
        ours = np.concatenate([row["loglikelihoods"] for row in scores])
        assert ours == pytest.approx(np.concatenate(case["loglikelihoods"]), abs=1e-3)


def test_a_task_is_read_from_its_yaml_and_an_answer_is_right_without_its_punctuation(run_dir):
    text = CASES["written"]["texts"][0]
    folder = run_dir("evaluate", {"rows": [{"question": CASES["written"]["rows"][0]["question"], "right": f"{text}!"}]})
    (folder / "data" / "task.yaml").write_text(
        'task: written\noutput_type: generate_until\ndoc_to_text: "Q: {{question}}\\nA:"\ndoc_to_target: right\n'
        "generation_kwargs: {until: [red, .], max_gen_toks: 6}\n"
        "metric_list:\n  - metric: exact_match\n    ignore_punctuation: true\n    ignore_case: true\n"
    )
    spec = json.loads((folder / "run.json").read_text())
    spec |= {"data": {"rows": "data/rows.jsonl", "task": "data/task.yaml"}, "settings": SETTINGS}
    (folder / "run.json").write_text(json.dumps(spec))
    assert finished(folder)["metrics"]["exact_match"]["value"] == 100


def test_f1_and_mcc_by_hand():
    assert binary_f1(3, 1, 2, 4) == pytest.approx(6 / 9)
    assert binary_f1(0, 1, 2, 4) == 0
    assert binary_mcc(3, 1, 2, 4) == pytest.approx((12 - 2) / (4 * 5 * 5 * 6) ** 0.5)
    assert binary_mcc(5, 1, 0, 0) == 0


BASIC = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_target": 0, "doc_to_choice": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unsafe_code": True}, "sandbox, which is off"),
        ({"metric_list": [{"metric": "code_eval"}]}, "sandbox, which is off"),
        ({"doc_to_text": "!function utils.text"}, r"Python in a task is not run \(doc_to_text\)"),
        ({"process_docs": "!function utils.process_docs"}, "Python in a task is not run"),
        ({"metric_list": [{"metric": "rhyme"}]}, "metric rhyme is none of acc"),
        ({"output_type": "loglikelihood_rolling"}, "is none of multiple_choice, generate_until"),
        ({"doc_to_choice": None}, "it has no doc_to_choice"),
        ({"include": "other.yaml"}, "write its fields into this file"),
        ({"filter_list": [{"name": "x"}]}, "filter_list is not available"),
    ],
)
def test_what_a_task_may_not_be_is_told(change, said):
    with pytest.raises(TrainingError, match=said):
        task_checked({**BASIC, **change})


def test_rows_that_do_not_fit_are_named(run_dir):
    task = {**BASIC, "doc_to_text": "{{question}}", "doc_to_target": "{{label}}"}
    rows = [{"question": "a", "label": 1}, {"question": "b", "label": 7}]
    kind, said = failure(run_dir("evaluate", {"task": [task], "rows": rows}, SETTINGS))
    assert (kind, "data/rows.jsonl line 2" in said, "none of the 2 choices" in said) == ("bad_data", True, True)
    hostile = {**BASIC, "doc_to_text": "{{ ''.__class__.__mro__ }}"}
    said = failure(run_dir("evaluate", {"task": [hostile], "rows": rows}, SETTINGS, name="hostile"))[1]
    assert "unsafe" in said
    with pytest.raises(TrainingError, match="is not YAML"):
        yaml_read("a: [", "task.yaml")
