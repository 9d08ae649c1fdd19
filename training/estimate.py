"""Memory and time of a run on the device at hand, before it is launched: a rehearsal that is measured.

The recipe itself is run up to its first step, in a directory of nobody's, with the run's own rows, base and settings.
Then a few micro-batches are computed for real, from the shortest to the longest of the run's own first epoch, and one
step of the optimiser, one batch of the validation rows, some tokens of a sample, one checkpoint. What the whole run
takes follows from these and from the lengths of all its rows: time is interpolated between the micro-batches that were
measured, memory is that of the longest one. Nothing of it is kept.

How near it comes to real runs is in docs/rounds.md.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic as clock

from .config import Tuning
from .directory import RunDirectory
from .errors import TrainingError
from .estimates.rehearsal import Reached, Rehearsal
from .estimates.words import words
from .kinds import function_of, settings_of
from .loop.mixture import files_in

SECONDS = 30.0  # spent on micro-batches, unless more are asked for


def estimate(run: RunDirectory, spec: dict, settings) -> dict:
    """The recipe `estimate`: what the run described by run.json's `of` would need; in result.json as `estimate`.

    of: {recipe, settings, seed?} of a tuning. base, data: as that tuning would have them.
    """
    run.status("estimating", message="a rehearsal of a few micro-batches")
    of = spec.get("of")
    if not isinstance(of, dict):
        raise TrainingError("bad_run", "run.json: of must be an object with the recipe and the settings to estimate.")
    known = {name: value for name, value in spec.items() if name not in ("recipe", "settings", "of", "seed")}
    found = estimate_of(run.path, {**known, **of}, seconds=settings.seconds, check_stop=run.check_stop)
    for line in words(found):
        run.log(line)
    return {"estimate": found, "metrics": {}, "steps": 0, "rows": found["rows"]["used"]}


def estimate_of(
    path: Path, spec: dict, *, seconds: float = SECONDS, check_stop: Callable[[], None] = lambda: None
) -> dict:
    """What the run of `spec` in the directory `path` would need (the shape is in docs/training.md).

    Raises TrainingError: whatever would fail the run before its first step, or `no_estimate` for what is no tuning.
    """
    started = clock()
    settings, spec = settings_of(spec)
    if not isinstance(settings, Tuning):
        raise TrainingError("no_estimate", f"{spec['recipe']} tunes nothing: only a tuning's needs can be estimated.")
    files = files_in(path.absolute(), spec.get("data", {}))
    with tempfile.TemporaryDirectory(prefix="estimate-") as work:
        rehearsal = Rehearsal(Path(work))
        quiet = dataclasses.replace(settings, sample_count=0)
        try:
            function_of(spec["recipe"])(rehearsal, {**spec, "data": files}, quiet)
        except Reached as reached:
            loading = clock() - started
            measuring = _measuring(reached.training)
            found = measuring(rehearsal, reached.training, {**spec, "data": files}, settings, check_stop)
            return found.all(loading, seconds)
    raise TrainingError("no_estimate", f"The recipe {spec['recipe']} came to its end without a step.")


def _measuring(training):
    """How to measure this training; imported only now, for its libraries take seconds."""
    from .estimates.measuring import Measuring
    from .estimates.online import MeasuringRollouts
    from .online.loop import OnlineTraining

    return MeasuringRollouts if isinstance(training, OnlineTraining) else Measuring
