import shutil
import stat
import sys
from pathlib import Path

import pytest
from supervised import ROOT, Up

WEIGHTS_HEADER = b'{"model.embed_tokens.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}'


def _stand_in_base(folder: Path) -> None:
    """What stands where the embedded base model would: a model to whoever reads only its headers."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    header = len(WEIGHTS_HEADER).to_bytes(8, "little") + WEIGHTS_HEADER
    (folder / "model.safetensors").write_bytes(header + bytes(4))
    (folder / "SOURCE.json").write_text("{}")


def pytest_collection_modifyitems(items):
    for item in items:
        if {"up", "lived_in"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("own_site")


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory) -> Path:
    """A home that was started once: migrated, with the demo project, stopped in good order."""
    home = tmp_path_factory.mktemp("lived-in")
    _stand_in_base(home / "models" / "smollm2-135m")
    up = Up(home)
    try:
        up.ready()
        up.process.terminate()
        code, said = up.ended()
        assert code == 0, said
    finally:
        up.clean_up()
    return home


@pytest.fixture
def up(lived_in, tmp_path):
    """up(**environment): a supervisor on a home that was started before; started by .start() or .ready()."""
    made = []

    def make(home: Path | None = None, **environment: str) -> Up:
        if home is None:
            home = tmp_path / "home"
            shutil.copytree(lived_in, home)
            (home / "up.log").unlink()
        made.append(Up(home, **environment))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def stand_in_training(tmp_path) -> dict[str, str]:
    """The environment in which workers start the stand-in trainer, and know its job."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/stand_in_trainer.py "$@"\n')
    interpreter.chmod(interpreter.stat().st_mode | stat.S_IXUSR)
    return {
        "TRAINING_PYTHON": str(interpreter),
        "PYTHONPATH": str(ROOT / "tests" / "runs"),
        "RUN_LEASE_SECONDS": "3",
    }
