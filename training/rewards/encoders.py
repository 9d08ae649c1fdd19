"""Encoder bases (BERT, ModernBERT and their kin) for reward models: prompt and answer as two segments, read at [CLS].

A row is [CLS] prompt [SEP] answer [SEP], as such models are tuned to judge pairs of texts (Devlin et al. 2019, arXiv
1810.04805, section 4.1; Warner et al. 2024, arXiv 2412.13663). Every token sees every other, so that a prompt's states
depend on the answer: nothing is shared between answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Example
from ..device import device_and_dtype
from ..errors import TrainingError
from ..models import FINAL_NORMS
from ..networks.reading import kind_of

POOLER_KINDS = ("bert", "roberta", "xlm-roberta")


@dataclass(frozen=True)
class Layout:
    """What a row of an encoder begins and is padded with, and where it is read: its first token (cls) or the mean."""

    first: int
    pad: int
    pooling: str
    segments: bool  # whether it is told which of the two texts a token belongs to


@dataclass(frozen=True)
class EncoderBatch:
    """Rows as tensors, padded on the right. ids, mask, segments (0 prompt, 1 answer): [answers, length]."""

    ids: Tensor
    mask: Tensor
    segments: Tensor


# --- Rows -----------------------------------------------------------------------------------------------------------


def layout_of(tokenizer, policy) -> Layout:
    """How rows for this encoder are laid out; read where its configuration says (ModernBERT's does), else at [CLS]."""
    pooling = getattr(policy.config, "classifier_pooling", None) or "cls"
    segments = "token_type_ids" in tokenizer.model_input_names and getattr(policy.config, "type_vocab_size", 0) > 1
    return Layout(tokenizer([""], [""])["input_ids"][0][0], tokenizer.pad_token_id, pooling, segments)


def encoder_batch(examples: Sequence[Example], layout: Layout, device) -> EncoderBatch:
    """Examples as rows of an encoder."""
    length = 1 + max(example.length for example in examples)
    ids = torch.full((len(examples), length), layout.pad)
    mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, example in enumerate(examples):
        end = 1 + example.length
        ids[row, :end] = torch.tensor([layout.first, *example.prompt, *example.answer])
        mask[row, :end] = 1
        segments[row, len(example.prompt) + 2 : end] = 1  # the separator between them belongs to the prompt
    return EncoderBatch(ids.to(device), mask.to(device), segments.to(device))


def encoded(policy, batch: EncoderBatch, layout: Layout) -> Tensor:
    """What the encoder makes of each row; [answers, width], fp32."""
    more = {"token_type_ids": batch.segments} if layout.segments else {}
    hidden = policy(input_ids=batch.ids, attention_mask=batch.mask, **more).last_hidden_state.float()
    if layout.pooling == "mean":
        return (hidden * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdim=True)
    return hidden[:, 0]


# --- Weights ---------------------------------------------------------------------------------------------------------


def load_encoder(path: str, precision: str = "auto"):
    """The encoder of a folder or hub id without any head, in evaluation mode. Raises TrainingError (`base_missing`)."""
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    device, dtype = device_and_dtype(precision)
    more = {"add_pooling_layer": False} if kind_of(path) in POOLER_KINDS else {}
    try:
        model = AutoModel.from_pretrained(path, dtype=dtype, use_safetensors=True, trust_remote_code=False, **more)
    except (OSError, ValueError) as error:
        raise TrainingError("base_missing", f"The base {path} could not be loaded: {error}") from error
    return model.to(device).eval()


def attach_encoder_lora(model, settings):
    """The encoder with a fresh LoRA on its attention; only the LoRA can be trained. B is zero: nothing changes yet."""
    from peft import LoraConfig, get_peft_model

    from ..networks.lora import quickened

    torch.manual_seed(settings.seed)
    attention = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ("attention" in name or "attn" in name)
    ]
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=attention,
        task_type="FEATURE_EXTRACTION",
        use_rslora=settings.lora_variant == "rslora",
        use_dora=settings.lora_variant == "dora",
    )
    return quickened(get_peft_model(model, config, autocast_adapter_dtype=False))


def train_last_encoder_layers(model, layers: int) -> None:
    """Freeze the encoder but for its last `layers` and the norm that follows."""
    model.requires_grad_(False)
    if not layers:
        return
    stacks = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList)]
    for layer in max(stacks, key=len)[-layers:]:
        layer.requires_grad_(True)
    for name in (*FINAL_NORMS, "final_norm"):
        if hasattr(model, name):
            getattr(model, name).requires_grad_(True)


def encoder_ready(path: str, settings):
    """The encoder as `settings.method` trains it."""
    model = load_encoder(path, settings.precision)
    if settings.method == "lora":
        return attach_encoder_lora(model, settings)
    if settings.method == "frozen":
        train_last_encoder_layers(model, settings.trained_layers)
    return model
