"""Layers by diffusers' names -> the tensors of a file, in each layout the kit writes."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from bioicons_kit import names_flux
from bioicons_kit.errors import LoraError
from bioicons_kit.lora import fuse, names
from bioicons_kit.lora.layer import Layer

_KOHYA = {
    names.TRANSFORMER: "lora_unet_",
    names.UNET: "lora_unet_",
    names.CLIP: "lora_te1_",
    names.T5: "lora_te3_",
}
_KOHYA_SD1_CLIP = "lora_te_"  # SD1 has one text encoder, and its files no number


def diffusers(layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    """Return a file's tensors in diffusers' layout, alpha folded in.

    Raises:
        LoraError: DoRA over columns, which peft does not know.
    """
    content: dict[str, Tensor] = {}
    for name, layer in layers.items():
        content[f"{name}.lora_A.weight"] = layer.down
        content[f"{name}.lora_B.weight"] = layer.folded().up
        if layer.dora is not None:
            if not layer.rows_are_normed:
                raise LoraError(f"'{name}' has a DoRA scale over columns; peft knows rows only")
            content[f"{name}.lora_magnitude_vector"] = layer.dora.flatten()
    return content


def kohya(layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    """Return a file's tensors in kohya's layout; alpha has a tensor of its own.

    Raises:
        LoraError: a module that kohya has no name for, or parts that cannot be fused.
    """
    content: dict[str, Tensor] = {}
    of_sd1 = any(name.startswith(f"{names.UNET}.") for name in layers)
    for (component, module), layer in _original(layers).items():
        prefix = _KOHYA[component]
        if component == names.CLIP and of_sd1:
            prefix = _KOHYA_SD1_CLIP
        stem = prefix + module.replace(".", "_")
        content[f"{stem}.lora_down.weight"] = layer.down
        content[f"{stem}.lora_up.weight"] = layer.up
        content[f"{stem}.alpha"] = torch.tensor(layer.alpha, dtype=torch.float32)
        if layer.dora is not None:
            ones = [1] * (layer.down.ndim - 2)
            content[f"{stem}.dora_scale"] = layer.dora.reshape(*layer.dora.shape, *ones)
    return content


def bfl(layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    """Return a file's tensors under FLUX's original names, alpha folded in.

    Raises:
        LoraError: a module that is not of FLUX's transformer, or parts that cannot be fused.
    """
    content: dict[str, Tensor] = {}
    for (component, module), layer in _original(layers).items():
        if component != names.TRANSFORMER:
            raise LoraError(
                f"it names FLUX's transformer alone, and '{component}.{module}' is not in it"
            )
        stem = f"diffusion_model.{module}"
        content[f"{stem}.lora_A.weight"] = layer.down
        content[f"{stem}.lora_B.weight"] = layer.folded().up
        if layer.dora is not None:
            content[f"{stem}.dora_scale"] = layer.dora
    return content


KEYS: dict[str, Callable[[Mapping[str, Layer]], dict[str, Tensor]]] = {
    "diffusers": diffusers,
    "kohya": kohya,
    "bfl": bfl,
}


def described(content: Mapping[str, Tensor]) -> dict[str, str]:
    """Return kohya's header entries on rank and alpha of a file's tensors."""
    endings = (".lora_A.weight", ".lora_down.weight")
    ranks = {tensor.shape[0] for key, tensor in content.items() if key.endswith(endings)}
    alphas = {float(tensor) for key, tensor in content.items() if key.endswith(".alpha")}
    folded = {float(rank) for rank in ranks}
    return {"ss_network_dim": _common(ranks), "ss_network_alpha": _common(alphas or folded)}


def _common(values: Collection[float]) -> str:
    """Return the one value of all modules, or kohya's word where they differ."""
    return str(next(iter(values))) if len(values) == 1 else "Dynamic"


def _original(layers: Mapping[str, Layer]) -> dict[tuple[str, str], Layer]:
    """Return layers by component and stored name, FLUX's fused as in its original code."""
    stored: dict[tuple[str, str], Layer] = {}
    for name, layer in layers.items():
        component, _, module = name.partition(".")
        if component not in _KOHYA or names.resolve(module, component) is None:
            raise LoraError(f"it has no name for '{name}'")
        if component != names.TRANSFORMER:
            stored[component, module] = layer
            continue
        original, place = names.flux_slot(module)
        if (component, original) not in stored:
            stored[component, original] = _fused(place, layers)
    return stored


def _fused(place: names.Place, layers: Mapping[str, Layer]) -> Layer:
    """Return the one layer of all modules that FLUX stores together."""
    parts = [layers.get(f"{place.component}.{module}") for module in place.modules]
    given = next(part for part in parts if part is not None)
    hidden = given.down.shape[1]
    usual = (hidden, hidden, hidden, names_flux.MLP_RATIO * hidden)
    rows = [
        usual[number] if part is None else part.up.shape[0] for number, part in enumerate(parts)
    ]
    try:
        if len(parts) > 1 and fuse.widths(len(parts), sum(rows), hidden) != tuple(rows):
            raise LoraError(f"its parts have {rows} rows over {hidden} columns")
        layer = given if len(parts) == 1 else fuse.fuse(parts, rows)
        return fuse.swap_halves(layer) if place.swapped else layer
    except LoraError as error:
        raise LoraError(f"'{place.modules[0]}': {error}") from error
