"""Folders of weights: is this a model, is that an adapter, and does the one fit the other?

Only headers are read: a safetensors file begins with the header's length (8 bytes, little-endian) and a JSON header
of name → {dtype, shape, data_offsets} (github.com/huggingface/safetensors, "Format"). No tensor is ever loaded.
"""

import hashlib
import re
import struct
from pathlib import Path

from feedbackhub.core.json_reading import json_read

HEADER_AT_MOST = 100 * 1024 * 1024  # the format's own limit
SAMPLE = 1024 * 1024
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
# What PEFT puts before a module's own name, and after it.
PREFIX = "base_model.model."
LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.weight)?$")


class WeightsError(ValueError):
    """What is wrong with a folder of weights, in words."""


def header_read(path: Path) -> dict[str, list[int]]:
    """Tensor name → shape, of one safetensors file. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > HEADER_AT_MOST:
                raise ValueError("its header is too long")
            header = json_read(file.read(length).decode())
        return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error}).") from error


def _config_read(path: Path) -> dict:
    try:
        config = json_read(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} does not hold an object.")
    return config


def base_check(folder: Path) -> None:
    """Raise WeightsError unless `folder` holds a model: config.json and safetensors."""
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder} on this machine.")
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} has no config.json: name the folder that save_pretrained wrote.")
    _config_read(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} has no *.safetensors: weights are read only as safetensors.")
    for file in files:
        header_read(file)


def is_encoder_decoder(folder: Path) -> bool:
    """Whether the model in `folder` is an encoder–decoder (T5, BART) by its own word; False where it cannot be read."""
    try:
        return _config_read(folder / "config.json").get("is_encoder_decoder") is True
    except WeightsError:
        return False


def adapter_check(folder: Path, *, base: str, base_is_folder: bool) -> None:
    """Raise WeightsError unless `folder` holds a PEFT adapter that fits the base (a folder, or a hub id)."""
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder} on this machine.")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} has no {name}: name the folder that PEFT's save_pretrained wrote.")
    config = _config_read(folder / "adapter_config.json")
    tensors = header_read(folder / "adapter_model.safetensors")
    if not tensors:
        raise WeightsError(f"{folder}/adapter_model.safetensors holds no tensor.")
    if base_is_folder:
        _shapes_check(tensors, _shapes(Path(base)), transposed=bool(config.get("fan_in_fan_out")), base=base)
    _origin_check(config.get("base_model_name_or_path"), base=base, base_is_folder=base_is_folder)


def _shapes(folder: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        shapes.update(header_read(file))
    return shapes


def _shapes_check(adapter: dict, base_shapes: dict, *, transposed: bool, base: str) -> None:
    """Each LoRA pair A [r, in], B [out, r] must stand beside a base weight [out, in] (PEFT, tuners/lora/layer.py)."""
    for name, shape in adapter.items():
        found = LORA.match(name.removeprefix(PREFIX))
        if not found or len(shape) != 2:
            continue
        weight = _weight_of(found["module"], base_shapes)
        if weight is None:
            raise WeightsError(f"the adapter changes {found['module']}, which the base {base} does not have.")
        rows, columns = (weight[1], weight[0]) if transposed else (weight[0], weight[1])
        if found["embedding"]:  # A [r, vocabulary], B [width, r] beside an embedding [vocabulary, width]
            rows, columns = columns, rows
        theirs, ours, what = (shape[1], columns, "inputs") if found["side"] == "A" else (shape[0], rows, "outputs")
        if theirs != ours:
            raise WeightsError(
                f"the adapter was made for another base: its {found['module']} has {theirs} {what}, "
                f"that of {base} has {ours}."
            )


def _weight_of(module: str, base_shapes: dict[str, list[int]]) -> list[int] | None:
    """The base weight's shape that a module has; an output layer tied to the embedding has the embedding's."""
    candidates = [f"{module}.weight", f"model.{module}.weight", f"{module.removeprefix('model.')}.weight"]
    if module.endswith("lm_head"):
        candidates += [name for name in base_shapes if name.endswith("embed_tokens.weight")]
    for name in candidates:
        if len(base_shapes.get(name, ())) == 2:
            return base_shapes[name]
    return None


def _origin_check(origin: object, *, base: str, base_is_folder: bool) -> None:
    """What the adapter says of its base, where this machine can check it."""
    if not isinstance(origin, str) or not origin:
        return
    folder = Path(origin)
    if base_is_folder:
        known = folder.is_absolute() and (folder / "config.json").is_file()
        if known and folder.resolve() != Path(base).resolve() and fingerprint(folder) != fingerprint(Path(base)):
            raise WeightsError(f"the adapter was trained on {origin}, whose weights are not those of {base}.")
    elif HUB_ID.match(origin) and not folder.exists() and origin.lower() != base.lower():
        raise WeightsError(f"the adapter was trained on {origin}, not on {base}.")


def fingerprint(folder: Path) -> str:
    """A digest of a folder's weights from every file's size, first and last MiB: tells bases apart in milliseconds."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(SAMPLE))
            opened.seek(max(0, size - SAMPLE))
            digest.update(opened.read(SAMPLE))
    return digest.hexdigest()
