"""A model folder as one GGUF file, for llama.cpp and what is built on it (Ollama, LM Studio).

llama.cpp's own converter knows every architecture; it is part of its source tree and of no package. Where the
environment's LLAMA_CPP names that tree, it does the work. Without it a Llama with SmolLM2's tokenizer, as the embedded
base and all that is tuned from it, is written here, by llama.cpp's `gguf` package.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from .errors import TrainingError

CONVERTER = "convert_hf_to_gguf.py"
# Digits one by one, then GPT-2's pieces. llama.cpp knows ways of cutting a text by name only; this one as "smollm".
SMOLLM = [
    {"type": "Digits", "individual_digits": True},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
]


def gguf_export(folder: Path, out: Path, *, name: str | None = None) -> None:
    """Write the model in `folder` (no adapter beside it) to the file `out`, in its 16 bits. Raises TrainingError.

    name: what the file says that the model is called; the folder's if it is not given.
    """
    if out.exists():
        raise TrainingError("folder_taken", f"{out} exists already. Name a file that does not, or remove it.")
    converter_check(folder)
    tree = os.environ.get("LLAMA_CPP")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.part")
    try:
        _convert(Path(tree) / CONVERTER, folder, work, name) if tree else _write(folder, work, name or folder.name)
        work.rename(out)
    finally:
        work.unlink(missing_ok=True)


def converter_check(folder: Path) -> None:
    """Raise TrainingError (`no_converter`) where nothing here writes the model in this folder as GGUF."""
    if not os.environ.get("LLAMA_CPP") and (missing := unwritable(folder)):
        raise TrainingError(
            "no_converter",
            f"{folder} cannot be written as GGUF here: {missing}. llama.cpp's own converter can: set LLAMA_CPP to its "
            "source tree, and pip install -r its requirements/requirements-convert_hf_to_gguf.txt.",
        )


def unwritable(folder: Path) -> str | None:
    """Why this file cannot write the model in a folder, in words; None when it can."""
    try:
        config = json.loads((folder / "config.json").read_text())
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
    except (OSError, ValueError) as error:
        return f"its configuration or tokenizer cannot be read ({error})"
    if config.get("model_type") != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        return f"it is a {config.get('model_type')}, no plain Llama"
    if (config.get("rope_parameters") or {}).get("rope_type", "default") != "default" or config.get("rope_scaling"):
        return "its positions are scaled"
    cut = tokenizer.get("pre_tokenizer") or {}
    if tokenizer["model"]["type"] != "BPE" or cut.get("pretokenizers") != SMOLLM or tokenizer.get("normalizer"):
        return "its tokenizer is not SmolLM2's"
    return None


def _convert(converter: Path, folder: Path, out: Path, name: str | None) -> None:
    """By llama.cpp's own converter."""
    command = [sys.executable, str(converter), str(folder), "--outfile", str(out), "--outtype", "auto"]
    command += ["--model-name", name] if name else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not out.is_file():
        said = (done.stderr.strip() or done.stdout.strip() or "it gave no reason")[-1000:]
        raise TrainingError("no_converter", f"{converter} (LLAMA_CPP) could not convert {folder}: {said}")


def _write(folder: Path, out: Path, name: str) -> None:
    """By the gguf package: metadata, tokenizer, then the tensors with llama.cpp's names."""
    import gguf
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    kv_heads = config.get("num_key_value_heads") or heads
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = (config.get("rope_parameters") or {}).get("rope_theta") or config.get("rope_theta") or 10000.0
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope)
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    _tokenizer(writer, folder, config["vocab_size"])

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    turned = {"q_proj.weight": heads, "k_proj.weight": kv_heads}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for tensor in file.keys():  # noqa: SIM118 – no mapping
                weight = file.get_tensor(tensor).float().numpy()
                for part, of in turned.items():
                    weight = permuted(weight, of) if tensor.endswith(part) else weight
                kind = gguf.GGMLQuantizationType.BF16 if weight.ndim > 1 else gguf.GGMLQuantizationType.F32
                data = gguf.quants.quantize(weight, kind)
                writer.add_tensor(names.get_name(tensor, try_suffixes=(".weight",)), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tokenizer(writer, folder: Path, size: int) -> None:
    """The tokens with their kinds, the merges, the special ones, and the chat template."""
    import gguf

    known = json.loads((folder / "tokenizer.json").read_text())
    tokens = {number: text for text, number in known["model"]["vocab"].items()}
    kinds = dict.fromkeys(tokens, gguf.TokenType.NORMAL)
    for added in known["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([kinds.get(number, gguf.TokenType.UNUSED) for number in range(size)])
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=size)
    special.add_special_token.setdefault("bos", False)  # the chat template writes what opens a text
    special.add_to_gguf(writer, quiet=True)


def permuted(weight, heads: int):
    """A query or key projection [out, in] as llama.cpp wants a Llama's: the halves of each head's rotary dimensions
    interleaved (`LlamaModel.permute` in its converter). The inverse is `embedded.unpermuted`."""
    out, width = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, width).swapaxes(1, 2).reshape(out, width)
