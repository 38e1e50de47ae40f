"""Weights into a model, tensor by tensor, quantized as they come.

The model arrives as a skeleton on the meta device; each tensor is read from its
safetensors shard, cast, quantized on the target device and put in place, so the
unquantized model never exists in memory. Keys and shapes are checked against the
skeleton: a missing, extra or misshapen tensor is an error that names it.

Order (see ARCHITECTURE.md, "Frozen base, then adapter"): quantize, freeze, and only then
attach the adapter.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from optimum.quanto import AbsmaxOptimizer, qfloat8, qint8, quantize_weight
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bioicons_kit.errors import ModelError
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.tensors import damaged

LEVELS = {"qfloat8": qfloat8, "qint8": qint8}

# A row of zeros would have scale 0 and quantize to NaN (0 / 0); any positive scale keeps it 0.
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Coverage:
    """What loading did: how many weights and bytes, and which were quantized.

    Attributes:
        parameters: numbers in the model, biases and norms included.
        quantized: names of the linears stored in 8 bits.
        quantized_parameters: weights in them (their biases stay as they are).
        bytes: bytes of everything that is now resident.
    """

    parameters: int
    quantized: tuple[str, ...]
    quantized_parameters: int
    bytes: int


def quantize_rows(weight: Tensor, level: str) -> tuple[Tensor, Tensor]:
    """Quantize a weight `[out, in]` per output row.

    Returns:
        the 8-bit values `[out, in]` and the scales `[out]`, float32 that bfloat16 can hold.
    """
    weight = weight.to(torch.float32)
    scale = AbsmaxOptimizer()(weight, LEVELS[level], axis=0).clamp_min(_SMALLEST_SCALE)
    # Rounded before it is used, so that computing in bfloat16 adds no error of its own to it.
    scale = scale.to(torch.bfloat16).to(torch.float32)
    if weight.shape[0] == 1:  # quanto takes a single row for "per tensor" and wants a scalar
        scale = scale.reshape(())
    stored = quantize_weight(weight, LEVELS[level], 0, scale, optimized=False)
    return stored._data, scale.reshape(-1)


def swap_linears(model: nn.Module, level: str, exclude: Sequence[str]) -> tuple[str, ...]:
    """Replace each `nn.Linear` of a meta-device skeleton by an empty `QuantizedLinear`.

    Args:
        model: the skeleton, changed in place.
        level: "none" (nothing is replaced), "qfloat8" or "qint8".
        exclude: regular expressions; a linear whose full name matches one stays as it is.

    Returns:
        the names of the replaced linears.
    """
    if level == "none":
        return ()
    chosen = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(re.fullmatch(p, name) for p in exclude)
    ]
    for name in chosen:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        bias = None if linear.bias is None else nn.Parameter(linear.bias, requires_grad=False)
        new = QuantizedLinear(linear.in_features, linear.out_features, LEVELS[level].dtype, bias)
        _set_module(model, name, new)
    return tuple(chosen)


def load(
    model: nn.Module,
    files: Sequence[Path],
    *,
    level: str,
    exclude: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    advance: Callable[[int], object] = lambda _: None,
) -> Coverage:
    """Fill a meta-device skeleton from safetensors files and freeze it.

    Args:
        model: the skeleton (parameters on the meta device), changed in place.
        files: the shards that together hold every parameter exactly once.
        level: "none", "qfloat8" or "qint8".
        exclude: regular expressions of linears that stay in `dtype`.
        dtype: dtype of everything that is not quantized.
        device: where the tensors are quantized and stay.
        advance: called with the bytes read so far in each step (for a progress bar).

    Raises:
        ModelError: a key is missing, unknown, given twice, or has another shape.
        DamagedFileError: a shard is not readable.
    """
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    quantized = swap_linears(model, level, exclude)
    quantized_keys = {f"{name}.weight" for name in quantized}
    seen: set[str] = set()
    for path, key, tensor in _tensors(files):
        _check(path, key, tensor, expected, seen)
        seen.add(key)
        owner, _, leaf = key.rpartition(".")
        module = model.get_submodule(owner)
        if key in quantized_keys:
            assert isinstance(module, QuantizedLinear)
            module.fill(*quantize_rows(tensor.to(device), level))
        else:
            # copy=True: the file's tensor may be a view of its memory map
            value = tensor.to(device=device, dtype=dtype, copy=True)
            setattr(module, leaf, nn.Parameter(value, requires_grad=False))
        advance(tensor.nbytes)
    missing = sorted(expected.keys() - seen)
    if missing:
        raise ModelError(
            f"{files[0].parent}: {len(missing)} of the model's weights missing, "
            f"first {missing[0]}; the download or copy is incomplete"
        )
    model.requires_grad_(False)
    return _coverage(model, quantized)


def shards(folder: Path, stem: str, variant: str | None) -> tuple[Path, ...]:
    """Return the safetensors files of one model folder, from its index where it has one.

    Args:
        folder: for example `FLUX.1-dev/transformer`.
        stem: "diffusion_pytorch_model" (diffusers) or "model" (transformers).
        variant: "bf16" for files named `stem.bf16.safetensors`, or None.

    Raises:
        ModelError: no such files, or an index that points out of the folder.
    """
    name = stem if variant is None else f"{stem}.{variant}"
    single = folder / f"{name}.safetensors"
    if single.is_file():
        return (single,)
    # diffusers and transformers both put the variant after "index"
    index = folder / f"{stem}.safetensors.index{'' if variant is None else '.' + variant}.json"
    if not index.is_file():
        also = "" if variant is None else f" of variant '{variant}'"
        raise ModelError(f"{folder}: holds no safetensors weights{also} (expected {single.name})")
    try:
        names = {Path(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index}: not a safetensors index ({error})") from error
    if not names:
        raise ModelError(f"{index}: not a safetensors index (it names no weights)")
    found = []
    for file in sorted(names):
        path = folder / file
        if file.name != str(file) or not path.is_file():
            raise ModelError(f"{index}: names the shard '{file}', which is not in {folder}")
        found.append(path)
    return tuple(found)


def _tensors(files: Sequence[Path]) -> Iterator[tuple[Path, str, Tensor]]:
    """Yield every tensor of the shards, one at a time."""
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118  # not a dict
                    yield path, key, file.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise damaged(path, error) from error


def _check(
    path: Path, key: str, tensor: Tensor, expected: dict[str, torch.Size], seen: set[str]
) -> None:
    """Refuse a tensor the skeleton has no place for."""
    if key not in expected:
        raise ModelError(f"{path}: unknown weight '{key}'; these weights are of another model")
    if key in seen:
        raise ModelError(f"{path}: weight '{key}' stands in two shards")
    if tensor.shape != expected[key]:
        raise ModelError(
            f"{path}: weight '{key}' has shape {list(tensor.shape)}, "
            f"the model's config asks for {list(expected[key])}"
        )


def _set_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put `new` in the place of the submodule called `name`."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def _coverage(model: nn.Module, quantized: tuple[str, ...]) -> Coverage:
    """Count what is resident, and make sure that nothing stayed on the meta device."""
    held = [*model.parameters(), *model.buffers()]
    assert not any(tensor.is_meta for tensor in held), "a weight was never filled"
    modules = [model.get_submodule(name) for name in quantized]
    stored = sum(m.stored.numel() for m in modules if isinstance(m, QuantizedLinear))
    return Coverage(
        parameters=sum(p.numel() for p in model.parameters()) + stored,
        quantized=quantized,
        quantized_parameters=stored,
        bytes=sum(tensor.nbytes for tensor in held),
    )
