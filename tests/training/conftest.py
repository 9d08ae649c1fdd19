"""Run directories of every recipe on a tiny base, and processes that run them."""

import json
from pathlib import Path

import pytest
from training_cast import Process, tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def run_dir(tmp_path, tiny):
    """run_dir(recipe, {"train": rows, …}, settings, base=…) → a run directory that waits to be run."""

    def make(
        recipe: str, files: dict[str, list], settings: dict | None = None, *, base=None, name="run", **more
    ) -> Path:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        for key, rows in files.items():
            (folder / "data" / f"{key}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        spec = {
            "recipe": recipe,
            "base": {"path": str(tiny)} if base is None else base,
            "data": {key: f"data/{key}.jsonl" for key in files},
            "settings": settings or {},
            **more,
        }
        (folder / "run.json").write_text(json.dumps(spec))
        return folder

    return make


@pytest.fixture
def start():
    """start(folder, cold=False) → a running process; none outlives its test."""
    started: list[Process] = []

    def begin(folder: Path, **how: bool) -> Process:
        started.append(Process(folder, **how))
        return started[-1]

    yield begin
    for process in started:
        if process.process.is_alive():
            process.kill()
