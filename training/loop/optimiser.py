"""AdamW on fp32 master weights of a model that computes in fewer bits, and its state as safetensors."""

import math

import torch
from torch import Tensor

from ..processes import Processes


class MasterAdamW:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101) over fp32 copies of a model's trainable weights.

    bf16 has 8 bits: a step of a thousandth of a weight would be rounded away, and so would small gradients summed over
    batches. Hence the sums, the moments and the weights that are stepped are fp32; the model gets rounded copies.
    """

    def __init__(self, model: torch.nn.Module, *, weight_decay: float, epsilon: float):
        self.working = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.masters = {
            name: torch.nn.Parameter(weight.detach().to(torch.float32, copy=True))
            for name, weight in self.working.items()
        }
        asked = {"lr": 0.0, "weight_decay": weight_decay, "eps": epsilon, "fused": True}
        self.adamw = torch.optim.AdamW(self.masters.values(), **asked)

    def collect(self) -> None:
        """Add the model's gradients to the masters', and clear them."""
        for name, weight in self.working.items():
            if weight.grad is None:
                continue
            master = self.masters[name]
            if master.grad is None:
                master.grad = weight.grad.to(torch.float32)
            else:
                master.grad += weight.grad
            weight.grad = None

    def touched(self) -> list[bool]:
        """Of each weight, whether it has a gradient."""
        return [master.grad is not None for master in self.masters.values()]

    def sum_over(self, processes: Processes, touched: list[list[bool]]) -> None:
        """Make the gradients the sums of those of all processes. touched: what `touched` says in each."""
        gradients = []
        for master, here in zip(self.masters.values(), map(any, zip(*touched))):
            if here:
                master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                gradients.append(master.grad)
        processes.sum(gradients)

    def discard(self) -> None:
        """Forget gradients that were collected, or are about to be."""
        for name, weight in self.working.items():
            weight.grad = self.masters[name].grad = None

    def step(self, learning_rate: float, max_grad_norm: float) -> float:
        """Make a step with the collected gradients; returns their norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.masters.values(), max_grad_norm or math.inf)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.step()
        self.discard()
        self._to_model()
        return float(norm)

    @torch.no_grad()
    def _to_model(self) -> None:
        for name, weight in self.working.items():
            weight.copy_(self.masters[name])

    def weights(self) -> dict[str, Tensor]:
        """A copy of the fp32 weights by name."""
        return {name: master.detach().clone() for name, master in self.masters.items()}

    @torch.no_grad()
    def take(self, weights: dict[str, Tensor]) -> None:
        """Go on from these weights, the model too."""
        for name, master in self.masters.items():
            master.copy_(weights[name])
        self._to_model()

    def state(self) -> dict[str, Tensor]:
        """All that a later process needs to go on: `weight/NAME`, `exp_avg/NAME`, `exp_avg_sq/NAME`, `steps`."""
        tensors = {f"weight/{name}": master.detach() for name, master in self.masters.items()}
        steps = torch.zeros(1)
        for name, master in self.masters.items():
            moments = self.adamw.state.get(master)
            if moments:
                tensors[f"exp_avg/{name}"], tensors[f"exp_avg_sq/{name}"] = moments["exp_avg"], moments["exp_avg_sq"]
                steps = moments["step"].reshape(1).clone()
        return {name: tensor.contiguous() for name, tensor in {**tensors, "steps": steps}.items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up a state; KeyError when it is another model's."""
        for name, master in self.masters.items():
            master.copy_(tensors[f"weight/{name}"])
            if f"exp_avg/{name}" in tensors:
                self.adamw.state[master] = {
                    "step": tensors["steps"][0].clone(),
                    "exp_avg": tensors[f"exp_avg/{name}"].to(master.device, copy=True),
                    "exp_avg_sq": tensors[f"exp_avg_sq/{name}"].to(master.device, copy=True),
                }
        self._to_model()


def learning_rate_at(step: int, *, peak: float, steps: int, warmup_ratio: float) -> float:
    """The rate of step 0 … steps − 1: a linear rise over the warmup, then half a cosine down to zero."""
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
