"""Attention of short rows on a CPU: the fused kernel's values and gradients, by other products."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from training_cast import tiny_model

from training.models import load_base
from training.networks.attention import BLOCK, FASTER, KEPT, NAME, short_attention


def given(dtype, *, rows=3, heads=6, groups=2, length=17, width=8, causal=False):
    generator = torch.Generator().manual_seed(5)
    shapes = ((rows, heads, length, width), (rows, groups, length, width), (rows, groups, length, width))
    tensors = [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]
    mask = torch.rand(rows, 1, length, length, generator=generator) < 0.4
    mask |= torch.eye(length, dtype=torch.bool)  # each sees itself, as in batches
    return *tensors, mask.tril() if causal else mask


def values_and_gradients(attention, tensors, towards):
    for tensor in tensors:
        tensor.grad = None
    found = attention(*tensors)
    found.backward(towards)
    return [found.detach(), *(tensor.grad for tensor in tensors)]


def fused(mask):
    def attend(query, key, value):
        key, value = (tensor.repeat_interleave(query.shape[1] // tensor.shape[1], dim=1) for tensor in (key, value))
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.125)

    return attend


def test_values_and_gradients_are_those_of_torchs_attention_where_heads_share_keys_and_rows_are_masked():
    *tensors, mask = given(torch.float32)
    towards = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(6))
    ours = values_and_gradients(lambda *qkv: short_attention(*qkv, mask, 0.125), tensors, towards)
    theirs = values_and_gradients(fused(mask), tensors, towards)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("length", [BLOCK // 2, 2 * BLOCK + 3, KEPT + 1], ids=["a block", "blocks", "made again"])
def test_where_no_query_sees_a_later_key_it_is_the_same_in_blocks(length):
    *tensors, mask = given(torch.float32, rows=2, heads=4, length=length, causal=True)
    towards = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(6))
    ours = values_and_gradients(lambda *qkv: short_attention(*qkv, mask, 0.125), tensors, towards)
    theirs = values_and_gradients(fused(mask), tensors, towards)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=5e-6)


def test_gradients_are_those_of_finite_differences():
    *tensors, mask = given(torch.float64, rows=1, heads=2, groups=1, length=4, width=3)
    assert torch.autograd.gradcheck(lambda *qkv: short_attention(*qkv, mask, 0.7), tensors)


def test_in_bf16_it_is_as_near_to_the_truth_as_the_fused_kernel():
    *tensors, mask = given(torch.bfloat16, length=64, width=64)
    towards = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(6)).bfloat16()
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    truth = values_and_gradients(fused(mask), exact, towards.double())
    ours = values_and_gradients(lambda *qkv: short_attention(*qkv, mask, 0.125), tensors, towards)
    theirs = values_and_gradients(fused(mask), tensors, towards)
    for one, other, right in zip(ours, theirs, truth, strict=True):
        assert (one - right).norm() < 2.5 * (other - right).norm()


LONGEST = FASTER[torch.bfloat16][1]


def logits_of_ours_and_the_usual(tmp_path, precision, length):
    folder = tiny_model(tmp_path / "base")
    ours, usual = load_base(str(folder), precision), load_base(str(folder), precision)
    usual.set_attn_implementation("sdpa")
    assert ours.config._attn_implementation == NAME
    ids = torch.randint(3, 30, (2, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, : length // 3] = 0
    with torch.no_grad():
        return [model(input_ids=ids, attention_mask=mask).logits[0] for model in (ours, usual)]


@pytest.mark.parametrize("length", [1, 40, LONGEST + 1], ids=["one token", "short", "long"])
def test_a_models_logits_are_those_of_its_usual_attention(tmp_path, length):
    one, other = logits_of_ours_and_the_usual(tmp_path, "bf16", length)
    if length == 40:
        # Rounded at other places.
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05 * other.abs().max().item())
    else:
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("length", [1, 40, 200, 700], ids=["one token", "short", "middling", "long"])
def test_in_32_bits_it_serves_rows_of_middling_length(tmp_path, length):
    one, other = logits_of_ours_and_the_usual(tmp_path, "fp32", length)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert torch.equal(one, other) == (length != 200)  # the others go through the fused kernel
