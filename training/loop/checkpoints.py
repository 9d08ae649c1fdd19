"""Checkpoints of a training: whole or absent, safetensors and JSON only, the last two kept."""

import json
import shutil
from pathlib import Path

from ..directory import RunDirectory, sync_directory, write_whole
from ..errors import TrainingError

KEPT = 2


def checkpoint_save(run: RunDirectory, step: int, tensors: dict, state: dict) -> None:
    """Write a checkpoint: `tensors` by name, and `state` as JSON."""
    if not run.writes:
        return
    from safetensors.torch import save_file

    folder = run.path / "checkpoints" / f"step-{step:07}"
    work = folder.with_name(f".{folder.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        save_file(tensors, work / "state.safetensors")
        write_whole(work / "state.json", json.dumps({**state, "step": step}) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)  # a full disk needs the room for a result that says so
        raise
    sync_directory(folder.parent)
    for old in _all(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    run.emit("checkpoint", step=step, path=str(folder.relative_to(run.path)))


def checkpoint_last(run: RunDirectory) -> tuple[dict, dict] | None:
    """(tensors, state) of the last checkpoint that can be read, or None."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for folder in reversed(_all(run)):
        try:
            return load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text())
        except (OSError, ValueError, SafetensorError) as error:
            run.warn(f"The checkpoint {folder.name} cannot be read ({error}); the one before it is tried.")
    return None


def checkpoint_agrees(state: dict, now: dict) -> None:
    """Raise TrainingError unless the checkpoint was made by the same run: same settings, rows and base."""
    changed = [name for name, value in now.items() if state.get(name) != value]
    if changed:
        raise TrainingError(
            "checkpoint_mismatch",
            f"{', '.join(changed)} changed since the last checkpoint, so that it cannot be resumed. "
            "Undo the change in run.json or data/, or remove checkpoints/ to begin again.",
        )


def checkpoints_remove(run: RunDirectory) -> None:
    """Once a run is completed nothing resumes from them."""
    if run.writes:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)


def _all(run: RunDirectory) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted((run.path / "checkpoints").glob("step-*"))
