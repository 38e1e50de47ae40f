"""Attention on a CPU, for the formats in which torch's own is slow there.

torch's fused attention for CPUs multiplies bfloat16 tiles without the processor's bfloat16
units. Here the whole matrix of weights is made: its exponents from a product in float32 (so
no less exact than the fused kernel), all other products in bfloat16. Forward and back that takes
two thirds of the time, and memory that grows with the square of the tokens; where it would
be much, and in float32, torch's own is used.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Bytes of one matrix of exponents, of all heads: 333 tokens and 4 heads take 2 MB.
_MOST = 2**28


class _Weights(torch.autograd.Function):
    """`softmax(Q K^T / sqrt(width))`, of Q and K `[batch x heads, tokens, width]`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor) -> Tensor:
        scale = 1 / math.sqrt(query.shape[-1])
        exponents = torch.bmm(query.float() * scale, key.float().transpose(1, 2))
        weights = torch.softmax(exponents, -1).to(query.dtype)
        ctx.save_for_backward(query, key, weights)
        ctx.scale = scale
        return weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        (grad,) = grads
        query, key, weights = ctx.saved_tensors  # once: see `linear`
        back = torch._softmax_backward_data(grad, weights, -1, weights.dtype)
        query_grad = torch.bmm(back, key) * ctx.scale
        return query_grad, torch.bmm(back.transpose(1, 2), query) * ctx.scale


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the attention's output, all of them `[batch, heads, tokens, width]`."""
    batch, heads, tokens, width = query.shape
    if query.dtype != torch.bfloat16 or 4 * batch * heads * tokens * tokens > _MOST:
        return functional.scaled_dot_product_attention(query, key, value)
    query, key, value = (each.reshape(batch * heads, tokens, width) for each in (query, key, value))
    weights: Tensor = _Weights.apply(query, key)  # type: ignore[no-untyped-call]
    return torch.bmm(weights, value).view(batch, heads, tokens, width)
