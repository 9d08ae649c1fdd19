"""Answers and scores that were computed before, by the weights that computed them: the same is not computed twice."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ..directory import RunDirectory, to_json
from ..models import Base, fingerprint

FILE = "computed.sqlite3"
AT_ONCE = 500
# What changes the numbers that an adapter's folder gives; its model card does not.
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json", "reward_heads.safetensors", "reward.json")


def weights_key(base: Base) -> str | None:
    """What tells these weights from all others: the base's fingerprint and the adapter's content.

    None for a hub id, whose weights may be others tomorrow: nothing of it is kept.
    """
    if not base.is_folder:
        return None
    digest = hashlib.sha256(fingerprint(Path(base.path)).encode())
    for name in ADAPTER_FILES if base.adapter else ():
        if (path := base.adapter / name).is_file():
            digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Reuse:
    """A store in run.json's `cache` folder, which runs share; without one, or when it fails, nothing is reused.

    asked and found count over the life of the run, so that its result can say how many were reused.
    """

    def __init__(self, run: RunDirectory, spec: dict):
        self.run = run
        self.folder = Path(spec["cache"]).absolute() if isinstance(spec.get("cache"), str) else None
        self.asked = self.found = 0

    def keys(self, base: Base, what: str, settings: dict, inputs: Iterable) -> list[str] | None:
        """A key for each input; None when nothing may be kept of these weights."""
        weights = weights_key(base) if self.folder else None
        if weights is None:
            return None
        start = hashlib.sha256(json.dumps([weights, what, settings], sort_keys=True).encode())
        found = []
        for given in inputs:
            digest = start.copy()
            digest.update(json.dumps(given).encode())
            found.append(digest.hexdigest())
        return found

    def known(self, keys: list[str] | None, count: int) -> dict[int, object]:
        """{number of the input: its value} of those that are there."""
        self.asked += count
        if keys is None:
            return {}
        values: dict[str, object] = {}
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._do(f"SELECT key, value FROM computed WHERE key IN ({marks})", part)
            values |= {key: json.loads(value) for key, value in rows}
        found = {number: values[key] for number, key in enumerate(keys) if key in values}
        self.found += len(found)
        return found

    def keep(self, keys: list[str] | None, values: dict[int, object]) -> None:
        """Keep what was computed, by the inputs' numbers."""
        if keys is not None and values:
            rows = [(keys[number], to_json(value)) for number, value in values.items()]
            self._do("INSERT OR IGNORE INTO computed VALUES (?, ?)", rows, many=True)

    def told(self) -> dict:
        """What result.json says of it."""
        return {"reuse": {"asked": self.asked, "reused": self.found}}

    def _do(self, statement: str, values: list, *, many: bool = False) -> list:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.folder / FILE, timeout=30)) as store, store:
                store.execute("PRAGMA journal_mode=WAL")
                store.execute("CREATE TABLE IF NOT EXISTS computed (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
                return (
                    store.executemany(statement, values).fetchall() if many else list(store.execute(statement, values))
                )
        except (sqlite3.Error, OSError) as error:
            self.run.warn(f"What was computed before cannot be reused ({error}): all is computed anew.")
            return []
