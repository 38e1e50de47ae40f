"""The frozen quantized linear: half a byte or a byte a weight, exact bias, no saved input.

optimum-quanto or bitsandbytes make the stored values (see `levels`); the matrix product is
ours, for three reasons:

- on CUDA quanto turns qfloat8 weights into a Marlin tensor whose product drops the bias;
- quanto's autograd function saves the layer's input, which a frozen weight never needs:
  `dX = dY W` has no `X` in it;
- plain buffers survive `.to()`, `deepcopy`, DDP's broadcast and `torch.compile`, where tensor
  subclasses do not.

In the 8-bit levels `W = diag(scale) Q`, and the scale is applied to the smaller matrix, the
output: `Y = (X Q^T) * scale + b`, `dX = (dY * scale) Q`. Casting Q to bf16 or float32 is
exact. In the 4-bit levels the weight is decoded for the length of one product.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioicons_kit.memory.levels import LEVELS


class _QuantizedProduct(torch.autograd.Function):
    """`X W^T + b` with W in storage and only X differentiable."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, bias: Tensor | None, level: str, stays: bool, *kept: Tensor
    ) -> Tensor:
        ctx.level = level
        # What is saved, checkpointing brings back by running the block again up to here; storage
        # that stays where it is can be held as it is, so that no product is made just for it.
        ctx.held = kept if stays and not torch.compiler.is_compiling() else None
        if ctx.held is None:
            ctx.save_for_backward(*kept)
        return _product(inputs, bias, level, kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        # once: each time, checkpointing would compute them again
        kept = ctx.saved_tensors if ctx.held is None else ctx.held
        values, scale = LEVELS[ctx.level].decode(kept, grad.dtype)
        scaled = grad if scale is None else grad * scale
        return scaled @ values, None, None, None, *(None for _ in kept)


def _product(inputs: Tensor, bias: Tensor | None, level: str, kept: Sequence[Tensor]) -> Tensor:
    """Return `X W^T + b`."""
    values, scale = LEVELS[level].decode(kept, inputs.dtype)
    bias = None if bias is None else bias.to(inputs.dtype)
    if scale is None:
        return functional.linear(inputs, values, bias)
    product = functional.linear(inputs, values)
    return product * scale if bias is None else torch.addcmul(bias, product, scale)


class QuantizedLinear(nn.Linear):
    """A linear layer whose frozen weight is stored in 8 or 4 bits.

    It is an `nn.Linear` so that peft attaches LoRA to it, but it has no weight parameter:
    `weight` only tells shape, dtype and device, the values are `dequantized()`, and nothing
    can be merged into it. The storage is in buffers, named as the level names them; the first
    is `stored`.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        level: how the weight is stored, a name of `levels.LEVELS`.
        bias: the layer's bias, kept as it is, or None.
        dtype: what the layer computes in, for those who ask for its weight's dtype.

    Attributes:
        stays: whether the storage is where it is for the whole of a step; `offload` moves some.

    Shapes: input `[..., in_features]`, output `[..., out_features]`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        level: str,
        bias: nn.Parameter | None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        nn.Module.__init__(self)  # nn.Linear's own would allocate the full weight
        self.in_features = in_features
        self.out_features = out_features
        self.level = level
        self.stays = True
        self.dtype = dtype
        self.slots = LEVELS[level].slots(out_features, in_features)
        self.stored: Tensor
        for name, slot in self.slots.items():
            self.register_buffer(name, torch.empty(slot.shape, dtype=slot.dtype, device="meta"))
        self.register_parameter("bias", bias)

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The storage, in the order of `slots`."""
        return tuple(getattr(self, name) for name in self.slots)

    def allocate(self, device: torch.device) -> None:
        """Make room for the storage on `device`; its values are undefined until filled."""
        for name, slot in self.slots.items():
            setattr(self, name, torch.empty(slot.shape, dtype=slot.dtype, device=device))

    def fill(self, kept: Iterable[Tensor], rows: slice = slice(None)) -> None:
        """Take the storage of the whole weight, or of some of its rows, in `slots`' order.

        Before rows are filled there has to be room for all (`allocate`).
        """
        for (name, slot), tensor in zip(self.slots.items(), kept, strict=True):
            assert tensor.dtype == slot.dtype, (name, tensor.dtype, slot.dtype)
            if rows == slice(None):
                assert tuple(tensor.shape) == slot.shape, (name, tensor.shape, slot.shape)
                setattr(self, name, tensor)
            else:
                getattr(self, name)[rows] = tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # read-only on purpose
        """A stand-in for the weight: its shape, device and the layer's dtype, values NaN.

        peft asks each layer for these a dozen times while attaching; the values, which would
        be computed each time, it does not use. Whatever does gets NaN, not a wrong picture.
        """
        dtype = self.dtype if self.bias is None else self.bias.dtype
        one = torch.full((), torch.nan, dtype=dtype, device=self.stored.device)
        return one.expand(self.out_features, self.in_features)

    def dequantized(self) -> Tensor:
        """Return the weight's values `[out, in]`, float32."""
        values, scale = LEVELS[self.level].decode(self.kept, torch.float32)
        return values if scale is None else values * scale[:, None]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # nn.Linear's name for it
        """Return `input W^T + bias`, in autocast's dtype where autocast is on."""
        kind = input.device.type
        # the meta device knows no autocast, and is asked when a run is planned
        if kind != "meta" and torch.is_autocast_enabled(kind):
            input = input.to(torch.get_autocast_dtype(kind))  # noqa: A001
        if not (torch.is_grad_enabled() and input.requires_grad):
            # torch.compile cannot trace a function of its own where nothing asks for a gradient
            return _product(input, self.bias, self.level, self.kept)
        product: Tensor = _QuantizedProduct.apply(  # type: ignore[no-untyped-call]
            input, self.bias, self.level, self.stays, *self.kept
        )
        return product

    def extra_repr(self) -> str:
        """Say the widths and the storage level."""
        return f"{self.in_features}, {self.out_features}, level={self.level}"
