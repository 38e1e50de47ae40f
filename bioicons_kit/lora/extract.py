"""The difference of two models as a LoRA.

Module by module, `tuned - base` is taken apart and cut at a rank, so that at most two
weights are in memory. The two models may be stored in different layouts. What is no
weight matrix of a known module (biases, norms, embeddings) a LoRA cannot hold; if it
differs, that is told.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bioicons_kit.errors import LoraError, ModelError
from bioicons_kit.lora import checkpoint, svd
from bioicons_kit.lora.checkpoint import Checkpoint
from bioicons_kit.lora.formats import listed
from bioicons_kit.lora.layer import Layer


@dataclass(frozen=True)
class Extracted:
    """One module's difference as an update.

    Attributes:
        layer: at the rank asked for, or less where it needs less.
        effect: Frobenius norm of the difference.
        error: what the rank lost of it, relative.
    """

    layer: Layer
    effect: float
    error: float


def extract(
    base: Checkpoint,
    tuned: Checkpoint,
    rank: int,
    seed: int,
    advance: Callable[[int], object] = lambda _: None,
) -> dict[str, Extracted]:
    """Return the modules in which two models differ, as updates of at most `rank`.

    Args:
        base: the model before.
        tuned: the model after.
        rank: of the updates.
        seed: of the random directions used for large matrices.
        advance: called with 1 after each module (for a progress bar).

    Raises:
        ModelError: the models have different modules or widths, or are quantized.
        LoraError: no module differs.
    """
    names = common(base, tuned)
    found = {}
    for name in names:
        difference = tuned.modules[name].read().sub_(base.modules[name].read())
        advance(1)
        if not bool(difference.any()):
            continue
        if not bool(torch.isfinite(difference).all()):
            raise ModelError(f"'{name}' holds values that are no finite numbers")
        parts = svd.of_matrix(difference, rank, svd.seed_of(seed, name))
        needed = max(1, int((parts.values > 0).sum()))
        shape = base.modules[name].shape
        layer = _layer(*parts.cut(min(rank, needed)), shape)
        found[name] = Extracted(layer, parts.square**0.5, parts.error(layer.rank))
    if not found:
        raise LoraError(f"{tuned.root} and {base.root}: no module differs; nothing to extract")
    return found


def common(base: Checkpoint, tuned: Checkpoint) -> tuple[str, ...]:
    """Return the modules that both models have.

    Raises:
        ModelError: they have different modules or widths, or one is quantized.
    """
    checkpoint.require_whole((*base.files, *tuned.files))
    names = tuple(name for name in base.modules if name in tuned.modules)
    parts = {name.partition(".")[0] for name in names}
    alone = [
        name
        for name in base.modules.keys() ^ tuned.modules.keys()
        if name.partition(".")[0] in parts  # a model without text encoders has none to differ
    ]
    if alone or not names:
        raise ModelError(
            f"{tuned.root} and {base.root} are different models; only one of them has "
            f"{listed(sorted(alone or base.modules))}"
        )
    wrong = [name for name in names if base.modules[name].shape != tuned.modules[name].shape]
    if wrong:
        raise ModelError(f"{tuned.root} and {base.root} differ in width: {listed(wrong)}")
    return names


def beyond(base: Checkpoint, tuned: Checkpoint) -> tuple[str, ...]:
    """Return tensors that differ and that a LoRA cannot hold: biases, norms, embeddings.

    Found by key, so only between models in the same layout.
    """
    theirs = {(file.component, key): file for file in tuned.files for key in file.source.entries}
    held = {(weight.file.component, weight.key) for weight in base.modules.values()}
    found = []
    for file in base.files:
        for key, entry in file.source.entries.items():
            other = theirs.get((file.component, key))
            if (file.component, key) in held or other is None or not entry.is_real:
                continue
            mine, its = file.source.read(key).float(), other.source.read(key).float()
            if not torch.equal(mine, its):
                found.append(key)
    return tuple(found)


def _layer(up: torch.Tensor, down: torch.Tensor, shape: tuple[int, ...]) -> Layer:
    """Return factors as a layer for a weight of this shape."""
    rank = down.shape[0]
    ones = [1] * (len(shape) - 2)
    return Layer(down.reshape(rank, *shape[1:]), up.reshape(shape[0], rank, *ones), float(rank))
