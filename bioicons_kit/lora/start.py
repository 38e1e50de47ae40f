"""Going on from an existing LoRA, of any layout, in an adapter of the preset's own shape."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from bioicons_kit import console
from bioicons_kit.errors import LoraError
from bioicons_kit.lora import adapter, formats, svd
from bioicons_kit.lora.adapter import Size
from bioicons_kit.lora.layer import Layer
from bioicons_kit.preset import Lora


def layers(
    settings: Lora, sizes: Mapping[str, Size], skeleton: nn.Module, component: str
) -> dict[str, Layer]:
    """Return the layers that a preset's `lora.start` begins with, for `adapter.put`.

    Modules of the targets that the file lacks begin at zero. Where `start_ranks` is
    "resize", an update of a higher rank than its module's is cut to its largest singular
    values (Eckart and Young 1936), one of a lower rank stays as it is.

    Args:
        settings: has the file and what to do with other ranks.
        sizes: rank and alpha of each module that gets an adapter.
        skeleton: the denoiser, with or without weights.
        component: the denoiser's name in the file.

    Raises:
        DamagedFileError: the file is not readable.
        LoraError: it is no LoRA, or does not fit the model, the targets, the ranks or DoRA.
    """
    if settings.start is None:
        return {}
    path = Path(settings.start)
    if not path.is_file():
        raise LoraError(f"lora.start: {path}: no such LoRA file")
    lora = formats.read(path)
    found = lora.of(component)
    if not found:
        raise LoraError(f"{path}: holds nothing for the model's {component}")
    _require_fit(path, found, sizes, settings)
    adapter.check(skeleton, found, path)
    if len(found) < len(lora.layers):
        others = len(lora.layers) - len(found)
        console.warn(f"{path.name}: {others} of its modules are not {component}'s, and left out")
    return {name: _cut(layer, sizes[name].rank) for name, layer in found.items()}


def _require_fit(
    path: Path, found: Mapping[str, Layer], sizes: Mapping[str, Size], settings: Lora
) -> None:
    """Refuse what the adapter could not hold."""
    spare = [name for name in found if name not in sizes]
    if spare:
        raise LoraError(
            f"{path}: {len(spare)} of its {len(found)} modules are not among lora.targets, first "
            f"'{spare[0]}'; add them to lora.targets, or their part of the LoRA would be lost"
        )
    for name, layer in found.items():
        if layer.rank != sizes[name].rank and settings.start_ranks != "resize":
            raise LoraError(
                f"{path}: module '{name}' is of rank {layer.rank}, the preset's is of rank "
                f"{sizes[name].rank}; set lora.rank = {layer.rank}, or lora.start_ranks = 'resize'"
            )
        if (layer.dora is not None) != settings.dora:
            has = "has a DoRA scale" if layer.dora is not None else "has no DoRA scale"
            raise LoraError(
                f"{path}: module '{name}' {has}; set lora.dora = {str(not settings.dora).lower()}"
            )


def _cut(layer: Layer, rank: int) -> Layer:
    """Return a layer at no higher rank than `rank`."""
    if layer.rank <= rank:
        return layer
    up, down = layer.folded().matrices
    up, down = svd.of_product(up, down).cut(rank)
    return replace(layer, up=up, down=down, alpha=float(rank))
