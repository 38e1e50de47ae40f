"""LoRA files in every layout people have <-> layers by diffusers' module names.

    diffusers   PREFIX.MODULE.lora_A.weight (down), .lora_B.weight (up); alpha, if anywhere,
                in the header (`lora_adapter_metadata`), in `.alpha` tensors, or in the
                `adapter_config.json` beside the file
    kohya       lora_unet_MODULE_WITH_UNDERSCORES.lora_down.weight, .lora_up.weight, .alpha
    bfl         double_blocks.0.img_attn.qkv.lora_A.weight, with or without diffusion_model.
    xlabs       double_blocks.0.processor.qkv_lora1.down.weight

All are read; "diffusers", "kohya" and "bfl" are written. Most readers drop the header's
alpha and then count it as the rank, so in diffusers' layout and BFL's alpha is folded into
`up`, and the file means the same to every reader.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bioicons_kit import tensor_stream, tensors
from bioicons_kit.errors import DamagedFileError, LoraError
from bioicons_kit.lora import fuse, layouts, names, pairs
from bioicons_kit.lora.layer import Layer
from bioicons_kit.lora.metadata import carried
from bioicons_kit.tensor_stream import Slot, Source

__all__ = ["LAYOUTS", "Layer", "Lora", "read", "read_diffusers", "write", "write_diffusers"]

LAYOUTS = tuple(layouts.KEYS)
_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Lora:
    """A LoRA file's content.

    Attributes:
        path: where it came from.
        layouts: the ways of naming its keys follow, the commonest first.
        layers: by "component.module", in diffusers' names.
        metadata: of the header.
        unmatched: keys that were left out, being no part of a known module's LoRA.
    """

    path: Path
    layouts: tuple[str, ...]
    layers: Mapping[str, Layer]
    metadata: Mapping[str, str]
    unmatched: tuple[str, ...] = ()

    def of(self, component: str) -> dict[str, Layer]:
        """Return the layers of one component ("transformer", "unet", ...), by module name."""
        start = f"{component}."
        return {
            name.removeprefix(start): layer
            for name, layer in self.layers.items()
            if name.startswith(start)
        }


def read(path: Path, ignore_unmatched: bool = False) -> Lora:
    """Read a LoRA of any known layout for FLUX.1 or SD1.

    Args:
        path: the file.
        ignore_unmatched: whether to go on without the keys that belong to no known module.

    Raises:
        DamagedFileError: not a readable safetensors file.
        LoraError: no LoRA, keys of no known module, or tensors that do not fit together.
    """
    source = Source(path)
    modules, unknown = pairs.grouped(source.entries)
    _require_some(source, modules)
    places = {name: names.resolve(name) for name in modules}
    unknown += [k for n, place in places.items() if place is None for k in modules[n].values()]
    if unknown and not ignore_unmatched:
        raise LoraError(
            f"{path}: {len(unknown)} key(s) belong to no module known of FLUX.1 or SD1: "
            f"{listed(unknown)}; --ignore-unmatched (as of tools/convert_lora.py) goes on without"
        )
    settings = pairs.stated_alphas(source)
    layers: dict[str, Layer] = {}
    seen: Counter[str] = Counter()
    for name, place in places.items():
        if place is None:
            continue
        seen[place.layout] += 1
        options = settings.get(place.component, settings.get("", {}))
        for full, layer in _placed(source, name, place, modules[name], options).items():
            if full in layers:
                raise LoraError(f"{path}: module '{full}' is in it twice, under different names")
            layers[full] = layer
    if not layers:
        raise LoraError(f"{path}: none of its {len(modules)} modules is known of FLUX.1 or SD1")
    order = tuple(layout for layout, _ in seen.most_common())
    return Lora(path, order, layers, source.metadata, tuple(unknown))


def write(
    path: Path,
    layers: Mapping[str, Layer],
    layout: str,
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a LoRA; return `path`.

    Args:
        path: where to.
        layers: by "component.module", in diffusers' names.
        layout: one of `LAYOUTS`.
        metadata: of the header. What describes the tensors is made anew: ranks, alphas
            and the hash of the data.
        dtype: of the tensors.

    Raises:
        LoraError: the layout cannot say it, or a value does not fit `dtype`; nothing is written.
        StorageError: no room or no permission.
    """
    try:
        content = layouts.KEYS[layout](layers)
    except LoraError as error:
        raise LoraError(f"{path}: not written in {layout}'s layout: {error}") from error
    stored = {
        key: tensor if key.endswith(".alpha") else tensor.to(dtype).contiguous()
        for key, tensor in content.items()
    }
    _require_plausible(path, stored)
    plan = {key: Slot(tensor.dtype, tuple(tensor.shape)) for key, tensor in stored.items()}
    digest = hashlib.sha256()
    for key in tensor_stream.ordered(plan):
        digest.update(tensor_stream.tensor_bytes(stored[key]))
    header = {
        "format": "pt",
        **carried(metadata),
        **layouts.described(content),
        "modelspec.hash_sha256": f"0x{digest.hexdigest()}",
    }
    tensor_stream.write(path, plan, header, stored.__getitem__)
    if Source(path).data_sha256() != digest.hexdigest():
        raise DamagedFileError(f"{path}: what is on the disk is not what was written; a bad disk?")
    return path


def write_diffusers(
    path: Path, layers: Mapping[str, Layer], prefix: str, metadata: Mapping[str, str]
) -> Path:
    """Write a LoRA that diffusers' `load_lora_weights` reads; return `path`.

    Args:
        path: where to.
        layers: by module name, without prefix.
        prefix: the model component, "transformer" for FLUX.
        metadata: the safetensors header's, text to text.

    Raises:
        LoraError: a layer holds values that are no finite numbers; nothing is written.
        StorageError: no room or no permission.
    """
    content = layouts.diffusers({f"{prefix}.{name}": layer for name, layer in layers.items()})
    _require_plausible(path, content)
    return tensors.write(path, content, {"format": "pt", **metadata})


def read_diffusers(path: Path, prefix: str) -> tuple[dict[str, Layer], dict[str, str]]:
    """Read a LoRA in diffusers' layout, for a model with any modules: layers and metadata.

    Alpha is the rank, unless an alpha tensor or diffusers' own entry in the header says
    otherwise.

    Raises:
        DamagedFileError: not a readable safetensors file.
        LoraError: not a LoRA in this layout, or with tensors that do not fit together.
    """
    if not path.is_file():
        raise LoraError(f"{path}: no such LoRA file")
    source = Source(path)
    modules, unknown = pairs.grouped(source.entries)
    start = f"{prefix}."
    unknown += [
        key
        for roles in modules.values()
        for key in roles.values()
        if not key.startswith(start) or ".lora_down." in key
    ]
    if unknown or not modules:
        seen = f"its key '{unknown[0]}' is not of it" if unknown else "it holds no tensors"
        raise LoraError(
            f"{path}: not a LoRA in diffusers' layout for '{prefix}': {seen}; "
            "tools/convert_lora.py makes one of other LoRAs"
        )
    settings = pairs.stated_alphas(source)
    options = settings.get(prefix, settings.get("", {}))
    layers = {}
    for full, roles in modules.items():
        name = full.removeprefix(start)
        layers[name] = pairs.layer(source, name, roles, options)
    return layers, dict(source.metadata)


def listed(found: Iterable[str]) -> str:
    """Return names for an error message: the first few, and how many more there are."""
    everything = list(found)
    shown = ", ".join(f"'{name}'" for name in everything[:_NAMES_SHOWN])
    more = len(everything) - _NAMES_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def _require_some(source: Source, modules: Mapping[str, pairs.Roles]) -> None:
    """Refuse a file without any LoRA tensors, before anything of it is read."""
    if modules:
        return
    seen = f"its first key is '{next(iter(source.entries))}'" if source.entries else "it is empty"
    raise LoraError(f"{source.path}: not a LoRA: {seen}")


def _placed(
    source: Source,
    name: str,
    place: names.Place,
    roles: pairs.Roles,
    options: Mapping[str, object],
) -> dict[str, Layer]:
    """Return the layers that one stored module holds, by full name."""
    layer = pairs.layer(source, place.modules[0], roles, options)
    try:
        if place.swapped:
            layer = fuse.swap_halves(layer)
        rows = fuse.widths(len(place.modules), layer.up.shape[0], layer.down.shape[1])
        parts = fuse.split(layer, rows)
    except LoraError as error:
        raise LoraError(f"{source.path}: module '{name}': {error}") from error
    return {
        f"{place.component}.{module}": part
        for module, part in zip(place.modules, parts, strict=True)
        if part is not None
    }


def _require_plausible(path: Path, content: Mapping[str, Tensor]) -> None:
    """Refuse to write values that `read` would refuse (in float16, also too large ones)."""
    for name, tensor in content.items():
        if not bool(torch.isfinite(tensor).all()):
            raise LoraError(
                f"{path}: not written, '{name}' holds values that are no finite numbers"
            )
        largest = float(tensor.abs().max()) if tensor.numel() else 0.0
        if largest > pairs.LARGEST_VALUE:
            raise LoraError(
                f"{path}: not written, '{name}' holds {largest:.3g}, which is no LoRA any more; "
                "is a weight too large?"
            )
