"""The real battles and their reference values."""

import gzip
import json
from dataclasses import dataclass

import numpy as np
import pytest

OUTCOMES = {"model_a": 1.0, "tie": 0.5, "model_b": 0.0}


@dataclass
class Battles:
    rows: list[dict]
    models: list[str]
    a: np.ndarray
    b: np.ndarray
    outcome: np.ndarray
    reference: dict

    def column(self, name):
        return np.array([row[name] for row in self.rows])


@pytest.fixture
def lines(data_dir):
    def read(name):
        path = data_dir / name
        assert path.is_file(), f"{path} is missing: FEEDBACKHUB_DATA must name the folder with the real data"
        with gzip.open(path, "rt") if name.endswith(".gz") else path.open() as file:
            return [json.loads(line) for line in file]

    return read


@pytest.fixture
def reference(data_dir):
    return json.loads((data_dir / "reference_values.json").read_text())


@pytest.fixture
def battles(lines, reference):
    def read(name):
        rows = lines(name)
        models = sorted({row[side] for row in rows for side in ("model_a", "model_b")})
        index = {model: place for place, model in enumerate(models)}
        a, b = (np.array([index[row[side]] for row in rows]) for side in ("model_a", "model_b"))
        return Battles(rows, models, a, b, np.array([OUTCOMES[row["winner"]] for row in rows]), reference[name])

    return read
