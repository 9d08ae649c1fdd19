"""Training processes that are stand-ins: real ones, but quick (a plugin of tests/conftest.py)."""

import stat
import sys
from pathlib import Path

import pytest


@pytest.fixture
def stand_in(settings, tmp_path):
    """Whatever a supervisor starts is stand_in_trainer.py; run directories are the test's own. The settings."""
    interpreter = tmp_path / "python"
    trainer = Path(__file__).parent / "stand_in_trainer.py"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {trainer} "$@"\n')
    interpreter.chmod(interpreter.stat().st_mode | stat.S_IXUSR)
    settings.TRAINING_PYTHON = str(interpreter)
    settings.RUNS_DIR = tmp_path / "runs"
    settings.RUN_LEASE_SECONDS = 2
    return settings


@pytest.fixture
def weights(tmp_path):
    """A folder that looks like a model's to whoever reads only its headers."""
    header = b'{"model.embed_tokens.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}'
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return folder
