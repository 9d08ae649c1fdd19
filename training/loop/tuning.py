"""What the recipes that change weights share before and after their loop: base, rows, samples, what is saved."""

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import data
from ..config import Tuning
from ..directory import RunDirectory, write_whole
from ..errors import TrainingError
from ..models import (
    BASE_MARK,
    Base,
    attach_lora,
    base_of,
    dropout_off,
    fingerprint,
    load_base,
    load_tokenizer,
    merged_base,
    readable,
    train_last_layers,
)
from ..networks.decoding import Decoding, decode, end_tokens
from ..networks.encoder_decoder import recipe_check
from ..networks.reading import is_encoder, tokens_of
from ..rewards.encoders import encoder_ready
from .checkpoints import checkpoints_remove
from .mixture import Mixture, Part, content_hash, parts_of
from .training import Objective, Training

SAMPLE_TOKENS = 96


@dataclass
class Prepared:
    """A base that is ready to be tuned, and the rows to tune it on."""

    base: Base
    path: str  # whose weights are tuned: the base, or base and adapter merged
    model: object
    tokenizer: object
    train: list
    validation: list
    identity: dict[str, str]
    whole: bool = False  # weights of the base itself are trained: a whole model is saved, no adapter
    mixture: Mixture | None = None  # where run.json names several files

    @property
    def pad(self) -> int:
        """A token for the padding; masked, so any will do."""
        token = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if token is None else token


def prepare(run: RunDirectory, spec: dict, settings: Tuning, tokenise: Callable) -> Prepared:
    """Read the rows, then load the base and make it trainable: bad rows are told before seconds go into loading.

    tokenise: `data.examples`, `data.pairs` or `data.labelled`.
    """
    base = base_of(spec)
    recipe_check(base.path, settings.recipe)
    parts = parts_of(spec, settings.recipe)
    tokenizer = load_tokenizer(base.path)
    run.check_stop()
    read = lambda name: _rows(run, base, tokenizer, settings, name, tokenise)  # noqa: E731
    train, validation = _parts_read(parts, read, settings.validation_rows)
    mixture = Mixture(parts, *([len(one) for one in those] for those in (train, validation))) if parts[0].name else None
    train, validation = ([row for part in those for row in part] for those in (train, validation))
    run.status(message=f"{len(train)} rows to train on, {len(validation)} to validate")
    run.check_stop()
    path = run.processes.main_first(lambda: merged_base(base, run))
    run.check_stop()
    quantisation = _quantisation(base, settings)
    model = encoder_ready(path, settings) if is_encoder(path) else _writer(path, settings, quantisation)
    whole = settings.method in ("full", "frozen") and any(weight.requires_grad for weight in model.parameters())
    run.check_stop()
    identity = {
        "data.train": content_hash(run.path, parts),
        "base": fingerprint(Path(path)) if Path(path).is_dir() else path,
    }
    return Prepared(base, path, model, tokenizer, train, validation, identity, whole, mixture)


def _parts_read(parts: list[Part], read: Callable[[str], list], most: int) -> tuple[list[list], list[list]]:
    """(rows to train on, rows to validate, at most `most` in all) of each part."""
    train = [
        data.need_rows(
            read(part.path), part.path, "there is nothing to train on. Freeze a dataset with at least one row."
        )
        for part in parts
    ]
    each = max(1, most // max(1, sum(part.validation is not None for part in parts)))
    return train, [read(part.validation)[:each] if part.validation else [] for part in parts]


def _writer(path: str, settings: Tuning, quantisation: str | None):
    """The causal or encoder–decoder model as `settings.method` trains it."""
    model = load_base(path, settings.precision, quantisation)
    if settings.recipe != "sft":
        dropout_off(model)
    if quantisation or settings.method == "lora":
        return attach_lora(model, settings)
    if settings.method == "frozen":
        train_last_layers(model, settings.trained_layers, head=settings.recipe != "reward")
    return model


def _quantisation(base: Base, settings: Tuning) -> str | None:
    """What the base is held in: what run.json's base says, else with qlora the setting. Raises TrainingError."""
    if base.quantisation and settings.method in ("full", "frozen"):
        message = (
            f"run.json: a base of {base.quantisation} cannot be trained itself, as method {settings.method} would. Use "
            "qlora, or leave base.quantisation out."
        )
        raise TrainingError("bad_setting", message)
    return base.quantisation or (settings.quantisation if settings.method == "qlora" else None)


def parent_copy(ready: Prepared):
    """The base as it was, to compare with where its own weights are trained: a copy of those, the others shared.

    None where an adapter is trained: the parent is the same model with the adapter off.
    """
    if not ready.whole:
        return None
    shared = {id(weight): weight for weight in ready.model.parameters() if not weight.requires_grad}
    return copy.deepcopy(ready.model, shared).requires_grad_(False).eval()


def _rows(run: RunDirectory, base: Base, tokenizer, settings: Tuning, name: str, tokenise: Callable) -> list:
    fitting = data.Fitting(settings.max_length)
    read = list(data.read_rows(run.path, name))
    made = tokenise(tokens_of(tokenizer, base.path), read, fitting)
    run.rows_fitted(name, len(read), fitting)
    if words := fitting.words(name, len(read)):
        run.warn(words)
    return made


# --- Samples ---------------------------------------------------------------------------------------------------------


def sample(
    run: RunDirectory, spec: dict, settings: Tuning, ready: Prepared, stage: str, step: int | None = None
) -> None:
    """Answer the sample prompts greedily and show them; what an earlier attempt has shown is not shown again.

    stage: before, during (after so many steps) or after.
    """
    name = spec["data"].get("samples")
    if not name or not settings.sample_count or not run.writes:
        return
    samples = [event for event in run.events() if event.get("type") == "sample"]
    shown = {event.get("id") for event in samples if (event["stage"], event.get("step")) == (stage, step)}
    rows = [(place, row) for place, row in data.read_rows(run.path, name)][: settings.sample_count]
    rows = [(place, row) for place, row in rows if row.get("id") not in shown]
    if not rows:
        return
    run.status("sampling", message=f"{len(rows)} answers {stage} the training")
    known = {"stage": stage} if step is None else {"stage": stage, "step": step}
    tokens = tokens_of(ready.tokenizer, ready.path)
    messages = [data.prompt_messages(row, place) for place, row in rows]
    ready.model.eval()
    answers = decode(
        ready.model,
        [tokens.prompt(conversation)[-settings.max_length :] for conversation in messages],
        Decoding(max_new_tokens=SAMPLE_TOKENS),
        seeds=[0] * len(rows),
        ends=end_tokens(ready.model, ready.tokenizer),
        pad=ready.pad,
        check_stop=run.check_stop,
    )
    for (_, row), conversation, answer in zip(rows, messages, answers):
        text = ready.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip()
        run.emit("sample", **known, id=row.get("id"), prompt=conversation[-1]["content"], text=text)


def trained(run: RunDirectory, spec: dict, settings: Tuning, ready: Prepared, training: Training) -> dict[str, float]:
    """Train to the end, with samples before, while and after; returns the metrics."""
    training.pause = lambda step: sample(run, spec, settings, ready, "during", step)
    if training.step == 0:
        sample(run, spec, settings, ready, "before")
    metrics = training.work()
    sample(run, spec, settings, ready, "after")
    return metrics


def tuned(
    run: RunDirectory,
    spec: dict,
    settings: Tuning,
    ready: Prepared,
    train: Objective,
    validation: Objective | None,
) -> dict:
    """Train `ready` on an objective, with samples, and save it; returns what result.json is to say."""
    training = Training(run, ready.model, train, validation, settings, ready.identity)
    metrics = trained(run, spec, settings, ready, training)
    saved = save(run, spec, settings, ready, metrics)
    checkpoints_remove(run)
    return {**saved, **training.result(), "rows": len(ready.train)}


# --- What is saved ---------------------------------------------------------------------------------------------------


def save(
    run: RunDirectory,
    spec: dict,
    settings: Tuning,
    ready: Prepared,
    metrics: dict,
    extra: Callable[[Path], None] | None = None,
) -> dict:
    """Write `adapter/`, or `model/` where the base itself was trained, with its card; returns what result.json tells.

    extra: writes what else belongs into the folder.
    """
    run.status("saving", progress=0.99, eta_seconds=None)
    name = "model" if ready.whole else "adapter"
    work, folder = run.path / f".{name}", run.path / name
    saved = {f"{name}_path": str(folder), "base_path": ready.path}
    if not run.writes:
        return saved
    shutil.rmtree(work, ignore_errors=True)
    if hasattr(ready.model, "peft_config"):
        # Only the policy's: a reward model and a critic may stand beside it.
        ready.model.save_pretrained(work, save_embedding_layers=False, selected_adapters=["default"])
    elif ready.whole:
        ready.model.save_pretrained(work)
        ready.tokenizer.save_pretrained(work)
    work.mkdir(exist_ok=True)
    if name == "adapter":
        mark = {"path": ready.path, "fingerprint": ready.identity["base"]}
        write_whole(work / BASE_MARK, json.dumps(mark, indent=2) + "\n")
    if extra:
        extra(work)
    write_whole(work / "README.md", card(spec, settings, ready, metrics))
    readable(work)
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return saved


def card(spec: dict, settings: Tuning, ready: Prepared, metrics: dict) -> str:
    """The model card: what was tuned, on what, how, and how it went."""
    title = spec.get("title") or f"{settings.recipe} of {Path(ready.path).name}"
    front = ["---", f"base_model: {json.dumps(ready.path)}", f"tags: [{settings.recipe}, {settings.method}]"]
    licence = licence_of(ready.path)
    front += [f"license: {licence}"] if licence else []
    front += ["library_name: peft", "---"] if settings.method in ("lora", "qlora") else ["---"]
    facts = {
        "Base": f"`{ready.path}`",
        "Licence of the base": licence or "not stated in its model card",
        "Adapter merged into it": f"`{ready.base.adapter}`" if ready.base.adapter else "none",
        "Recipe": f"{settings.recipe}, {settings.method}",
        "Dataset": f"`{spec.get('dataset_hash') or 'sha256 of the rows: ' + ready.identity['data.train']}`",
        "Rows": f"{len(ready.train)} to train on, {len(ready.validation)} to validate",
    }
    for part in ready.mixture.told() if ready.mixture else []:
        packed = f" in {part['pieces']} pieces" if "pieces" in part else ""
        facts[f"Part {part['name']}"] = f"{part['rows']} rows{packed}, {part['an_epoch']} drawn an epoch"
    votes = spec.get("votes")
    if isinstance(votes, dict):
        facts["Votes behind them"] = ", ".join(f"{number} {name}" for name, number in votes.items())
    return "\n".join(
        [*front, f"# {title}", "", *_table(facts), "", "## Settings", "", *_table(settings.as_dict())]
        + ["", "## Metrics", "", *_table({name: f"{value:.6g}" for name, value in metrics.items()}), ""]
    )


def licence_of(path: str) -> str | None:
    """The licence that the model card in a folder states; of a merged one, that of the base it was made from."""
    folder, merged = Path(path), Path(path) / "merged_from.json"
    if merged.is_file():
        return licence_of(json.loads(merged.read_text())["base"])
    text = (folder / "README.md").read_text(errors="replace") if (folder / "README.md").is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    stated = re.search(r"^license: *['\"]?([\w.+-]+)", front[1], re.MULTILINE) if front else None
    return stated[1] if stated else None


def _table(rows: dict) -> Iterable[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
