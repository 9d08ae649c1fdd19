"""A LoRA layer as one operation says and learns what PEFT's own does; and leaves to PEFT what is not plain."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn

from training.networks.lora import QuickLinear, quickened

pytestmark = pytest.mark.trains


class Two(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.first, self.second = nn.Linear(6, 10, bias=bias), nn.Linear(10, 4, bias=bias)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@pytest.fixture
def adapted():
    """adapted(bias=True, ...): a small model in fp64 with an adapter that already says something."""

    def make(bias=False, **config):
        torch.manual_seed(0)
        config = {"r": 2, "lora_alpha": 3, **config}
        model = get_peft_model(Two(bias).double(), LoraConfig(target_modules=["first", "second"], **config))
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight)
        return model.double()

    return make


def learnt(model, x):
    """(what it says, the gradients of x and of all weights)."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    said = model(x)
    said.sin().sum().backward()
    return said.detach(), x.grad, {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def same(one, other, **tolerance):
    torch.testing.assert_close(one[:2], other[:2], **tolerance)
    assert one[2].keys() == other[2].keys()
    torch.testing.assert_close(one[2], other[2], **tolerance)


def kinds(model):
    return {type(layer) for layer in model.modules() if isinstance(layer, Linear)}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6)])
def test_values_and_gradients_are_those_of_the_layer_in_parts(adapted, bias, shape):
    model, x = adapted(bias, use_rslora=bias), torch.randn(shape, dtype=torch.float64)
    of_peft = learnt(model, x)
    assert kinds(quickened(model)) == {QuickLinear}
    same(learnt(model, x), of_peft)
    assert set(of_peft[2]) == {name for name, _ in model.named_parameters() if "lora_" in name}


def test_in_bf16_it_is_as_near_to_the_exact_result_as_in_parts(adapted):
    model, x = adapted(), torch.randn(4, 300, 6, dtype=torch.float64)
    exact, _, gradients = learnt(model, x)
    model, x = model.bfloat16(), x.bfloat16()
    parts, _, of_parts = learnt(model, x)
    once, _, of_once = learnt(quickened(model), x)
    assert (once - exact).abs().mean() <= 1.05 * (parts - exact).abs().mean()
    for name, gradient in gradients.items():
        assert (of_once[name] - gradient).norm() <= 1.2 * (of_parts[name] - gradient).norm() + 0.01 * gradient.norm()


def test_what_is_not_plain_is_as_peft_has_it(adapted):
    x = torch.randn(3, 6, dtype=torch.float64)
    model = quickened(adapted())
    with model.disable_adapter():
        off = model(x)
    torch.testing.assert_close(
        off, model.base_model.model.second.base_layer(model.base_model.model.first.base_layer(x).tanh())
    )
    on = model(x)
    assert not torch.allclose(on, off)
    model.merge_adapter()
    torch.testing.assert_close(model(x), on)
    model.unmerge_adapter()
    same(learnt(quickened(adapted(use_dora=True)), x), learnt(adapted(use_dora=True), x))

    model.add_adapter("other", LoraConfig(r=3, target_modules=["first"], init_lora_weights=False))
    model.double().base_model.set_adapter(["default", "other"])
    two = learnt(model, x)
    for layer in model.modules():
        if type(layer) is QuickLinear:
            layer.__class__ = Linear
    same(two, learnt(model, x))


def test_dropout_falls_while_it_learns_only(adapted):
    model, x = quickened(adapted(lora_dropout=0.5)), torch.randn(64, 6, dtype=torch.float64)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_a_base_that_learns_too_gets_its_gradients(adapted):
    model, x = adapted(bias=True), torch.randn(3, 6, dtype=torch.float64)
    model.requires_grad_(True)
    of_peft = learnt(model, x)
    assert any("base_layer" in name for name in of_peft[2])
    same(learnt(quickened(model), x), of_peft)
