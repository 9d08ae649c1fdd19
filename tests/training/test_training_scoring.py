"""Log-probabilities of chosen tokens, reckoned some tokens at a time: torch's own values and gradients."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from training.networks.scoring import chosen_logprobs

pytestmark = pytest.mark.trains


@pytest.mark.parametrize("tokens", [1, 16, 45])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_cross_entropy(tokens, temperature):
    torch.manual_seed(tokens)
    logits, targets, weights = 5 * torch.randn(tokens, 301), torch.randint(301, (tokens,)), torch.randn(tokens)
    found = []
    for reckon in (
        lambda one: chosen_logprobs(one, targets, temperature),
        lambda one: -cross_entropy(one / temperature, targets, reduction="none"),
    ):
        given = logits.clone().requires_grad_()
        said = reckon(given)
        (said * weights).sum().backward()
        assert torch.equal(given, logits), "what was given stays as it is"
        found.append((said.detach(), given.grad))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_in_bf16_they_are_reckoned_in_fp32_and_the_gradient_is_rounded_once():
    torch.manual_seed(0)
    logits, targets = (5 * torch.randn(40, 999)).bfloat16(), torch.randint(999, (40,))
    given, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    said, wanted = chosen_logprobs(given, targets), -cross_entropy(exact, targets, reduction="none")
    said.sum().backward()
    wanted.sum().backward()
    assert said.dtype == torch.float32
    assert given.grad.dtype == torch.bfloat16
    torch.testing.assert_close(said.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(given.grad, exact.grad.bfloat16(), rtol=0.01, atol=1e-6)
