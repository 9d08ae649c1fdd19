"""What lm-evaluation-harness itself says of the tasks in tests/training/harness_cases.json; prints or writes them.

    python bench/harness_numbers.py MODEL_FOLDER [--write]     (needs `pip install lm_eval==0.4.13`; not a dependency)

With --write the numbers of the tests' tiny model go into the file, as `expected`.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import yaml

CASES = Path(__file__).parents[1] / "tests" / "training" / "harness_cases.json"
# The Python of the tasks that have some, as the harness has it: what stands beside their YAML.
PYTHON = {
    "hellaswag": {"utils": "lm_eval.tasks.hellaswag.utils"},
    "truthfulqa_mc2": {"utils": "lm_eval.tasks.truthfulqa.utils"},
    "mnli": {"utils": "lm_eval.tasks.glue.mnli.utils"},
    "copa": {"utils": "lm_eval.tasks.super_glue.copa.utils"},
    "cb": {"aggregate": "lm_eval.tasks.super_glue.cb.aggregate"},
}


def main() -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    arguments = argparse.ArgumentParser()
    arguments.add_argument("model")
    arguments.add_argument("--write", action="store_true")
    asked = arguments.parse_args()
    cases = json.loads(CASES.read_text())
    whole = Path(tempfile.mkdtemp())
    for name, case in cases.items():
        folder = whole / name
        folder.mkdir()
        for module, of_harness in PYTHON.get(name, {}).items():
            (folder / f"{module}.py").write_text(f"from {of_harness} import *\n")
        splits = {"test": case["rows"], **({"dev": case["fewshot"]} if case.get("fewshot") else {})}
        for split, rows in splits.items():
            (folder / f"{name}.{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = {**case["task"], "task": f"ours_{name}", "dataset_path": "json", "test_split": "test"}
        config["dataset_kwargs"] = {"data_files": {split: str(folder / f"{name}.{split}.jsonl") for split in splits}}
        if case.get("fewshot"):
            config |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
        text = re.sub(r"'(!function [\w.]+)'", r"\1", yaml.safe_dump(config))
        (folder / f"{name}.yaml").write_text(text)
    model = HFLM(asked.model, dtype="float32", device="cpu", batch_size=1, max_length=2048 if not asked.write else 256)
    found = simple_evaluate(
        model,
        tasks=[f"ours_{name}" for name in cases],
        task_manager=TaskManager(include_path=str(whole)),
        bootstrap_iters=0,
    )
    for name, case in cases.items():
        numbers = {
            key.removesuffix(",none"): value
            for key, value in found["results"][f"ours_{name}"].items()
            if isinstance(value, float | int) and "stderr" not in key and not key.startswith("sample_len")
        }
        samples = {sample["doc_id"]: sample for sample in found["samples"][f"ours_{name}"]}  # one a filter otherwise
        samples = [samples[number] for number in sorted(samples)]
        case["expected"] = numbers
        if case["task"]["output_type"] == "multiple_choice":
            case["loglikelihoods"] = [[float(one[0][0]) for one in sample["resps"]] for sample in samples]
        else:
            case["texts"] = [sample["resps"][0][0] for sample in samples]
        print(name, numbers)
    if asked.write:
        CASES.write_text(json.dumps(cases, indent=1) + "\n")
    else:
        print(json.dumps(cases))


if __name__ == "__main__":
    main()
