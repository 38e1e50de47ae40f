"""Which linears of a skeleton are stored in fewer bits, and what that came to.

Order (see ARCHITECTURE.md, "Frozen base, then adapter"): quantize, freeze, and only then
attach the adapter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bioicons_kit.errors import ModelError
from bioicons_kit.memory.levels import LEVELS, NONE
from bioicons_kit.memory.linear import QuantizedLinear


@dataclass(frozen=True)
class Coverage:
    """What loading did: how many weights and bytes, and which were quantized.

    Attributes:
        parameters: numbers in the model, biases and norms included.
        quantized: names of the linears stored in 8 or 4 bits.
        quantized_parameters: weights in them (their biases stay as they are).
        bytes: bytes of everything that is now resident.
    """

    parameters: int
    quantized: tuple[str, ...]
    quantized_parameters: int
    bytes: int


def swap_linears(
    model: nn.Module, level: str, exclude: Sequence[str], dtype: torch.dtype = torch.float32
) -> tuple[str, ...]:
    """Replace each `nn.Linear` of a meta-device skeleton by an empty `QuantizedLinear`.

    Args:
        model: the skeleton, changed in place.
        level: "none" (nothing is replaced) or a name of `levels.LEVELS`.
        exclude: regular expressions; a linear whose full name matches one stays as it is.
        dtype: what the layers compute in.

    Returns:
        the names of the replaced linears.

    Raises:
        ModelError: the level cannot store a layer of this width, or an expression matches none.
    """
    if level == NONE:
        return ()
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for pattern in exclude:
        if not any(re.fullmatch(pattern, name) for name in linears):
            raise ModelError(f"memory.keep: '{pattern}' is the name of no linear layer")
    chosen = [name for name in linears if not any(re.fullmatch(p, name) for p in exclude)]
    for name in chosen:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        _require_width(name, linear.in_features, level)
        bias = None if linear.bias is None else nn.Parameter(linear.bias, requires_grad=False)
        new = QuantizedLinear(linear.in_features, linear.out_features, level, bias, dtype)
        model.set_submodule(name, new)
    return tuple(chosen)


def coverage(model: nn.Module, quantized: Sequence[str]) -> Coverage:
    """Count what is resident, and make sure that nothing stayed on the meta device."""
    held = [*model.parameters(), *model.buffers()]
    assert not any(tensor.is_meta for tensor in held), "a weight was never filled"
    layers = [model.get_submodule(name) for name in quantized]
    weights = sum(m.in_features * m.out_features for m in layers if isinstance(m, nn.Linear))
    return Coverage(
        parameters=sum(p.numel() for p in model.parameters()) + weights,
        quantized=tuple(quantized),
        quantized_parameters=weights,
        bytes=sum(tensor.nbytes for tensor in held),
    )


def _require_width(name: str, in_features: int, level: str) -> None:
    """Refuse a layer whose rows do not divide into the level's groups."""
    step = LEVELS[level].step
    if in_features % step:
        raise ModelError(
            f"memory: {level} stores weights in groups of {step}, and the layer '{name}' is "
            f"{in_features} wide; choose an 8-bit level, or leave such layers as they are with "
            "memory.keep"
        )
