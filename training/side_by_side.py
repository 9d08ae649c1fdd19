"""Models side by side: those that stand on the same weights hold them once, each with its own adapter beside them.

A tuned model and its parent differ by a LoRA that weighs a few hundredths of the base. Each has modules of its own on
weights that are both's, so that nothing has to be switched between them, and none can speak with another's adapter.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .models import Base, adapter_tensors, attach_adapter, load_base, load_policy
from .online.roles import same_weights


def load_side_by_side(bases: Sequence[Base], precision: str) -> dict[Base, object]:
    """Each base's model, to write answers with; those of the same weights share them. Raises TrainingError."""
    groups: list[list[Base]] = []
    for base in dict.fromkeys(bases):
        group = next((group for group in groups if alike(base, group[0])), None)
        if group is None:
            groups.append([base])
        else:
            group.append(base)
    return {base: model for group in groups for base, model in zip(group, _load(group, precision))}


def _load(group: list[Base], precision: str) -> list:
    """The models of bases that are the same weights. One adapter for all of them is merged: nothing writes faster."""
    first = group[0]
    if len({base.adapter for base in group}) == 1:
        return [load_policy(first, precision, merge=True)] * len(group)
    model = load_base(first.path, precision, first.quantisation)
    models = [model, *(on_same_weights(model) for _ in group[1:])]
    return [attach_adapter(model, base) if base.adapter else model for base, model in zip(group, models)]


def on_same_weights(model):
    """The model once more, of modules of its own, which hold the very same tensors."""
    held = [*model.parameters(), *model.buffers()]
    for layer in model.modules():
        if hasattr(layer, "init_8bit_state"):  # its first forward would take the scales away from the other's
            if layer.weight.CB is not None:
                layer.init_8bit_state()
            held += [layer.state.CB, layer.state.SCB]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in held})


def alike(one: Base, other: Base) -> bool:
    """Whether the two models are the same weights but for adapters that stand beside them."""
    if one.quantisation != other.quantisation or not (_beside(one) and _beside(other)):
        return False
    return same_weights(one.path, other.path) and _described(one) == _described(other)


def _beside(base: Base) -> bool:
    """Whether the adapter is a LoRA and no more; whole layers or biases that come with one are the base's no longer."""
    return base.adapter is None or all(".lora_" in name for name in adapter_tensors(base.adapter))


def _described(base: Base) -> list[bytes]:
    """What a folder says of its weights besides: the same ones can be read otherwise, or end an answer otherwise."""
    found = []
    for name in ("config.json", "generation_config.json"):
        with suppress(FileNotFoundError):
            found.append((Path(base.path) / name).read_bytes())
    return found
