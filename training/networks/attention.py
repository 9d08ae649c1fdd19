"""Attention of short rows on a CPU: plain matrix products, which there beat the fused kernel several times over.

torch's fused kernel for CPUs goes through a row in small blocks; with gradients in bf16 that takes two to six times as
long as three batched products, in fp32 up to 1.4 times (measured: docs/training.md). Where no query sees a later key,
the queries go through in a few blocks, each with the keys up to its last: half of the scores, nearly, are never made.
The scores of a longer row are made again in the backward pass and not kept, so that memory does not grow with them.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import Function

NAME = "short_rows"
# (shortest, longest) row in tokens for which it is the faster one, as far as it was measured.
FASTER = {torch.bfloat16: (2, 1024), torch.float32: (160, 640)}
KEPT = 512  # tokens; of longer rows the scores would be a third of all that is kept for the backward pass
BLOCK = 128  # queries; smaller blocks leave out more and cost more calls


def _blocks(queries: int, keys: int, causal: bool) -> Iterator[tuple[int, int, int]]:
    """(first query, query after the last, keys that they may see) of blocks of like size."""
    count = -(-queries // BLOCK) if causal else 1
    edges = [number * queries // count for number in range(count + 1)]
    for start, end in zip(edges, edges[1:]):
        yield start, end, end if causal else keys


def _weights(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax of the scores; [rows, key heads, heads a key head × queries, keys]."""
    # The heads that share keys are further rows of one product.
    scores = query.flatten(2, 3) @ key.transpose(-1, -2)
    if bias is not None:
        scores.unflatten(2, query.shape[2:4]).add_(bias)
    return torch.softmax(scores, dim=-1)


class _Attention(Function):
    """query: [rows, key heads, heads a key head, queries, width]; key, value: [rows, key heads, keys, width].

    bias: what is added to the scores, broadcastable to [rows, 1, 1, queries, keys], or None.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
        found, kept = [], []
        for start, end, seen in _blocks(query.shape[3], key.shape[2], causal):
            part = None if bias is None else bias[..., start:end, :seen]
            weights = _weights(query[:, :, :, start:end], key[:, :, :seen], part)
            found.append((weights @ value[:, :, :seen]).unflatten(2, (-1, end - start)))
            kept.append(weights)
        ctx.causal, ctx.kept = causal, query.shape[3] <= KEPT
        ctx.save_for_backward(query, key, value, bias, *(kept if ctx.kept else ()))
        return torch.cat(found, dim=3)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        query, key, value, bias, *kept = ctx.saved_tensors
        to_query, to_key, to_value = [], torch.zeros_like(key), torch.zeros_like(value)
        for number, (start, end, seen) in enumerate(_blocks(query.shape[3], key.shape[2], ctx.causal)):
            asking, asked = query[:, :, :, start:end], key[:, :, :seen]
            part = None if bias is None else bias[..., start:end, :seen]
            weights = kept[number] if ctx.kept else _weights(asking, asked, part)
            above = gradient[:, :, :, start:end].flatten(2, 3)
            to_value[:, :, :seen] += weights.transpose(-1, -2) @ above
            to_weights = above @ value[:, :, :seen].transpose(-1, -2)
            to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
            to_query.append((to_scores @ asked).unflatten(2, (-1, end - start)))
            to_key[:, :, :seen] += to_scores.transpose(-1, -2) @ asking.flatten(2, 3)
        return torch.cat(to_query, dim=3), to_key, to_value, None, None


@lru_cache(maxsize=1)  # all layers of a pass have one mask
def _bias(mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, bool]:
    """(what the mask adds to the scores; [rows, 1, 1, queries, keys], whether no query sees a later key)."""
    with torch.inference_mode(False):  # else what was made while writing could not serve a backward pass
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return bias.masked_fill_(~mask, torch.finfo(dtype).min)[:, :, None], not bool(mask.triu(1).any())


@lru_cache(maxsize=1)
def _causal(length: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.ones(length, length, dtype=torch.bool).tril()[None, None]


def short_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """softmax(scaling · query keyᵀ) value, where `mask` is false left out.

    query: [rows, heads, queries, width]; key, value: [rows, key heads, keys, width], key heads dividing heads;
    mask: bool, broadcastable to [rows, 1, queries, keys]. Returns [rows, heads, queries, width].
    """
    bias, causal = (None, False) if mask is None else _bias(mask, query.dtype)
    by_key_head = (query * scaling).unflatten(1, (key.shape[1], -1))
    return _Attention.apply(by_key_head, key, value, bias, causal).flatten(1, 2)


def short_rows_attention(model) -> None:
    """Let a model whose attention is torch's fused one take this one where it is faster: short rows, a CPU."""
    if model.device.type != "cpu" or model.dtype not in FASTER or model.config._attn_implementation != "sdpa":
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
    writing = queries == 1 and not torch.is_grad_enabled()  # the fused kernel takes four to six times as long for it
    shortest, longest = FASTER.get(query.dtype, (1, 0))
    if not plain or not known or not (writing or shortest <= queries <= longest and queries == key.shape[2]):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **asked)
    if attention_mask is None and not writing:
        attention_mask = _causal(queries)
    scaling = query.shape[-1] ** -0.5 if asked.get("scaling") is None else asked["scaling"]
    found = short_attention(query, key, value, attention_mask, scaling)
    return found.transpose(1, 2).contiguous(), None
