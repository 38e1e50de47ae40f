"""Storage levels: what is kept of a frozen weight, how it is made, and how it comes back.

    level     bits a weight     kept beside the values
    none      16 or 32          nothing: the weight stays in the model's dtype
    qfloat8   8 (e4m3)          a float32 scale a row
    qint8     8                 a float32 scale a row
    qint4     4.25 at width 128 a bfloat16 scale and shift a group of 128, 64 or 32 weights
    nf4       4.5               a float32 scale a block of 64 weights

optimum-quanto makes the values of the first three, bitsandbytes those of nf4 (Dettmers et al.
2023, arXiv:2305.14314: quantiles of the normal distribution). Both are asked for values only;
what is kept are plain tensors, whose first axis is the weight's rows in every level, so that
a weight can be stored rows at a time.

Limits: the 4-bit levels want rows whose length is a multiple of 32 (qint4) or 64 (nf4).
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from bioicons_kit.errors import ModelError
from bioicons_kit.tensor_stream import Slot

NONE = "none"

# A row of zeros would have scale 0 and quantize to NaN (0 / 0); any positive scale keeps it 0.
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny

_GROUPS = (128, 64, 32)  # quanto's own, the largest that divides a row
_BLOCK = 64  # bitsandbytes' smallest that every version of it has
_BNB_DEVICES = ("cuda", "cpu")


class Decoded(NamedTuple):
    """A weight out of its storage: `W = diag(scale) values`.

    Attributes:
        values: `[out, in]`.
        scale: `[out]`, where it pays to apply it to the product; None where it is in `values`.
    """

    values: Tensor
    scale: Tensor | None


class Level(Protocol):
    """One way to store a weight `[out, in]`.

    Attributes:
        name: as presets call it.
        libraries: distributions whose version shapes the stored values.
        step: a row's length has to be a multiple of this.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # see the class
    @property
    def libraries(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def step(self) -> int: ...  # noqa: D102

    def slots(self, out_features: int, in_features: int) -> dict[str, Slot]:
        """Return dtype and shape of each tensor that is kept, `stored` (bytes) first."""
        ...

    def encode(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of a weight, or of some of its rows, in the order of `slots`."""
        ...

    def decode(self, kept: Sequence[Tensor], dtype: torch.dtype) -> Decoded:
        """Return the weight, in `dtype`, from the tensors in the order of `slots`."""
        ...


@dataclass(frozen=True)
class _Rows:
    """8 bits a weight and one scale a row.

    Casting the values to bfloat16 or float32 is exact, and the scale is applied to the
    product, which is smaller than the weight.
    """

    name: str
    dtype: torch.dtype
    libraries = ("optimum-quanto",)
    step = 1

    def slots(self, out_features: int, in_features: int) -> dict[str, Slot]:
        # Bytes, not floats: `.to(torch.bfloat16)` on a model casts every floating buffer.
        return {
            "stored": Slot(torch.uint8, (out_features, in_features)),
            "scale": Slot(torch.float32, (out_features,)),
        }

    def encode(self, weight: Tensor) -> tuple[Tensor, ...]:
        from optimum.quanto import AbsmaxOptimizer, qtypes, quantize_weight

        weight, qtype = weight.to(torch.float32), qtypes[self.name]
        scale = AbsmaxOptimizer()(weight, qtype, axis=0).clamp_min(_SMALLEST_SCALE)
        # Rounded before it is used, so that computing in bfloat16 adds no error of its own.
        scale = scale.to(torch.bfloat16).to(torch.float32)
        if weight.shape[0] == 1:  # quanto takes a single row for "per tensor", wants a scalar
            scale = scale.reshape(())
        values = quantize_weight(weight, qtype, 0, scale, optimized=False)._data
        return values.to(self.dtype).view(torch.uint8), scale.reshape(-1)

    def decode(self, kept: Sequence[Tensor], dtype: torch.dtype) -> Decoded:
        stored, scale = kept
        if stored.device.type == "cpu" and self.dtype == torch.float8_e4m3fn:
            return Decoded(_float8(stored, dtype), scale.to(dtype))
        return Decoded(stored.view(self.dtype).to(dtype), scale.to(dtype))


@dataclass(frozen=True)
class _Groups:
    """4 bits a weight, `w = scale q - shift` with q in 0..15, scale and shift a group.

    Two values share a byte: one of a group's first half, in the low bits, and its
    counterpart in the second half.
    """

    name: str = "qint4"
    libraries = ("optimum-quanto",)
    step = _GROUPS[-1]

    def slots(self, out_features: int, in_features: int) -> dict[str, Slot]:
        groups = in_features // _group(in_features)
        return {
            "stored": Slot(torch.uint8, (out_features, in_features // 2)),
            "scale": Slot(torch.bfloat16, (out_features, groups)),
            "shift": Slot(torch.bfloat16, (out_features, groups)),
        }

    def encode(self, weight: Tensor) -> tuple[Tensor, ...]:
        from optimum.quanto import MaxOptimizer, qint4

        rows, size = weight.shape[0], _group(weight.shape[1])
        weight = weight.to(torch.float32)
        # `optimize` itself: through `__call__`, quanto would take a single group's axis away
        scale, shift = MaxOptimizer().optimize(weight.reshape(-1, size), qint4, 0)
        # Rounded before they are used: what is stored is what the values were made with.
        scale = scale.clamp_min(_SMALLEST_SCALE).to(torch.bfloat16)
        shift = shift.to(torch.bfloat16)
        # What `quantize_weight` calls. Its packed tensor would be unpacked again by a kernel that
        # quanto compiles with a C++ compiler or nvcc at run time; this is plain torch.
        values = torch.ops.quanto.quantize_affine(
            weight, qint4.bits, 0, size, scale.float(), shift.float()
        )
        low, high = values.reshape(rows, -1, size).chunk(2, dim=-1)
        stored = (low | high << 4).reshape(rows, -1)
        return stored, scale.reshape(rows, -1), shift.reshape(rows, -1)

    def decode(self, kept: Sequence[Tensor], dtype: torch.dtype) -> Decoded:
        stored, scale, shift = kept
        pairs = stored.reshape(*scale.shape, -1)
        values = torch.cat((pairs & 15, pairs >> 4), dim=-1).to(dtype)
        values = values * scale.to(dtype)[..., None] - shift.to(dtype)[..., None]
        return Decoded(values.reshape(stored.shape[0], -1), None)


@dataclass(frozen=True)
class _NormalFloat:
    """4 bits a weight: the number of one of 16 quantiles, and the largest value a block."""

    name: str = "nf4"
    libraries = ("bitsandbytes",)
    step = _BLOCK

    def slots(self, out_features: int, in_features: int) -> dict[str, Slot]:
        return {
            "stored": Slot(torch.uint8, (out_features, in_features // 2)),
            "scale": Slot(torch.float32, (out_features, in_features // _BLOCK)),
        }

    def encode(self, weight: Tensor) -> tuple[Tensor, ...]:
        from bitsandbytes.functional import quantize_4bit

        rows = weight.shape[0]
        flat = weight.to(torch.float32).contiguous()
        stored, state = quantize_4bit(flat, blocksize=_BLOCK, quant_type=self.name)
        return stored.reshape(rows, -1), state.absmax.reshape(rows, -1)

    def decode(self, kept: Sequence[Tensor], dtype: torch.dtype) -> Decoded:
        stored, scale = kept
        shape = (stored.shape[0], 2 * stored.shape[1])
        if stored.is_meta:  # a plan can be made where the library is not installed
            return Decoded(stored.new_empty(shape, dtype=dtype), None)
        import bitsandbytes  # noqa: F401  # brings the operator

        # its kernels know 16 and 32 bits
        made = torch.float32 if dtype == torch.float64 else dtype
        values: Tensor = torch.ops.bitsandbytes.dequantize_4bit(
            stored.reshape(-1, 1),
            scale.reshape(-1).to(torch.float32),
            _BLOCK,
            self.name,
            shape,
            made,
        )
        return Decoded(values.to(dtype), None)


LEVELS: Mapping[str, Level] = {
    level.name: level
    for level in (
        _Rows("qfloat8", torch.float8_e4m3fn),
        _Rows("qint8", torch.int8),
        _Groups(),
        _NormalFloat(),
    )
}


def _float8(stored: Tensor, dtype: torch.dtype) -> Tensor:
    """Return e4m3 numbers, given as bytes, in bfloat16 or float32; exact, on a CPU.

    torch converts them one at a time there, which takes as long as multiplying with them. Here
    sign, exponent and mantissa are put where the wider format has them, and 2^120 makes up for
    the difference of the exponents' biases (7 and 127); e4m3's subnormals are the wider format's
    before, and normal after. NaN, which is never stored, would become 480.
    """
    if dtype == torch.float64:
        return stored.view(torch.float8_e4m3fn).to(dtype)
    integer, shift, mask = {
        torch.bfloat16: (torch.int16, 4, 0x87F0 - 2**16),
        torch.float32: (torch.int32, 20, 0x87F00000 - 2**32),
    }[dtype]
    bits = stored.view(torch.int8).to(integer)  # the sign fills all that is above
    return (bits.bitwise_left_shift_(shift).bitwise_and_(mask)).view(dtype).mul_(2.0**120)


def stored_bytes(
    level: str, out_features: int, in_features: int, dtype: torch.dtype = torch.bfloat16
) -> int:
    """Return the exact bytes that a weight `[out_features, in_features]` takes.

    Args:
        level: "none" or a name of `LEVELS`.
        out_features: rows of the weight.
        in_features: length of a row.
        dtype: what the weight is kept in at level "none".
    """
    if level == NONE:
        return out_features * in_features * dtype.itemsize
    return sum(slot.nbytes for slot in LEVELS[level].slots(out_features, in_features).values())


def require(level: str, device: torch.device, key: str = "quantization") -> None:
    """Refuse a level that cannot be had on this device or with what is installed.

    Args:
        level: "none" or a name of `LEVELS`.
        device: what is to compute with it.
        key: the key of `[memory]` that asks for it.

    Raises:
        ModelError: nf4 without bitsandbytes, or on a device that it is not made for.
    """
    if level != "nf4":
        return
    instead = f'or set memory.{key} = "qint4", of about the same size'
    if device.type not in _BNB_DEVICES:
        raise ModelError(
            f'memory.{key} = "nf4" needs an NVIDIA GPU or a CPU, and this runs on '
            f"{device.type}; {instead}"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f'memory.{key} = "nf4" needs bitsandbytes: pip install -c constraints.txt '
            f"-e '.[bnb]', {instead}"
        )


def _group(in_features: int) -> int:
    """Return the length of qint4's groups in rows of `in_features`."""
    return next(size for size in _GROUPS if in_features % size == 0)
