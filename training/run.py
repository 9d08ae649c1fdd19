"""Read a run directory, run its recipe, write a result: what `python -m training run DIR` does."""

import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

from .config import Tuning
from .device import memory_peak
from .directory import Companion, RunDirectory
from .endpoint import asks_endpoint
from .errors import Held, Stopped, TrainingError, explained
from .kinds import BY_AN_ENDPOINT, function_of, settings_of
from .processes import Processes, joined, threads_give_way
from .setting import Settings

COMPLETED, FAILED, HELD = 0, 1, 3


def run(path: Path) -> int:
    """Bring the run in `path` to completed, stopped or failed. Returns the exit code: 0, 1, or 3 when it is held."""
    if not path.is_dir():
        print(f"{path} is no directory. Name a run directory; docs/training.md shows one.", file=sys.stderr)
        return FAILED
    with joined() as processes:
        return _run(path, processes)


def _run(path: Path, processes: Processes) -> int:
    """What `run` does, in each of its processes."""
    directory = RunDirectory(path) if processes.main else Companion(path)
    directory.processes = processes
    with directory.signals_watched():
        try:
            processes.together(directory.hold)
        except Held:
            if processes.main:
                print(f"Another process holds {path} (see {path / 'lock'}); nothing was done.", file=sys.stderr)
            return HELD
        try:
            return _held(directory)
        finally:
            directory.release()


def _held(directory: RunDirectory) -> int:
    """One attempt in a directory that is ours, from the look at an earlier result to the new one."""
    if (directory.result() or {}).get("status") == "completed":
        if directory.writes:
            print(f"{directory.path} is completed already; nothing was done.", file=sys.stderr)
        return COMPLETED
    if directory.writes:
        (directory.path / "result.json").unlink(missing_ok=True)
    started = time.monotonic()
    result, code = _attempt(directory)
    result = {**result, "attempt": directory.attempt, "seconds": round(time.monotonic() - started, 3)}
    try:
        _close(directory, result)
    except OSError as error:
        print(f"result.json could not be written in {directory.path}: {error}", file=sys.stderr)
        return FAILED
    return code


def _attempt(directory: RunDirectory) -> tuple[dict, int]:
    """(result, exit code) of one attempt, whatever happens in it."""
    try:
        result = directory.processes.together(lambda: _work(directory))[directory.processes.rank]
        return {"status": "completed", **result}, COMPLETED
    except Stopped:
        return {"status": "stopped", **_measures()}, COMPLETED
    except TrainingError as error:
        return _failure(directory, error.kind, error.message), FAILED
    except KeyboardInterrupt:
        return _failure(directory, "interrupted", "Interrupted by a second Ctrl-C; run it again to resume."), FAILED
    except BaseException as error:
        kind, message = explained(error)
        directory.log(traceback.format_exc())
        return _failure(directory, kind, message), FAILED


def _work(directory: RunDirectory) -> dict:
    """Run the recipe; returns what result.json is to say."""
    settings, spec = settings_of(directory.spec())
    processes = directory.processes
    if processes.count > 1 and not isinstance(settings, Tuning):
        message = f"{spec['recipe']} runs in one process; {processes.count} were launched. Run it without a launcher."
        raise TrainingError("bad_run", message)
    directory.status("loading", message=f"{spec['recipe']}, attempt {directory.attempt}")
    environment_set(spec)
    by_endpoint = spec["recipe"] == "generate" and asks_endpoint(spec)
    result = function_of(BY_AN_ENDPOINT if by_endpoint else spec["recipe"])(directory, spec, settings)
    launched = {"processes": processes.count} if processes.count > 1 else {}
    return {**result, **launched, **_measures(settings)}


def environment_set(spec: dict) -> None:
    """No telemetry, no progress bars in the log, no network unless the base is a hub id; threads that give way."""
    used = [spec.get("base") or {}, spec.get("reward") or {}, *(spec.get("models") or {}).values()]
    threads_give_way()
    # What PEFT asks of transformers is nothing that a reader of the log could mend.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    # On processors with AVX512-BF16 it misses code that it would fetch from a hub and run; nothing here wants that.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if all(not isinstance(base, dict) or Path(str(base.get("path"))).is_dir() or "path" not in base for base in used):
        os.environ["HF_HUB_OFFLINE"] = "1"


def _failure(directory: RunDirectory, kind: str, message: str) -> dict:
    return {"status": "failed", "error": {"kind": kind, "message": message}, **_measures()}


def _measures(settings: Settings | None = None) -> dict:
    """What every result tells: peak memory, versions, settings."""
    measures = {"peak_memory_bytes": memory_peak(), "versions": versions()}
    return {**measures, "settings": settings.as_dict()} if settings else measures


def versions() -> dict:
    """Versions of Python and of the libraries that were used."""
    used = {name: sys.modules.get(name) for name in ("torch", "transformers", "peft", "rouge_score", "sacrebleu")}
    found = {name: getattr(module, "__version__", "") for name, module in used.items() if module is not None}
    return {"python": sys.version.split()[0], **found}


def _close(directory: RunDirectory, result: dict) -> None:
    """The last event, then result.json."""
    last = {"status": result["status"], "eta_seconds": None}
    if result["status"] == "completed":
        last["progress"] = 1.0
    error = result.get("error")
    directory.status(message=f"failed ({error['kind']}): {error['message']}" if error else result["status"], **last)
    directory.finish(result)
