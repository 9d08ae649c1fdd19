"""Several files in one training, each with its weight: a mixture of tasks.

run.json's `data.mixture` is a list of `{"path", "weight"?, "name"?, "validation"?}` instead of `data.train`. An epoch
is as many rows as all parts have together; each part gives its weight's share of them, going through its rows in random
order again and again: of a part with more than its share an epoch sees some, and the next one goes on from there; a
smaller one comes again (Raffel et al. 2020, arXiv 1910.10683, section 3.5.2; without weights its "examples-proportional
mixing").
"""

import hashlib
import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from .. import data
from ..errors import TrainingError
from .order import Share, shares

NAME = re.compile(r"[\w-]{1,40}")
KEYS = {"path", "weight", "name", "validation"}


@dataclass(frozen=True)
class Part:
    """A file of rows, what is to validate beside it, and how much it counts; of a single file the name is empty."""

    path: str
    validation: str | None = None
    name: str = ""
    weight: float | None = None


@dataclass
class Mixture:
    """Parts whose rows stand one after another, in training and in validation; counts: rows of each.

    pieces: how many there are of each part, where rows are packed (packing.py); they are then what is drawn.
    """

    parts: list[Part]
    train: list[int]
    validation: list[int]
    pieces: list[int] | None = None

    @property
    def shares(self) -> tuple[Share, ...]:
        """What each part gives to an epoch."""
        counts = self.pieces or self.train
        return shares(counts, [part.weight or count for part, count in zip(self.parts, counts)])

    @property
    def names(self) -> list[str]:
        return [part.name for part in self.parts]

    def told(self) -> list[dict]:
        """What result.json says: {name, path, weight, rows, an_epoch} of each part; an_epoch: rows drawn in one, or of
        its `pieces`, where rows are packed."""
        told = [
            {"name": part.name, "path": part.path, "weight": part.weight, "rows": rows, "an_epoch": share.drawn}
            for part, rows, share in zip(self.parts, self.train, self.shares)
        ]
        return [{**one, "pieces": count} for one, count in zip(told, self.pieces)] if self.pieces else told


class PartOf:
    """Which part a row belongs to, by its number."""

    def __init__(self, names: list[str], counts: list[int]):
        self.names, self.ends = names, list(accumulate(counts))

    def __call__(self, row: int) -> str:
        return self.names[bisect_right(self.ends, row)]


def parts_of(spec: dict, recipe: str) -> list[Part]:
    """The files that run.json names to train on: those of its mixture, else data.train alone. Raises TrainingError."""
    given = spec.get("data", {})
    if "mixture" not in given:
        validation = data.data_file(spec, "validation") if given.get("validation") else None
        return [Part(data.data_file(spec, "train"), validation)]
    if recipe != "sft":
        raise _wrong(f"is for sft; {recipe} learns from one file, data.train")
    if given.get("train") or given.get("validation"):
        raise _wrong("stands instead of data.train and data.validation: put the files into its parts")
    if not isinstance(given["mixture"], list) or not given["mixture"]:
        raise _wrong('must be a list of parts such as {"path": "data/chat.jsonl", "weight": 2}')
    parts = [_part(number, one) for number, one in enumerate(given["mixture"], 1)]
    names = [part.name for part in parts]
    if twice := {name for name in names if names.count(name) > 1}:
        raise _wrong(f'has two parts called "{min(twice)}": give each a "name" of its own')
    if len({part.weight is None for part in parts}) > 1:
        raise _wrong("has weights in some parts and not in others: give all of them one, or none (as many rows)")
    return parts


def _part(number: int, given: object) -> Part:
    if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"]:
        raise _wrong(f'part {number} must be an object with a path, such as {{"path": "data/chat.jsonl", "weight": 2}}')
    if unknown := set(given) - KEYS:
        raise _wrong(f'part {number}: "{min(unknown)}" is none of {", ".join(sorted(KEYS))}')
    name, weight, validation = given.get("name", Path(given["path"]).stem), given.get("weight"), given.get("validation")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _wrong(f"part {number}: its name {name!r} must be of letters, digits, - and _, at most 40")
    number_like = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
    if weight is not None and not (number_like and weight > 0):
        raise _wrong(f"part {number}: its weight {weight!r} must be a number above 0")
    if validation is not None and not isinstance(validation, str):
        raise _wrong(f"part {number}: validation must name a file")
    return Part(given["path"], validation or None, name, weight)


def _wrong(what: str) -> TrainingError:
    return TrainingError("bad_run", f"run.json: data.mixture {what}.")


def train_files(spec: dict) -> list[str]:
    """The names of the files that are trained on, as run.json has them."""
    given = spec["data"]
    return [part["path"] for part in given["mixture"]] if "mixture" in given else [given["train"]]


def files_in(path: Path, given: dict) -> dict:
    """run.json's data with every file's name absolute, those of a mixture too."""
    found = {name: str(path / file) for name, file in given.items() if isinstance(file, str)}
    if "mixture" not in given:
        return found
    parts = given["mixture"] if isinstance(given["mixture"], list) else []
    keys = ("path", "validation")
    absolute = [
        {key: str(path / value) if key in keys and isinstance(value, str) else value for key, value in part.items()}
        for part in parts
        if isinstance(part, dict)
    ]
    return {**found, "mixture": absolute}


def content_hash(path: Path, parts: list[Part]) -> str:
    """SHA-256 of what is trained on: of the file, or of the parts' names, weights and files."""
    hashes = [hashlib.sha256((path / part.path).read_bytes()).hexdigest() for part in parts]
    if len(parts) == 1 and not parts[0].name:
        return hashes[0]
    about = [[part.name, part.weight, found] for part, found in zip(parts, hashes)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
