"""Weights into a model, tensor by tensor, quantized as they come.

The model arrives as a skeleton on the meta device; each tensor is read, some rows at a time,
by `pread` into memory of its own (the pages of a memory map would count as the process's),
quantized on the target device and put in place. What is resident is what is finished, and
some ten megabytes on their way; what the allocator keeps of them is handed back to the
system after each layer's worth. Names and shapes are checked before the first is read: a
missing, extra or misshapen tensor is an error that names it.

A quantized model can be kept for the next start (see `saved`), and is then only read.
"""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bioicons_kit.errors import DamagedFileError, ModelError
from bioicons_kit.memory import levels, quantize, saved
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.shards import Weights
from bioicons_kit.tensor_stream import Slot

_PIECE = 2**20  # weights read and quantized at a time; in float32 some copies of 4 MB
_LAYER = 64 * 2**20  # bytes read between two times of handing memory back


def load(
    model: nn.Module,
    weights: Weights,
    *,
    level: str,
    exclude: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    advance: Callable[[int], object] = lambda _: None,
    keep: saved.Place | None = None,
    away: Sequence[str] = (),
) -> quantize.Coverage:
    """Fill a meta-device skeleton and freeze it.

    Args:
        model: the skeleton (parameters on the meta device), changed in place.
        weights: every parameter exactly once, under its name in the model.
        level: "none" or a name of `levels.LEVELS`.
        exclude: regular expressions; linears whose whole name matches one stay in `dtype`.
        dtype: dtype of everything that is not quantized.
        device: where the tensors are quantized and stay.
        advance: called with the bytes of the weights' files that each step has dealt with.
        keep: where the quantized model is read from, or else written to; nowhere if None.
        away: names of modules whose tensors go to the host as soon as they are finished.

    Raises:
        ModelError: a name is missing or unknown, a shape is another, or the level cannot be
            had here.
        DamagedFileError: a file is not readable.
    """
    levels.require(level, device)
    spellings = _spellings(model)
    found = _check(weights, spellings, {name: p.shape for name, p in model.named_parameters()})
    quantized = quantize.swap_linears(model, level, exclude, dtype)
    place = _Placing(model, spellings, device, dtype, tuple(f"{name}." for name in away))
    slots = _slots(model, dtype)
    if not _read_kept(place, weights, slots, keep, advance):
        with saved.written(keep, slots) as put:
            _stream(place, weights, found, put, advance)
    release()
    model.requires_grad_(False)
    return quantize.coverage(model, quantized)


def release() -> None:
    """Hand memory that is allocated and free back to the system, where it has a way to."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
        if trim is not None:
            trim(0)


class _Placing(NamedTuple):
    """A skeleton being filled.

    Attributes:
        model: the skeleton, its linears swapped.
        spellings: see `_spellings`.
        device: where its tensors go.
        dtype: what everything is cast to that is not quantized.
        away: prefixes of the tensors that stay on the host in the end.
    """

    model: nn.Module
    spellings: Mapping[str, Sequence[str]]
    device: torch.device
    dtype: torch.dtype
    away: tuple[str, ...]

    def home(self, name: str) -> torch.device:
        """Return where a tensor stays."""
        return torch.device("cpu") if name.startswith(self.away) else self.device

    def quantized(self, name: str) -> QuantizedLinear | None:
        """Return the layer whose stored weight `name` is, if it is one."""
        owner, _, leaf = name.rpartition(".")
        module = self.model.get_submodule(owner)
        return module if isinstance(module, QuantizedLinear) and leaf == "weight" else None

    def put(self, name: str, tensor: Tensor) -> None:
        """Put a finished tensor where the model has it: a parameter, or part of a storage."""
        owner, _, leaf = name.rpartition(".")
        module = self.model.get_submodule(owner)
        if isinstance(module, QuantizedLinear) and leaf in module.slots:
            setattr(module, leaf, tensor)
            return
        parameter = nn.Parameter(tensor, requires_grad=False)
        for spelling in self.spellings[name]:
            owner, _, leaf = spelling.rpartition(".")
            setattr(self.model.get_submodule(owner), leaf, parameter)


def _spellings(model: nn.Module) -> dict[str, list[str]]:
    """Return every name of each parameter by its first: T5 has its embedding under two."""
    first = {id(p): name for name, p in model.named_parameters()}
    spellings: dict[str, list[str]] = {name: [] for name in first.values()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        spellings[first[id(parameter)]].append(name)
    return spellings


def _check(
    weights: Weights, spellings: Mapping[str, Sequence[str]], expected: Mapping[str, torch.Size]
) -> dict[str, str]:
    """Return the file's name for each parameter, in the file's order; refuse what differs."""
    firsts = {spelling: name for name, every in spellings.items() for spelling in every}
    found: dict[str, str] = {}
    for spelling, shape in weights.shapes.items():
        if spelling not in firsts:
            raise ModelError(
                f"{weights.file(spelling)}: unknown weight '{spelling}'; "
                "these weights are of another model"
            )
        name = firsts[spelling]
        if shape != tuple(expected[name]):
            raise ModelError(
                f"{weights.file(spelling)}: weight '{spelling}' has shape {list(shape)}, "
                f"the model's config asks for {list(expected[name])}"
            )
        found.setdefault(name, spelling)
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise ModelError(
            f"{weights.where}: {len(missing)} of the model's weights missing, "
            f"first {missing[0]}; the download or copy is incomplete"
        )
    return found


def _slots(model: nn.Module, dtype: torch.dtype) -> dict[str, Slot]:
    """Return dtype and shape of every tensor the filled model will hold."""
    slots = {name: Slot(dtype, tuple(p.shape)) for name, p in model.named_parameters()}
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            slots |= {f"{name}.{kept}": slot for kept, slot in module.slots.items()}
    return slots


def _stream(
    place: _Placing,
    weights: Weights,
    found: Mapping[str, str],
    put: Callable[[str, Tensor], None],
    advance: Callable[[int], object],
) -> None:
    """Read every weight, quantize what is to be, and put it in its place; hand it to `put` too."""
    unreleased = 0
    for name, spelling in found.items():
        layer = place.quantized(name)
        if layer is None:
            value = _cast(weights, spelling, place.dtype, place.home(name))
            place.put(name, value)
            put(name, value)
        else:
            layer.allocate(place.home(name))
            _quantize(layer, weights, spelling, place.device)
            for part, tensor in zip(layer.slots, layer.kept, strict=True):
                put(f"{name.removesuffix('weight')}{part}", tensor)
        advance(weights.nbytes(spelling))
        unreleased += weights.nbytes(spelling)
        if unreleased > _LAYER:
            release()
            unreleased = 0


def _quantize(layer: QuantizedLinear, weights: Weights, name: str, device: torch.device) -> None:
    """Read a weight piece by piece, and quantize it on `device`, into a layer's storage."""
    for rows in _pieces(weights.shapes[name]):
        piece = weights.read(name, rows).to(device)
        layer.fill(levels.LEVELS[layer.level].encode(piece), rows)


def _cast(weights: Weights, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Read a weight piece by piece into a tensor of `dtype`."""
    shape = weights.shapes[name]
    if not shape:
        return weights.read(name, None).to(device, dtype)
    value = torch.empty(shape, dtype=dtype, device=device)
    for rows in _pieces(shape):
        value[rows] = weights.read(name, rows).to(device)
    return value


def _pieces(shape: Sequence[int]) -> Iterator[slice]:
    """Yield slices of rows that together are a tensor, each of about `_PIECE` numbers."""
    step = max(1, _PIECE // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _read_kept(
    place: _Placing,
    weights: Weights,
    slots: Mapping[str, Slot],
    keep: saved.Place | None,
    advance: Callable[[int], object],
) -> bool:
    """Fill the model from what an earlier start kept; tell whether that was possible."""
    tensors = saved.read(keep, slots)
    if tensors is None:
        return False
    # the bar counts bytes of the base model's files, of which these are a part
    ratio = sum(map(weights.nbytes, weights.shapes)) / sum(s.nbytes for s in slots.values())
    try:
        for name, tensor in tensors:
            place.put(name, tensor.to(place.home(name)))
            advance(int(tensor.nbytes * ratio))
    except DamagedFileError as error:
        saved.told(error)
        return False
    return True
