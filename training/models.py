"""Loading a base, attaching an adapter or a fresh LoRA, merging; what fits what. Safetensors only, no remote code."""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from .device import device_and_dtype
from .directory import RunDirectory, write_whole
from .errors import TrainingError
from .networks.encoder_decoder import seq2seq_config

# Beside an adapter: the fingerprint of the weights that it was trained on.
BASE_MARK = "base.json"
QUANTISATIONS = ("nf4", "int8")
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")  # Llama and most, GPT-2, OPT, Phi
QUERY_VALUE = {"q", "v", "q_proj", "v_proj", "query", "value", "q_lin", "v_lin"}  # T5, Llama and BART, BERT, DistilBERT
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Base:
    """Whose weights are used: a folder (absolute) or a hub id, and at most one adapter that belongs to it.

    quantisation: nf4 or int8, when the weights are to be held in so few bits.
    """

    path: str
    adapter: Path | None = None
    merged_cache: Path | None = None
    quantisation: str | None = None

    @property
    def is_folder(self) -> bool:
        return os.path.isabs(self.path)


def base_of(spec: dict) -> Base:
    """run.json's `base`, checked as far as that goes without loading it. Raises TrainingError."""
    given = spec.get("base")
    if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"].strip():
        raise TrainingError("bad_run", 'run.json: base must be an object such as {"path": "models/smollm2-135m"}.')
    quantisation = given.get("quantisation") or None
    if quantisation not in (None, *QUANTISATIONS):
        message = (
            f'run.json: base.quantisation "{quantisation}" is none of {", ".join(QUANTISATIONS)}; or leave it out.'
        )
        raise TrainingError("bad_setting", message)
    path = base_path(given["path"])
    adapter = Path(given["adapter"]).absolute() if given.get("adapter") else None
    if adapter:
        adapter_check(adapter)
    cache = Path(given["merged_cache"]).absolute() if given.get("merged_cache") else None
    return Base(path, adapter, cache, quantisation)


def base_path(path: str) -> str:
    """An existing model folder, absolute, or a hub id as it is. Raises TrainingError (`base_missing`)."""
    folder = Path(path).absolute()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            message = f"The base {folder} has no config.json: it is no model folder. Name the folder that holds one."
            raise TrainingError("base_missing", message)
        if not any(folder.glob("*.safetensors")):
            message = f"The base {folder} holds no .safetensors file; other formats are not read. Convert it first."
            raise TrainingError("base_missing", message)
        return str(folder)
    if HUB_ID.fullmatch(path):
        return path
    message = f"The base {path} is no folder on this machine and no hub id (owner/name). Check base.path in run.json."
    raise TrainingError("base_missing", message)


# --- Loading ---------------------------------------------------------------------------------------------------------


def load_tokenizer(path: str):
    """The tokenizer of a folder or hub id. Raises TrainingError (`base_missing`)."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise TrainingError("base_missing", f"No tokenizer could be read from {path}: {_first_line(error)}") from error


def load_base(path: str, precision: str = "auto", quantisation: str | None = None):
    """The model of a folder or hub id, causal or encoder–decoder, in evaluation mode.

    Raises TrainingError (`base_missing`).

    quantisation: nf4 (4 bits, double quantisation) or int8; the products are still in `precision`.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils.logging import disable_progress_bar

    from .networks.attention import short_rows_attention

    disable_progress_bar()
    device, dtype = device_and_dtype(precision)
    asked = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    if quantisation:
        # Such a model cannot be moved once it is loaded.
        asked |= {"quantization_config": _quantised(quantisation, dtype), "device_map": {"": device}}
    try:
        kind = AutoModelForSeq2SeqLM if seq2seq_config(path) else AutoModelForCausalLM
        model = kind.from_pretrained(path, **asked)
    except (OSError, ValueError) as error:
        message = f"The base {path} could not be loaded: {_first_line(error)}"
        raise TrainingError("base_missing", message) from error
    if quantisation:
        _slow_but_right(model)
    else:
        model = model.to(device)
    short_rows_attention(model)
    return model.eval()


def _quantised(quantisation: str, dtype):
    """How bitsandbytes is to hold the weights. Raises TrainingError (`bad_setting`) where it cannot."""
    from transformers import BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401 – tells early where it does not run
    except (ImportError, OSError, RuntimeError) as error:
        message = (
            f"{quantisation} needs the package bitsandbytes, which does not run here ({_first_line(error)}). It "
            "does on Linux and Windows with an x86-64 or ARM processor and on most GPUs; or use lora."
        )
        raise TrainingError("bad_setting", message) from error
    # It says at each layer that int8 computes in fp16 inside.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    if quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _slow_but_right(model) -> None:
    """Keep 4-bit layers from repacking themselves in a forward without gradients.

    On a CPU with AVX512-BF16 bitsandbytes 0.50 does so, and its kernel for packed weights has no right backward: after
    an evaluation the gradients pointed elsewhere (cosine 0.18), without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def load_policy(base: Base, precision: str = "auto", *, merge: bool = False):
    """The base with its adapter (if any): beside it, so that it can be switched off, or merged into the weights.

    Merged it writes answers 2.5 times as fast on a CPU; the weights are rounded once more. Into quantised weights
    nothing is merged (logits off by 2).
    """
    model = load_base(base.path, precision, base.quantisation)
    if not base.adapter:
        return model
    return merged(model, base) if merge and not base.quantisation else attach_adapter(model, base)


def merged(model, base: Base):
    """The model with the base's adapter added to its weights: summed in fp32, rounded once."""
    from peft import PeftModel

    fits(model, base)
    return PeftModel.from_pretrained(model, base.adapter).merge_and_unload().eval()


def attach_adapter(model, base: Base):
    """The model with the base's adapter attached, in the model's own number format. Raises TrainingError."""
    from peft import PeftModel

    from .networks.lora import quickened

    fits(model, base)
    # autocast_adapter_dtype would make the adapter fp32, and its products slow and unlike those in training.
    return quickened(PeftModel.from_pretrained(model, base.adapter, autocast_adapter_dtype=False).eval())


def attach_lora(model, settings):
    """The model with a fresh LoRA where settings.lora_targets and lora_layers say; only the LoRA can be trained.

    The start is drawn from settings.seed. B is zero, so that the model answers as before.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from .networks.lora import quickened

    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        **lora_places(model, settings),
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        use_rslora=settings.lora_variant == "rslora",
        use_dora=settings.lora_variant == "dora",
    )
    return quickened(get_peft_model(model, config, autocast_adapter_dtype=False))


def lora_places(model, settings) -> dict:
    """LoraConfig's arguments for what the settings want an adapter on: which linear layers, of which of its layers."""
    import torch
    from transformers.pytorch_utils import Conv1D

    targets = lora_targets(model, settings.lora_targets)
    if settings.lora_layers is None:
        return {"target_modules": targets}
    pattern, stack = _stack(model)
    if targets == "all-linear":
        linear = (torch.nn.Linear, Conv1D)
        targets = sorted({name.split(".")[-1] for name, part in stack.named_modules() if isinstance(part, linear)})
    last = range(max(0, len(stack) - settings.lora_layers), len(stack))
    return {"target_modules": targets, "layers_to_transform": list(last), "layers_pattern": pattern}


def _stack(model) -> tuple:
    """(name, list) of a model's layers: the longest list of its decoder."""
    import torch

    decoder = model.get_decoder()
    found = [(name, part) for name, part in decoder.named_children() if isinstance(part, torch.nn.ModuleList)]
    return max(found, key=lambda named: len(named[1]))


def lora_targets(model, wanted: str) -> str | list[str]:
    """What PEFT is to put a LoRA on: all linear layers but the head, or those of queries and values.

    auto: an encoder–decoder has it on queries and values (Hu et al. 2021, section 4.2), any other on all. Raises
    TrainingError (`bad_setting`) where no layer has such a name.
    """
    if wanted == "all-linear" or (wanted == "auto" and not model.config.is_encoder_decoder):
        return "all-linear"
    found = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if hasattr(module, "out_features")}
    targets = sorted(found & QUERY_VALUE)
    if not targets:
        message = "lora_targets: no layer of this base is called a query or a value; use all-linear."
        raise TrainingError("bad_setting", message)
    return targets


def train_last_layers(model, layers: int, *, head: bool) -> None:
    """Freeze the model but for its last `layers` and the norm that follows; with 0 layers (and `head`) its head.

    A head that shares its weights with the embedding gets its own copy, else the embedding would be trained too.
    """
    import torch

    model.requires_grad_(False)
    if layers:
        decoder = model.get_decoder()
        for layer in _stack(model)[1][-layers:]:
            layer.requires_grad_(True)
        for name in FINAL_NORMS:
            if hasattr(decoder, name):
                getattr(decoder, name).requires_grad_(True)
    elif head:
        output = model.get_output_embeddings()
        output.weight = torch.nn.Parameter(output.weight.detach().clone())
        if not model.config.is_encoder_decoder:  # its two embeddings stay tied; a head with other values is not
            model.config.tie_word_embeddings = False


def dropout_off(model) -> None:
    """Take away the dropout that a model comes with (T5, BART, GPT-2); an adapter's own is put on later and stays.

    Where a policy is compared with its parent both must compute alike: with dropout in one of them the first loss of
    DPO is not ln 2.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def checkpointing_on(model) -> None:
    """Compute activations again in the backward pass instead of keeping them."""
    policy = getattr(model, "policy", model)
    policy.activation_checkpointing_enable({"use_reentrant": False})


# --- What fits what --------------------------------------------------------------------------------------------------


def adapter_check(adapter: Path) -> None:
    """Raise TrainingError (`adapter_missing`) unless the folder holds a LoRA adapter in safetensors."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise TrainingError(
                "adapter_missing", f"The adapter {adapter} has no {name}. Check base.adapter in run.json."
            )
    try:
        kind = json.loads((adapter / "adapter_config.json").read_text()).get("peft_type")
    except (ValueError, AttributeError) as error:
        message = f"{adapter / 'adapter_config.json'} is not an adapter's configuration: {error}."
        raise TrainingError("adapter_missing", message) from None
    if kind != "LORA":
        raise TrainingError("adapter_missing", f"The adapter {adapter} is of type {kind}; only LORA can be used.")


def adapter_tensors(adapter: Path) -> dict[str, list[int]]:
    """Name → shape of all that the adapter holds."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 – no mapping


def adapter_shapes(adapter: Path) -> dict[str, tuple[int, int]]:
    """Module name in the base → (out, in) of the weight that the adapter adds to."""
    shapes: dict[str, list] = {}
    for name, shape in adapter_tensors(adapter).items():
        if found := re.fullmatch(r"base_model\.model\.(.+)\.lora_(A|B)\.weight", name):
            place = 0 if found[2] == "B" else 1
            shapes.setdefault(found[1], [0, 0])[place] = shape[place]
    return {module: tuple(shape) for module, shape in shapes.items()}


def fits(model, base: Base) -> None:
    """Raise TrainingError (`adapter_mismatch`) unless the adapter was made for these weights, as far as can be told.

    Its shapes must fit, and the fingerprint that training left beside it (if any) must be the base's.
    """
    modules = dict(model.named_modules())
    shapes = adapter_shapes(base.adapter)
    if not shapes:
        raise TrainingError("adapter_mismatch", f"The adapter {base.adapter} holds no LoRA weights.")
    for name, shape in shapes.items():
        layer = modules.get(name)  # a quantised one keeps its weight in another shape
        found = (layer.out_features, layer.in_features) if hasattr(layer, "out_features") else None
        if found != shape:
            there = "has no such layer" if found is None else f"has {found[0]}×{found[1]}"
            raise TrainingError(
                "adapter_mismatch",
                f"The adapter {base.adapter} was made for another base: it changes {name} of {shape[0]}×{shape[1]}, "
                f"and {base.path} {there}. Name the base that it was trained on.",
            )
    mark = base.adapter / BASE_MARK
    if mark.is_file() and base.is_folder:
        made_for = json.loads(mark.read_text())
        if made_for.get("fingerprint") != fingerprint(Path(base.path)):
            raise TrainingError(
                "adapter_mismatch",
                f"The adapter {base.adapter} was made for other weights of the same shape than those of {base.path}: "
                f"it was trained on {made_for.get('path')}. Name that base.",
            )


def fingerprint(folder: Path) -> str:
    """A hash that tells a model folder's weights from others without reading gigabytes.

    Over each .safetensors file's name, size and 64 blocks of 64 KiB spread evenly over it (all of a small file): any
    training changes blocks everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size, block = path.stat().st_size, 1 << 16
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= 64 * block:
                digest.update(file.read())
                continue
            for part in range(64):
                file.seek(part * (size - block) // 63)
                digest.update(file.read(block))
    return digest.hexdigest()


# --- Merging ---------------------------------------------------------------------------------------------------------


def merged_base(base: Base, run: RunDirectory) -> str:
    """The base to train on, as a path or hub id: with the adapter merged into the 16-bit weights, if there is one.

    Merged weights are kept in base.merged_cache (or the run directory), named by the content of base and adapter.
    """
    if not base.adapter:
        return base.path
    content = hashlib.sha256((base.adapter / "adapter_model.safetensors").read_bytes())
    content.update((base.adapter / "adapter_config.json").read_bytes())
    content.update((fingerprint(Path(base.path)) if base.is_folder else base.path).encode())
    folder = (base.merged_cache or run.path / "merged") / content.hexdigest()[:24]
    if not (folder / "config.json").is_file():
        run.status("loading", message=f"merging {base.adapter} into {base.path}")
        merge_into(base.path, base.adapter, folder)
    return str(folder)


def merge_into(path: str, adapter: Path, folder: Path) -> None:
    """Write base and adapter as one model into `folder`, which appears whole or not at all. Raises TrainingError."""
    base = Base(base_path(path), Path(adapter).absolute())
    adapter_check(base.adapter)
    stored = "fp16" if stored_dtype(base.path) == "float16" else "bf16"
    model = merged(load_base(base.path, stored).to("cpu"), base)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save_pretrained(work)
        load_tokenizer(base.path).save_pretrained(work)
        write_whole(work / "merged_from.json", json.dumps({"base": base.path, "adapter": str(base.adapter)}) + "\n")
        readable(work)
        if not folder.exists():  # another run may have been faster
            work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def stored_dtype(path: str) -> str:
    """The number format that a base's weights are stored in: bfloat16, float16 or float32."""
    from transformers import AutoConfig

    return str(AutoConfig.from_pretrained(path, trust_remote_code=False).dtype).removeprefix("torch.")


def readable(folder: Path) -> None:
    """Give the files of a folder the rights of ordinary files: temporary folders and safetensors are private."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
