"""The command line, and the schema that the site reads."""

import json
import os
import re
import subprocess
import sys

from training_cast import ROOT, echo_rows, finished

from training.command import main
from training.config import RECIPES, schema
from training.setting import Settings


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def test_help_teaches_and_loads_no_training_library():
    shown = python("-X", "importtime", "-m", "training", "run", "--help")
    assert shown.returncode == 0
    for taught in ("recipes", "sft", "dpo", "generate", "evaluate", "run.json", "SIGTERM", "exit codes", "3 another"):
        assert taught in shown.stdout
    loaded = {line.rsplit("|", 1)[-1].strip() for line in shown.stderr.splitlines() if "|" in line}
    assert "training.command" in loaded
    heavy = ("torch", "transformers", "peft", "trl", "numpy", "django", "feedbackhub")
    assert not {name for name in loaded if name.split(".")[0] in heavy}


def test_the_committed_schema_is_the_one_of_the_dataclasses(capsys):
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    committed = (ROOT / "training" / "schema.json").read_text()
    assert committed == printed, "run: python -m training schema > training/schema.json"
    assert json.loads(printed) == schema()


def test_every_setting_says_what_it_is_and_its_default_is_allowed():
    for recipe, kind in RECIPES.items():
        assert issubclass(kind, Settings)
        for name, rule in schema()[recipe]["settings"].items():
            assert rule["help"].endswith("."), name
            assert kind.from_dict({name: rule["default"]}) == kind()
    wanted = {"method", "max_steps", "epochs", "learning_rate", "batch_size", "gradient_accumulation", "max_length"}
    wanted |= {"lora_r", "lora_alpha", "lora_dropout", "seed"}
    for recipe in ("sft", "dpo"):
        assert wanted <= set(schema()[recipe]["settings"])
    assert {"beta", "loss"} <= set(schema()["dpo"]["settings"])


def test_no_secret_or_network_is_needed(run_dir):
    """The run works with an unreachable hub, for nothing asks it."""
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 1})
    done = python("-m", "training", "run", str(folder), HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr


def test_the_log_has_each_line_once_and_nothing_else_when_stderr_is_the_log(run_dir):
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 1})
    with (folder / "log.txt").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "training", "run", str(folder)], cwd=ROOT, stdout=log, stderr=log, check=True
        )
    lines = (folder / "log.txt").read_text().splitlines()
    assert sum("sft, attempt 1" in line for line in lines) == 1
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line)] == []


def test_libraries_do_not_ask_the_log_for_code_from_a_hub():
    """bitsandbytes does, but only on processors with AVX512-BF16: here its own words, wherever the test runs."""
    program = """
import logging
from training.run import environment_set
environment_set({})
log = logging.getLogger("bitsandbytes.backends.cpu.ops")
log.warning("Failed to load CPU gemm_4bit_forward from kernels-community: No module named 'kernels'.")
log.error("what matters is said")
"""
    assert python("-c", program).stderr == "what matters is said\n"


def test_merging_is_a_command_of_its_own(run_dir, tiny, tmp_path, capsys):
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 2})
    finished(folder)
    out = tmp_path / "merged"
    assert main(["merge", str(tiny), str(folder / "adapter"), str(out)]) == 0
    assert (out / "model.safetensors").stat().st_size < 1.1 * (tiny / "model.safetensors").stat().st_size
    assert main(["merge", str(tiny), str(folder / "adapter"), str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "no"), str(folder / "adapter"), str(tmp_path / "x")]) == 1
    assert main(["merge", str(tiny), str(tmp_path / "no"), str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()
