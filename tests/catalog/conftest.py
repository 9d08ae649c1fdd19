import json
import struct
from pathlib import Path

import pytest


def safetensors(path: Path, shapes: dict[str, list[int]], fill: int = 0) -> None:
    """A safetensors file of float32 tensors of these shapes, every byte `fill`."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes([fill]) * offset)


@pytest.fixture
def base_folder(tmp_path):
    """base_folder(name, width=…, fill=…, shards=…): a tiny model on disk as save_pretrained writes one."""

    def make(name: str = "base", width: int = 8, fill: int = 0, shards: int = 1) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": width}))
        layer = "model.layers.0.self_attn"
        shapes = {
            "model.embed_tokens.weight": [32, width],
            f"{layer}.q_proj.weight": [width, width],
            f"{layer}.v_proj.weight": [width // 2, width],
            "model.norm.weight": [width],
        }
        names = list(shapes)
        for shard in range(shards):
            file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            safetensors(folder / file, {name: shapes[name] for name in names[shard::shards]}, fill)
        return folder

    return make


@pytest.fixture
def adapter_folder(tmp_path):
    """adapter_folder(name, width=…, **config): a LoRA adapter on disk as PEFT writes one."""

    def make(name: str = "adapter", width: int = 8, extra: dict | None = None, **config) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, **config}))
        layer = "base_model.model.model.layers.0.self_attn"
        shapes = {
            f"{layer}.q_proj.lora_A.weight": [2, width],
            f"{layer}.q_proj.lora_B.weight": [width, 2],
            f"{layer}.v_proj.lora_A.weight": [2, width],
            f"{layer}.v_proj.lora_B.weight": [width // 2, 2],
        }
        safetensors(folder / "adapter_model.safetensors", {**shapes, **(extra or {})})
        return folder

    return make
