"""A LoRA layer as one operation: y = W x + b + s B A x, forwards and backwards.

PEFT makes it of six, each with a result as large as the layer's own. Here B's product is added to W's where that
stands, and so are the gradients; of what is between only A x is kept, which is r wide. PEFT's layers stay what they
are, with their names, weights and files: of those that are plain only the way they are reckoned changes.
"""

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Product(torch.autograd.Function):
    """x [..., in], W [out, in], b [out] or None, A [r, in], B [out, r], s → [..., out]. W and b get no gradient."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        found = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
        inner = rows @ a.t()
        found.addmm_(inner, b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return found.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple:
        x, weight, a, b, inner = ctx.saved_tensors
        rows, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        of_inner = (gradient @ b).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(of_inner, a).view(x.shape)
        of_a = of_inner.t() @ rows if ctx.needs_input_grad[3] else None
        of_b = (inner.t() @ gradient).mul_(ctx.scale).t() if ctx.needs_input_grad[4] else None
        return of_x, None, None, of_a, of_b, None


class QuickLinear(Linear):
    """PEFT's layer, at once where one plain adapter is at work beside a frozen base; else as PEFT does it."""

    def forward(self, x: Tensor, *given, **named) -> Tensor:
        found = [name for name in self.active_adapters if name in self.lora_A]
        if given or named or self.disable_adapters or self.merged or len(found) != 1:
            return super().forward(x, *given, **named)
        (name,), base = found, self.base_layer
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        plain = type(base) is nn.Linear and name not in self.lora_variant and self.lora_B[name].bias is None
        drops = self.training and not isinstance(self.lora_dropout[name], nn.Identity)
        if not plain or drops or base.weight.requires_grad or not x.dtype == a.dtype == base.weight.dtype:
            return super().forward(x)
        return _Product.apply(x, base.weight, base.bias, a, b, self.scaling[name])


def quickened(model):
    """The model, its LoRA layers made QuickLinear; those of a quantised base stay as they are."""
    for layer in model.modules():
        if type(layer) is Linear:
            layer.__class__ = QuickLinear
    return model
