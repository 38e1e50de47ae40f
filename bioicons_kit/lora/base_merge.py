"""LoRAs into a model: each weight is read, changed in float32, rounded, written, forgotten.

Layout, sharding and names of the model stay as they are; everything that is not changed is
copied bit for bit. At most one weight matrix is in memory (FLUX's largest: 66 million
numbers), however large the model. All LoRAs are added in the same pass.

A DoRA module is `W + weight * (m V / |V| - W)`: its full effect times the weight.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bioicons_kit.errors import LoraError, ModelError
from bioicons_kit.lora import checkpoint, fuse
from bioicons_kit.lora.checkpoint import Checkpoint, ModelFile, Weight
from bioicons_kit.lora.formats import listed
from bioicons_kit.lora.layer import decomposed, norm, stacked
from bioicons_kit.lora.merge import Term
from bioicons_kit.lora.rounding import rounded
from bioicons_kit.lora.svd import seed_of

_DENOISERS = {"transformer", "unet", ""}
# What else a single file holds: these keep their dtype.
_BESIDE_THE_DENOISER = ("first_stage_model.", "cond_stage_model.", "text_encoders.", "vae.")

Sums = Mapping[str, Sequence[Term]]  # by "component.module"


@dataclass(frozen=True)
class Change:
    """What merging did to one module's weight.

    Attributes:
        name: "component.module".
        weight: Frobenius norm of the weight before.
        effect: Frobenius norm of the update.
        rounding: Frobenius norm of what rounding to the stored dtype changed besides.
    """

    name: str
    weight: float
    effect: float
    rounding: float


@dataclass(frozen=True)
class Rounding:
    """How numbers are stored.

    Attributes:
        dtype: of matrices; None keeps each tensor's own. (fp8: the rest becomes bfloat16.)
        mode: "nearest" or "stochastic".
        seed: of stochastic rounding.
    """

    dtype: torch.dtype | None = None
    mode: str = "nearest"
    seed: int = 0

    def dtype_of(self, own: torch.dtype, shape: tuple[int, ...]) -> torch.dtype:
        """Return the dtype in which a tensor of dtype `own` is stored."""
        if self.dtype is None or not own.is_floating_point:
            return own
        if self.dtype.itemsize == 1 and len(shape) < 2:
            return torch.bfloat16  # biases and norms are small, and fp8 would spoil them
        return self.dtype


def match(base: Checkpoint, sums: Sums, ignore_unmatched: bool) -> dict[str, Sequence[Term]]:
    """Return the updates that have a module in the model.

    Raises:
        LoraError: none has, some have not (and are not to be ignored), or widths differ.
        ModelError: the weights they would be added to are quantized.
    """
    components = {name.partition(".")[0] for name in sums}
    checkpoint.require_whole([f for f in base.files if f.component in {*components, ""}])
    missing = [name for name in sums if name not in base.modules]
    if len(missing) == len(sums):
        raise LoraError(f"{base.root}: none of the LoRA's modules is in it: {listed(missing)}")
    if missing and not ignore_unmatched:
        raise LoraError(
            f"{base.root}: {len(missing)} of the LoRA's {len(sums)} modules are not in it: "
            f"{listed(missing)}; --ignore-unmatched merges the others"
        )
    found = {name: parts for name, parts in sums.items() if name in base.modules}
    wrong = [name for name, parts in found.items() if not _fits(base.modules[name], parts)]
    if wrong:
        name = wrong[0]
        theirs, ours = list(found[name][0].layer.shape), list(base.modules[name].shape)
        raise LoraError(
            f"{base.root}: the LoRA was made for another model: {listed(wrong)} "
            f"({theirs} in the LoRA, {ours} in the model)"
        )
    _require_positive_dora(found)
    return found


class Merger:
    """Makes one file's tensors, with updates added; collects what was changed.

    Attributes:
        base: the model.
        sums: the updates, each of which has a module in it (see `match`).
        changes: of the modules merged so far.
    """

    def __init__(self, base: Checkpoint, sums: Sums, rounding: Rounding) -> None:
        self.sums = sums
        self._rounding = rounding
        self._by_key: dict[tuple[ModelFile, str], list[str]] = {}
        for name in sums:
            weight = base.modules[name]
            self._by_key.setdefault((weight.file, weight.key), []).append(name)
        self.base = base
        self.changes: list[Change] = []

    def touches(self, file: ModelFile) -> bool:
        """Tell whether any tensor of `file` is changed, or stored in another dtype."""
        merged = any(each is file for each, _ in self._by_key)
        return merged or (self._rounding.dtype is not None and file.component in _DENOISERS)

    def dtype(self, file: ModelFile, key: str) -> torch.dtype:
        """Return the dtype in which a tensor will be stored."""
        entry = file.source.entries[key]
        if entry.dtype is None:
            raise ModelError(f"{file.source.path}: '{key}' is {entry.kind}, which is not read here")
        if file.component not in _DENOISERS or key.startswith(_BESIDE_THE_DENOISER):
            return entry.dtype
        return self._rounding.dtype_of(entry.dtype, entry.shape)

    def make(self, file: ModelFile, key: str) -> Tensor:
        """Return one tensor of the merged model.

        Raises:
            ModelError: a number is none, or beyond the range of the dtype.
        """
        stored = file.source.read(key)
        dtype = self.dtype(file, key)
        names = self._by_key.get((file, key), [])
        if not names and dtype == stored.dtype:
            return stored
        exact = stored.to(torch.float32)
        matrix = exact.reshape(exact.shape[0], -1) if exact.ndim else exact
        before = {name: self._add(name, matrix) for name in names}
        self._require_range(file, key, exact, dtype)
        result = rounded(exact, dtype, self._rounding.mode, seed_of(self._rounding.seed, key))
        for name, (weight, effect) in before.items():
            rows = self.base.modules[name].rows
            error = float((result[rows].to(torch.float32) - exact[rows]).norm())
            self.changes.append(Change(name, weight, effect, error))
        return result

    def _add(self, name: str, matrix: Tensor) -> tuple[float, float]:
        """Add a module's updates to its rows of `matrix`; return the norms before and of them."""
        weight = self.base.modules[name]
        rows = matrix[weight.rows]
        size = float(rows.norm())
        effect = add(rows, self.sums[name], weight.swapped)
        return size, effect

    def _require_range(self, file: ModelFile, key: str, exact: Tensor, dtype: torch.dtype) -> None:
        """Refuse numbers that `dtype` cannot hold."""
        low, high = exact.aminmax() if exact.numel() else (exact.sum(), exact.sum())
        largest = float(torch.maximum(-low, high))
        if not largest <= torch.finfo(dtype).max:  # NaN is not, either
            raise ModelError(
                f"{file.source.path}: '{key}' would hold {largest:g}, and {dtype} ends at "
                f"{torch.finfo(dtype).max:g}; is the base or a LoRA damaged, a weight too large?"
            )


def add(rows: Tensor, parts: Sequence[Term], swapped: bool) -> float:
    """Add updates to a weight matrix `[out, in * ...]`, in place; return their norm."""
    if swapped:
        parts = [Term(fuse.swap_halves(term.layer), term.weight) for term in parts]
    plain = [term for term in parts if term.layer.dora is None]
    up, down = rows.new_zeros(rows.shape[0], 1), rows.new_zeros(1, rows.shape[1])
    if plain:
        up, down = stacked([term.layer for term in plain], [term.weight for term in plain])
    if len(plain) == len(parts):
        rows.addmm_(up, down)
        return norm(up, down)
    total = up @ down
    for term in parts:
        if term.layer.dora is not None:  # each from the weight as it was
            total += term.weight * (decomposed(rows, term.layer) - rows)
    rows += total
    return float(total.norm())


def _fits(weight: Weight, parts: Sequence[Term]) -> bool:
    """Tell whether updates have the widths of a weight (a linear's may stand for a 1 x 1)."""
    ours = weight.shape[:2] if weight.shape[2:] == (1, 1) else weight.shape
    shapes = [term.layer.shape for term in parts]
    return all((s[:2] if s[2:] == (1, 1) else s) == ours for s in shapes)


def _require_positive_dora(sums: Sums) -> None:
    """Refuse to subtract DoRA: what it does to a weight cannot be told from the result."""
    for name, term in _terms(sums):
        if term.layer.dora is not None and term.weight < 0:
            raise LoraError(f"'{name}' has a DoRA scale, which a negative weight cannot undo")


def _terms(sums: Sums) -> Iterator[tuple[str, Term]]:
    """Yield every update with its module's name."""
    for name, parts in sums.items():
        for term in parts:
            yield name, term
