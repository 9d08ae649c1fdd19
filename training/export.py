"""The recipe export: a tuned model in one piece, as other programs load it; merged weights, or a GGUF file."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from .config import ExportSettings
from .directory import RunDirectory, sync_directory, write_whole
from .errors import TrainingError
from .gguf_export import converter_check, gguf_export
from .loop.tuning import licence_of
from .models import Base, base_of, merge_into, readable
from .rewards.reward_model import HEADS

# What is written into the run directory.
NAMES = {"merged": "merged", "gguf": "model.gguf"}
WORK = ".export"
AT_ONCE = 1 << 20
MERGED = "Base and adapter, merged into one model in 16 bits."


def export(run: RunDirectory, spec: dict, settings: ExportSettings) -> dict:
    """Run the recipe; returns what result.json is to say: path, bytes, sha256 (and files, of a folder).

    run.json's `base` is the model. merged: `merged/`, base and adapter as safetensors with tokenizer and card. gguf:
    `model.gguf`; an adapter is merged first. What is made appears whole or not at all: it is written into `.export/`,
    which an attempt that was killed may leave, and the next one removes. sha256 of a folder is that of the lines that
    sha256sum prints of its files, in the order of their names.
    Raises TrainingError (`bad_run`, `base_missing`, `adapter_…`, `no_converter`, `disk_full`).
    """
    base = base_of(spec)
    _check(base, settings.format)
    out, work = run.path / NAMES[settings.format], run.path / WORK
    _remove(out)
    _remove(work)
    _room_check(run.path, base, settings.format)
    work.mkdir()
    try:
        made = _made(run, base, settings.format, work, str(spec.get("title") or ""))
        run.check_stop()
        run.status("saving", progress=0.9)
        files = [{"name": name, "bytes": size, "sha256": digest} for name, size, digest in _digests(made)]
        made.rename(out)
        sync_directory(run.path)
    finally:
        _remove(work)
    lines = "".join(f"{file['sha256']}  {file['name']}\n" for file in files)
    whole = {"sha256": hashlib.sha256(lines.encode()).hexdigest(), "files": files}
    told = whole if out.is_dir() else {"sha256": files[0]["sha256"]}
    return {"steps": 0, "path": str(out), "bytes": sum(file["bytes"] for file in files), **told, "metrics": {}}


def _made(run: RunDirectory, base: Base, format: str, work: Path, title: str) -> Path:
    """The folder or file, in `work`."""
    folder = Path(base.path)
    if base.adapter:
        run.check_stop()
        run.status("merging", progress=0.1, message=f"{base.adapter} into {base.path}")
        folder = work / "merged"
        merge_into(base.path, base.adapter, folder)
        write_whole(folder / "README.md", merged_card(base))
        readable(folder)
    if format == "merged":
        return folder
    run.check_stop()
    run.status("converting", progress=0.6 if base.adapter else 0.1)
    file = work / NAMES["gguf"]
    gguf_export(folder, file, name=title or folder.name)
    return file


def _check(base: Base, format: str) -> None:
    """Raise TrainingError where the model cannot be written so, as far as that shows without loading it."""
    given = [folder for folder in (base.adapter, Path(base.path)) if folder and (folder / HEADS).is_file()]
    if given:
        message = f"{given[0]} is a reward model: its heads have no place in what other programs load. Name a policy."
        raise TrainingError("bad_run", message)
    if format == "merged" and not base.adapter:
        message = f"{base.path} is whole already: without base.adapter there is nothing to merge into it."
        raise TrainingError("bad_run", message)
    if format == "gguf" and base.is_folder:
        converter_check(Path(base.path))
    elif format == "gguf" and not base.adapter:
        message = f"{base.path} is no folder on this machine. Name the folder of a model to write it as GGUF."
        raise TrainingError("base_missing", message)


def _room_check(place: Path, base: Base, format: str) -> None:
    """Raise TrainingError (`disk_full`) unless the disk has room for the weights, of which GGUF of an adapter has two.

    Of a hub id the size is not known here; a disk that fills up later ends the run with the same words.
    """
    if not base.is_folder:
        return
    weights = sum(path.stat().st_size for path in Path(base.path).glob("*.safetensors"))
    needed = weights * (2 if format == "gguf" and base.adapter else 1)
    free = shutil.disk_usage(place).free
    if free < needed:
        message = (
            f"{needed / 1e9:.2f} GB are needed, and the disk that holds {place} has {free / 1e9:.2f} GB left. "
            "Make room on it, then resume."
        )
        raise TrainingError("disk_full", message)


def merged_card(base: Base) -> str:
    """The adapter's model card, said of the merged model: no adapter of PEFT's any more, and how it came about.

    An adapter without a card gets one of its base and its licence.
    """
    path = base.adapter / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    lines = front[1].splitlines() if front else [f"base_model: {json.dumps(base.path)}"]
    lines = [line for line in lines if not line.startswith("library_name:")]
    licence = licence_of(base.path)
    if licence and not any(line.startswith("license:") for line in lines):
        lines.append(f"license: {licence}")
    text = text[front.end() :] if front else text or f"# {Path(base.path).name}, tuned\n"
    text = text.replace("| Adapter merged into it | none |\n", "")  # said of the base that the adapter belongs to
    heading = re.search(r"^# .*\n", text, re.MULTILINE)
    at = heading.end() if heading else 0
    said = f"{text[:at]}\n{MERGED}\n{'' if text[at:].startswith(chr(10)) else chr(10)}{text[at:]}"
    return "\n".join(["---", *lines, "library_name: transformers", "---", said])


def _digests(made: Path) -> Iterable[tuple[str, int, str]]:
    """(name, bytes, SHA-256) of the file, or of each in the folder by name; all of them are on the disk then."""
    inside = sorted(path for path in made.rglob("*") if path.is_file()) if made.is_dir() else [made]
    for path in inside:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            os.fsync(file.fileno())
            while chunk := file.read(AT_ONCE):
                digest.update(chunk)
        name = path.relative_to(made).as_posix() if made.is_dir() else path.name
        yield name, path.stat().st_size, digest.hexdigest()


def _remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
