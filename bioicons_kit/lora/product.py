"""What an attached LoRA adds to its layer, in one step: `Y = base(X) + s (X A^T) B^T`.

peft casts X to the adapter's float32, multiplies there, adds, and casts the sum back: four
copies of the size of X or Y for a product of rank 16, on each of some hundred layers. Here
both products are in X's dtype, as under autocast; the scale is taken into B, whose float32
values are rounded once; the sum is the second product's own. Parameters, their gradients and
the optimizer's state stay float32. Saved for the backward pass are X, which its neighbors save
too, and `X A^T`, which is narrow.

In float32 only the order of rounding differs from peft's.
"""

from typing import Any

import torch
from peft.tuners.lora import layer as peft_layer
from torch import Tensor, nn


class _Sum(torch.autograd.Function):
    """`base + s (X A^T) B^T`, differentiable in all of base, X, A and B.

    Shapes: base `[..., out]`, inputs `[..., in]`, down (A) `[rank, in]`, up (B) `[out, rank]`.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        base, inputs, down, up, scale = given
        rows = inputs.reshape(-1, inputs.shape[-1])
        down_low, up_low = down.to(inputs.dtype), (up * scale).to(inputs.dtype)
        narrow = rows @ down_low.T
        ctx.save_for_backward(rows, narrow, down_low, up_low)
        ctx.scale, ctx.dtype = scale, down.dtype
        total: Tensor = torch.addmm(base.reshape(-1, base.shape[-1]), narrow, up_low.T)
        return total.view(base.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        rows, narrow, down, up = ctx.saved_tensors  # once: see `memory.linear`
        wanted = grad.reshape(-1, grad.shape[-1])
        narrow_grad = wanted @ up
        down_grad = (narrow_grad.T @ rows).to(ctx.dtype)
        up_grad = (wanted.T @ narrow).to(ctx.dtype) * ctx.scale
        input_grad = None
        if ctx.needs_input_grad[1]:
            input_grad = (narrow_grad @ down).view(*grad.shape[:-1], -1)
        return grad, input_grad, down_grad, up_grad, None


class Linear(peft_layer.Linear):  # type: ignore[misc]  # peft is untyped
    """peft's LoRA layer with this module's forward; made by `shorten`."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the base layer's output and the active adapter's update."""
        name = self.active_adapters[0] if len(self.active_adapters) == 1 else None
        plain = name in self.lora_A and name not in self.lora_variant
        if args or kwargs or not plain or self.disable_adapters or self.merged:
            found: Tensor = super().forward(x, *args, **kwargs)
            return found
        base = self.base_layer(x)
        inputs = self.lora_dropout[name](x).to(base.dtype)
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        if not torch.is_grad_enabled():
            # torch.compile cannot trace a function of its own where nothing asks for a gradient
            update = inputs @ down.to(base.dtype).T @ (up * self.scaling[name]).to(base.dtype).T
            with_update: Tensor = base + update
            return with_update
        total: Tensor = _Sum.apply(base, inputs, down, up, self.scaling[name])  # type: ignore[no-untyped-call]
        return total


def shorten(denoiser: nn.Module) -> None:
    """Have peft's plain LoRA layers compute as this module does; others are left alone."""
    for module in denoiser.modules():
        if type(module) is peft_layer.Linear:
            module.__class__ = Linear
