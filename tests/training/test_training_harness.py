"""Tasks in lm-evaluation-harness's shape give lm_eval's own numbers (bench/harness_numbers.py took them)."""

import json
from pathlib import Path

import numpy as np
import pytest
from training_cast import failure, finished, rows_of

from training.errors import TrainingError
from training.suites.harness.choosing import binary_f1, binary_mcc, mean_f1
from training.suites.harness.filters import extracted, filtered
from training.suites.harness.tasks import task_checked, yaml_read

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
    three = mean_f1([(0, 0), (0, 1), (1, 1), (2, 0)], range(3))
    assert three.value(three.statistics.sum(axis=0)) == pytest.approx(100 * (1 / 2 + 2 / 3 + 0) / 3)


BASIC = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_target": 0, "doc_to_choice": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric_list": [{"metric": "code_eval"}]}, "pass@k stands alone, in a task of output_type generate_until"),
        ({"doc_to_text": "!function utils.text"}, r"Python in a task is not run \(doc_to_text\)"),
        ({"process_docs": "!function utils.process_docs"}, "Python in a task is not run"),
        ({"metric_list": [{"metric": "rhyme"}]}, "metric rhyme is none of acc"),
        ({"output_type": "loglikelihood_rolling"}, "is none of multiple_choice, generate_until"),
        ({"doc_to_choice": None}, "it has no doc_to_choice"),
        ({"include": "other.yaml"}, "write its fields into this file"),
        ({"filter_list": [{"name": "x"}]}, "filter_list must be a list of"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "rhyme"}]}]}, "filter 'rhyme' is none of regex"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "lowercase"}]}]}, "must end with take_first"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "regex", "regex_pattern": "("}]}]}, "is no pattern"),
        ({"filter_list": [{"name": "x", "filter": [{"function": "take_first", "k": 2}]}]}, "takes no k"),
        ({"metric_list": [{"metric": "f1", "aggregation": "!function aggregate.cb_multi_fi"}]}, "f1: aggregation"),
        ({"task": "mnli", "doc_to_choice": "!function utils.doc_to_text"}, r"is not run \(doc_to_choice\)"),
        ({"gen_prefix": "x"}, "gen_prefix is not available"),
    ],
)
def test_what_a_task_may_not_be_is_told(change, said):
    with pytest.raises(TrainingError, match=said):
        task_checked({**BASIC, **change})


def test_a_pattern_that_runs_away_finds_nothing_and_a_vote_is_the_majority():
    step = {"function": "regex", "regex_pattern": "(x+x+)+y"}
    assert extracted(step, "x" * 5000) == "[invalid]"
    assert extracted({**step, "regex_pattern": "(a)|(b)", "group_select": -1}, "a b") == "b"
    assert extracted({**step, "regex_pattern": "a", "group_select": 3, "fallback": "none"}, "a b") == "none"
    vote = [{"function": "take_first_k", "k": 3}, {"function": "majority_vote"}, {"function": "take_first"}]
    assert filtered(vote, ["a", "b", "b", "a", "a"]) == "b"


def test_samples_differ_by_their_seeds_and_are_the_same_again(run_dir):
    task = {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "a", "repeats": 3}
    task |= {"generation_kwargs": {"until": ["?"], "do_sample": True, "temperature": 2.0, "max_gen_toks": 4}}
    vote = [{"function": "regex", "regex_pattern": r"\\w+"}, {"function": "majority_vote"}]
    rows = [{"id": n, "q": "what is the"} for n in range(6)]
    found = []
    for name in ("one", "two"):
        folder = run_dir(
            "evaluate",
            {"task": [task | {"filter_list": [{"name": "v", "filter": vote}]}], "rows": rows},
            SETTINGS,
            name=name,
        )
        assert "exact_match" in finished(folder)["metrics"]
        found.append([row["text"] for row in rows_of(folder / "scores.jsonl")])
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


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
