"""The frozen quantized linear: one byte a weight at rest, exact bias, no saved input.

optimum-quanto makes the stored values (an 8-bit tensor and one scale per output row);
the matrix product is ours, for three reasons:

- on CUDA quanto turns qfloat8 weights into a Marlin tensor whose product drops the bias;
- quanto's autograd function saves the layer's input, which a frozen weight never needs:
  `dX = dY W` has no `X` in it;
- plain byte buffers survive `.to()`, `deepcopy`, DDP's broadcast and `torch.compile`,
  where tensor subclasses do not.

With `W = diag(scale) Q` the scale is applied to the smaller matrix, the output:
`Y = (X Q^T) * scale + b`, `dX = (dY * scale) Q`. Casting Q to bf16 or float32 is exact.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _QuantizedProduct(torch.autograd.Function):
    """`(X Q^T) * scale + b` with Q stored in 8 bits and only X differentiable."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, quantized: Tensor, scale: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(quantized, scale)
        product = functional.linear(inputs, quantized.to(inputs.dtype))
        scale = scale.to(inputs.dtype)
        if bias is None:
            return product * scale
        return torch.addcmul(bias.to(inputs.dtype), product, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        quantized, scale = ctx.saved_tensors
        (grad,) = grads
        return (grad * scale.to(grad.dtype)) @ quantized.to(grad.dtype), None, None, None


class QuantizedLinear(nn.Linear):
    """A linear layer whose frozen weight is stored in 8 bits, one scale per output row.

    It is an `nn.Linear` so that peft attaches LoRA to it, but it has no weight parameter:
    `weight` only tells shape, dtype and device, the values are `dequantized()`, and nothing
    can be merged into it.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        dtype: 8-bit storage dtype, `torch.float8_e4m3fn` or `torch.int8`.
        bias: the layer's bias, kept as it is, or None.

    Shapes: input `[..., in_features]`, output `[..., out_features]`.
    """

    def __init__(
        self, in_features: int, out_features: int, dtype: torch.dtype, bias: nn.Parameter | None
    ) -> None:
        nn.Module.__init__(self)  # nn.Linear's own would allocate the full weight
        self.in_features = in_features
        self.out_features = out_features
        self.storage_dtype = dtype
        # Bytes, not floats: `.to(torch.bfloat16)` on a model casts every floating buffer.
        self.stored: Tensor
        self.scale: Tensor
        self.register_buffer(
            "stored", torch.empty(out_features, in_features, dtype=torch.uint8, device="meta")
        )
        self.register_buffer("scale", torch.empty(out_features, dtype=torch.float32, device="meta"))
        self.register_parameter("bias", bias)

    def fill(self, quantized: Tensor, scale: Tensor) -> None:
        """Take the stored values `[out, in]` and the scales `[out]` as the layer's weight."""
        assert quantized.shape == self.stored.shape, (quantized.shape, self.stored.shape)
        self.stored = quantized.to(self.storage_dtype).view(torch.uint8)
        self.scale = scale.to(torch.float32).reshape(self.out_features)

    @property
    def quantized(self) -> Tensor:
        """The stored weight `[out, in]` in its 8-bit dtype, sharing the buffer's memory."""
        return self.stored.view(self.storage_dtype)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # read-only on purpose
        """A stand-in for the weight: its shape, device and the layer's dtype, values NaN.

        peft asks each layer for these a dozen times while attaching; the values, which would
        be computed each time, it does not use. Whatever does gets NaN, not a wrong picture.
        """
        dtype = self.scale.dtype if self.bias is None else self.bias.dtype
        one = torch.full((), torch.nan, dtype=dtype, device=self.scale.device)
        return one.expand(self.out_features, self.in_features)

    def dequantized(self) -> Tensor:
        """Return the weight's values `[out, in]`, float32."""
        return self.quantized.to(torch.float32) * self.scale[:, None]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # nn.Linear's name for it
        """Return `input W^T + bias`, in autocast's dtype where autocast is on."""
        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            input = input.to(torch.get_autocast_dtype(kind))  # noqa: A001
        product: Tensor = _QuantizedProduct.apply(  # type: ignore[no-untyped-call]
            input, self.quantized, self.scale, self.bias
        )
        return product

    def extra_repr(self) -> str:
        """Say the widths and the storage dtype."""
        return f"{self.in_features}, {self.out_features}, storage={self.storage_dtype}"
