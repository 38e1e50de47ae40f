"""float32 -> the dtype a model is stored in: to the nearest number, or up or down by chance.

Stochastic rounding takes the upper neighbor with a probability that is the distance to the
lower one, so that the mean is right even where an update is smaller than half a step of
the dtype, which rounding to nearest would lose altogether.
"""

import torch
from torch import Tensor

DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.float8_e4m3fn,
    "fp32": torch.float32,
}
MODES = ("nearest", "stochastic")

_INTEGERS = {1: torch.uint8, 2: torch.int16}
_PIECE = 1 << 22  # numbers at a time: the draws take four more arrays of this size


def rounded(values: Tensor, dtype: torch.dtype, mode: str, seed: int) -> Tensor:
    """Return float32 `values` in `dtype`.

    Args:
        values: float32, of any shape, within the range of `dtype` (fp8 has no infinity: torch
            would turn what is larger into its largest number).
        dtype: bfloat16, float16, float8_e4m3fn, or a wider one (then nothing is drawn).
        mode: "nearest" (ties to even) or "stochastic".
        seed: of the stochastic draws.
    """
    if mode == "nearest" or dtype.itemsize > 2:
        return values.to(dtype)
    generator = torch.Generator().manual_seed(seed)
    flat = values.reshape(-1)
    result = torch.empty(flat.shape, dtype=dtype)
    for start in range(0, flat.numel(), _PIECE):
        piece = flat[start : start + _PIECE]
        result[start : start + _PIECE] = _stochastic(piece, dtype, generator)
    return result.reshape(values.shape)


def _stochastic(values: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Return each value's nearest number in `dtype`, or by chance the one on its other side.

    Of sign-and-magnitude formats the neighbor away from zero is the next bit pattern.
    """
    nearest = values.to(dtype)
    back = nearest.to(torch.float32)
    bits = nearest.abs().view(_INTEGERS[dtype.itemsize]).to(torch.int32)
    other = bits + torch.where(values.abs() > back.abs(), 1, -1)
    other = other.clamp_min(0).to(_INTEGERS[dtype.itemsize]).view(dtype)
    signed = torch.copysign(other.to(torch.float32), values)
    share = (values - back).abs() / (signed - back).abs()  # NaN beyond the largest: never drawn
    drawn = torch.rand(values.shape, generator=generator) < share
    return torch.where(drawn, signed, back).to(dtype)
