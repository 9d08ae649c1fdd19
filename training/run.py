"""Read a run directory, run its recipe, write a result: what `python -m training run DIR` does."""

import os
import resource
import sys
import time
import traceback
from pathlib import Path

from .config import RECIPES, Tuning
from .directory import Companion, RunDirectory
from .endpoint import asks_endpoint
from .errors import Held, Stopped, TrainingError, explained
from .processes import Processes, joined, threads_give_way
from .reading import encoder_check
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
    _environment(spec)
    by_endpoint = spec["recipe"] == "generate" and asks_endpoint(spec)
    result = _recipe("generate by an endpoint" if by_endpoint else spec["recipe"])(directory, spec, settings)
    launched = {"processes": processes.count} if processes.count > 1 else {}
    return {**result, **launched, **_measures(settings)}


def settings_of(spec: dict) -> tuple[Settings, dict]:
    """The recipe's checked settings and the run's description. Raises TrainingError."""
    recipe = spec.get("recipe")
    if recipe not in RECIPES:
        message = f'run.json: recipe "{recipe}" is not available; these are: {", ".join(RECIPES)}.'
        raise TrainingError("unknown_recipe", message)
    given = spec.get("settings", {})
    if "seed" in spec and isinstance(given, dict):
        given = {"seed": spec["seed"], **given}
    settings = RECIPES[recipe].from_dict(given)
    encoder_check(recipe, spec)
    if not isinstance(spec.get("data", {}), dict):
        raise TrainingError("bad_run", "run.json: data must be an object of file names, such as data/train.jsonl.")
    return settings, spec


def _recipe(name: str):
    """The function of a recipe; imported only now, for its libraries take seconds."""
    if name == "sft":
        from .recipes.sft import sft as recipe
    elif name == "reward":
        from .recipes.reward import reward as recipe
    elif name == "score":
        from .score import score as recipe
    elif name == "dpo":
        from .recipes.dpo import dpo as recipe
    elif name == "kto":
        from .recipes.kto import kto as recipe
    elif name == "grpo":
        from .recipes.grpo import grpo as recipe
    elif name == "rloo":
        from .recipes.rloo import rloo as recipe
    elif name == "ppo":
        from .recipes.ppo import ppo as recipe
    elif name == "orpo":
        from .recipes.orpo import orpo as recipe
    elif name == "simpo":
        from .recipes.simpo import simpo as recipe
    elif name == "estimate":
        from .estimate import estimate as recipe
    elif name == "weights":
        from .spectra import weights as recipe
    elif name == "chat":
        from .chat import chat as recipe
    elif name == "export":
        from .export import export as recipe
    elif name == "generate by an endpoint":
        from .endpoint_answers import generate as recipe
    elif name == "generate":
        from .generate import generate as recipe
    else:
        from .evaluate import evaluate as recipe
    return recipe


def _environment(spec: dict) -> None:
    """No telemetry, no progress bars in the log, no network unless the base is a hub id; threads that give way."""
    used = [spec.get("base") or {}, spec.get("reward") or {}, *(spec.get("models") or {}).values()]
    threads_give_way()
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
    measures = {"peak_memory_bytes": peak_memory_bytes(), "versions": versions()}
    return {**measures, "settings": settings.as_dict()} if settings else measures


def peak_memory_bytes() -> int:
    """The most memory this process has held: of the GPU where one is used, else of the machine."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
