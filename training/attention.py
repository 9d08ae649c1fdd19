"""Attention of short rows on a CPU: plain matrix products, which there beat the fused kernel several times over.

torch's fused kernel for CPUs goes through a row in small blocks; with gradients in bf16 that takes two to six times as
long as three batched products (measured: docs/training.md). The scores of a row are made in both passes and never kept,
so that memory does not grow with them.
"""

import torch
from torch import Tensor
from torch.autograd import Function

NAME = "short_rows"
LONGEST = 384  # tokens; beyond it the scores leave the processor's caches and the fused kernel is as fast (measured)


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Softmax of the scores; [rows, key heads, heads a key head × queries, keys]."""
    scores = query @ key.transpose(-1, -2)
    if mask is not None:
        rows, groups, _, keys = scores.shape
        scores.view(rows, groups, heads // groups, -1, keys).masked_fill_(mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1)


class _Attention(Function):
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.heads = heads
        return _weights(query, key, mask, heads) @ value

    @staticmethod
    def backward(ctx, gradient: Tensor):
        query, key, value, mask = ctx.saved_tensors
        weights = _weights(query, key, mask, ctx.heads)
        to_value = weights.transpose(-1, -2) @ gradient
        to_scores = torch._softmax_backward_data(gradient @ value.transpose(-1, -2), weights, -1, weights.dtype)
        return to_scores @ key, to_scores.transpose(-1, -2) @ query, to_value, None, None


def short_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """softmax(scaling · query keyᵀ) value, where `mask` is false left out.

    query: [rows, heads, queries, width]; key, value: [rows, key heads, keys, width], key heads dividing heads;
    mask: bool, broadcastable to [rows, 1, queries, keys]. Returns [rows, heads, queries, width].
    """
    rows, heads, queries, width = query.shape
    groups = key.shape[1]
    # The heads that share keys are further rows of one product.
    together = (query * scaling).reshape(rows, groups, heads // groups * queries, width)
    hidden = None if mask is None else ~mask[:, :, None]
    return _Attention.apply(together, key, value, hidden, heads).view(rows, heads, queries, -1)


def short_rows_attention(model) -> None:
    """Let a model whose attention is torch's fused one take this one where it is faster: short rows, bf16, a CPU."""
    if model.device.type != "cpu" or model.dtype != torch.bfloat16 or model.config._attn_implementation != "sdpa":
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **asked):
    """transformers' interface of an attention: (result [rows, queries, heads, width], None)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    queries = query.shape[2]
    plain = all(asked.get(name) is None for name in ("position_bias", "softcap", "cache")) and not asked.get("dropout")
    if attention_mask is None:
        known = asked.get("is_causal") or getattr(module, "is_causal", True)
    else:
        known = attention_mask.dtype == torch.bool and attention_mask.shape[1] == 1
    if not plain or not known or not 1 < queries <= LONGEST or queries != key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **asked)
    if attention_mask is None:
        attention_mask = torch.ones(queries, queries, dtype=torch.bool).tril()[None, None]
    scaling = query.shape[-1] ** -0.5 if asked.get("scaling") is None else asked["scaling"]
    found = short_attention(query, key, value, attention_mask, scaling)
    return found.transpose(1, 2).contiguous(), None
