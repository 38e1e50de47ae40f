"""Attention on a CPU beside torch's own in double precision."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bioicons_kit.memory import attention as module
from bioicons_kit.memory.attention import attention


def random(dtype: torch.dtype) -> list[Tensor]:
    """Return queries, keys and values `[2, 3, 37, 16]`, and a gradient of the output."""
    torch.manual_seed(0)
    return [3 * torch.randn(2, 37, 3, 16).transpose(1, 2).to(dtype) for _ in range(4)]


def errors(dtype: torch.dtype, function: object) -> list[float]:
    """Return the relative errors of output and gradients against torch's in float64."""
    *parts, grad = random(dtype)

    def passed(parts: list[Tensor], function: object, grad: Tensor) -> list[Tensor]:
        parts = [each.detach().clone().requires_grad_() for each in parts]
        out = function(*parts)  # type: ignore[operator]
        out.backward(grad)
        return [out.detach().double(), *(each.grad.double() for each in parts)]

    exact = passed(
        [each.double() for each in parts], functional.scaled_dot_product_attention, grad.double()
    )
    found = passed(parts, function, grad)
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]


def test_in_bfloat16_it_is_no_less_exact_than_torchs_own():
    ours = errors(torch.bfloat16, attention)
    torchs = errors(torch.bfloat16, functional.scaled_dot_product_attention)
    for found, beside in zip(ours, torchs, strict=True):
        assert found < 1.25 * beside
        assert found > 0  # another way


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2**28), (torch.bfloat16, 100)])
def test_float32_and_many_tokens_take_torchs_own(
    dtype: torch.dtype, most: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_MOST", most)
    *parts, _ = random(dtype)
    assert torch.equal(attention(*parts), functional.scaled_dot_product_attention(*parts))
