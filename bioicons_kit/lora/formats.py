"""LoRA files: modules' low-rank updates <-> safetensors in the diffusers/PEFT layout.

A module's update is `scale * up @ down` with `scale = alpha / rank`. The diffusers layout
names `PREFIX.MODULE.lora_A.weight` (down, `[rank, in]`) and `lora_B.weight` (up,
`[out, rank]`) and has no place for alpha but the header's metadata, which most tools drop;
without it alpha counts as the rank. So alpha is folded into `up` when writing, and the
file means the same to every reader.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.errors import LoraError

_ADAPTER_METADATA = "lora_adapter_metadata"  # diffusers' name for it
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Layer:
    """One module's update: `alpha / rank * up @ down`.

    Attributes:
        down: `[rank, in_features]`.
        up: `[out_features, rank]`.
        alpha: the numerator of the scale.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank


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
    content: dict[str, Tensor] = {}
    for name, layer in layers.items():
        content[f"{prefix}.{name}{_DOWN}"] = layer.down
        content[f"{prefix}.{name}{_UP}"] = layer.up * layer.scale
    bad = [name for name, tensor in content.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise LoraError(f"{path}: not written, '{bad[0]}' holds values that are no finite numbers")
    return tensors.write(path, content, {"format": "pt", **metadata})


def read_diffusers(path: Path, prefix: str) -> tuple[dict[str, Layer], dict[str, str]]:
    """Read a LoRA in diffusers' layout: the layers and the metadata.

    Alpha is the rank, unless diffusers' own entry in the header says otherwise.

    Raises:
        DamagedFileError: not a readable safetensors file.
        LoraError: not a LoRA in this layout, or with tensors that do not fit together.
    """
    if not path.is_file():
        raise LoraError(f"{path}: no such LoRA file")
    content, metadata = tensors.read(path)
    start = f"{prefix}."
    unknown = [k for k in content if not k.startswith(start) or not k.endswith((_DOWN, _UP))]
    if unknown or not content:
        seen = f"its key '{unknown[0]}' is not of it" if unknown else "it holds no tensors"
        raise LoraError(f"{path}: not a LoRA in diffusers' layout for '{prefix}': {seen}")
    names = dict.fromkeys(k.removeprefix(start).rpartition(".lora_")[0] for k in content)
    layers = {}
    for name in names:
        down, up = content.get(f"{start}{name}{_DOWN}"), content.get(f"{start}{name}{_UP}")
        if down is None or up is None:
            raise LoraError(f"{path}: module '{name}' has only one of its two matrices")
        layers[name] = _checked(path, name, down, up)
    alpha = _header_alpha(path, metadata, prefix)
    if alpha is not None:
        layers = {name: replace(layer, alpha=alpha) for name, layer in layers.items()}
    return layers, metadata


def _header_alpha(path: Path, metadata: Mapping[str, str], prefix: str) -> float | None:
    """Return the alpha that diffusers wrote into the header, None where it wrote none.

    Raises:
        LoraError: the entry cannot be read, or gives modules alphas of their own.
    """
    entry = metadata.get(_ADAPTER_METADATA)
    if entry is None:
        return None
    try:
        settings = json.loads(entry)
        alpha = settings.get(f"{prefix}.lora_alpha")
        own = settings.get(f"{prefix}.alpha_pattern") or settings.get(f"{prefix}.use_rslora")
        value = None if alpha is None else float(alpha)
    except (ValueError, TypeError, AttributeError) as error:
        raise LoraError(f"{path}: its header's {_ADAPTER_METADATA} is unreadable") from error
    if own or (value is not None and not 0 < value < float("inf")):
        raise LoraError(
            f"{path}: its header's {_ADAPTER_METADATA} scales modules in a way that is not read "
            "here (alpha_pattern, use_rslora, or an alpha that is no positive number)"
        )
    return value


def _checked(path: Path, name: str, down: Tensor, up: Tensor) -> Layer:
    """Return the layer of two matrices that fit each other and hold numbers."""
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or down.numel() == 0:
        raise LoraError(
            f"{path}: module '{name}': shapes {list(down.shape)} and {list(up.shape)} "
            "are no rank x in and out x rank"
        )
    down, up = down.to(torch.float32), up.to(torch.float32)
    if not bool(torch.isfinite(down).all() and torch.isfinite(up).all()):
        raise LoraError(f"{path}: module '{name}' holds values that are no finite numbers")
    return Layer(down, up, float(down.shape[0]))
