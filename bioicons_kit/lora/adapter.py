"""The LoRA on a frozen denoiser: where it attaches, and its way in and out of it.

The order that keeps the base frozen: the denoiser arrives quantized and without gradients,
then the adapter is attached, then its parameters are made float32. (Quantizing or freezing
after attaching would touch the adapter too.)
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bioicons_kit.errors import LoraError, PresetError
from bioicons_kit.lora.formats import Layer

_NAME = "default"  # peft's name of the adapter
_NAMES_SHOWN = 4


def target_modules(
    denoiser: nn.Module, targets: Sequence[str], sets: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the names of the linear modules that `targets` choose, in the model's order.

    Args:
        denoiser: the model.
        targets: names of sets, or regular expressions that match whole module names.
        sets: the family's named sets of regular expressions.

    Raises:
        PresetError: a target matches no linear module.
    """
    linears = [name for name, m in denoiser.named_modules() if isinstance(m, nn.Linear)]
    chosen: set[str] = set()
    for target in targets:
        patterns = sets.get(target, (target,))
        matched = [n for n in linears if any(re.fullmatch(p, n) for p in patterns)]
        if not matched:
            raise PresetError(_no_match(target, linears, list(sets)))
        chosen.update(matched)
    return tuple(name for name in linears if name in chosen)


def attach(
    denoiser: Any, modules: Sequence[str], rank: int, alpha: float | None, dropout: float
) -> list[nn.Parameter]:
    """Attach a new LoRA to `modules`; return its parameters, float32.

    The down matrices are random (torch's global generator), the up matrices zero: the
    model's output does not change until the first step.

    Args:
        denoiser: a diffusers model, frozen.
        modules: names of linears.
        rank: of every update.
        alpha: numerator of the scale; the rank if None.
        dropout: share of each update's input that is dropped in training.
    """
    from peft import LoraConfig

    denoiser.add_adapter(
        LoraConfig(
            r=rank,
            lora_alpha=rank if alpha is None else alpha,
            lora_dropout=dropout,
            target_modules=_exactly(modules),
        ),
        _NAME,
    )
    return _parameters(denoiser)


def extract(denoiser: nn.Module) -> dict[str, Layer]:
    """Return the attached LoRA by module name, on the CPU, float32."""
    layers = {}
    for name, module in _adapted(denoiser):
        layers[name] = Layer(
            down=module.lora_A[_NAME].weight.detach().to("cpu", torch.float32),
            up=module.lora_B[_NAME].weight.detach().to("cpu", torch.float32),
            alpha=float(module.lora_alpha[_NAME]),
        )
    return layers


def restore(denoiser: Any, layers: Mapping[str, Layer], source: Path) -> None:
    """Attach the LoRA that `layers` hold to a denoiser that has none.

    Args:
        denoiser: a diffusers model, frozen.
        layers: by module name.
        source: the file they came from, for error messages.

    Raises:
        LoraError: a layer's module is not in the model, has other widths, or DoRA.
    """
    from peft import LoraConfig

    linears = {name: m for name, m in denoiser.named_modules() if isinstance(m, nn.Linear)}
    for name, layer in layers.items():
        if name not in linears:
            raise LoraError(f"{source}: its module '{name}' is not in this model")
        if layer.dora is not None:
            raise LoraError(
                f"{source}: module '{name}' has a DoRA scale, which is not attached here; "
                "merge it into the model with tools/merge_lora.py --base"
            )
        wanted = (linears[name].in_features, linears[name].out_features)
        if (layer.down.shape[1], layer.up.shape[0]) != wanted:
            raise LoraError(
                f"{source}: module '{name}' is {layer.down.shape[1]} -> {layer.up.shape[0]} wide, "
                f"this model's is {wanted[0]} -> {wanted[1]}: it was made for another model"
            )
    # peft takes a rank pattern for a suffix too, and "^" pins it
    config = LoraConfig(
        r=1,
        target_modules=_exactly(layers),
        rank_pattern={f"^{re.escape(name)}": layer.rank for name, layer in layers.items()},
        alpha_pattern={f"^{re.escape(name)}": layer.alpha for name, layer in layers.items()},
    )
    denoiser.add_adapter(config, _NAME)
    _parameters(denoiser)
    with torch.no_grad():
        for name, module in _adapted(denoiser):
            module.lora_A[_NAME].weight.copy_(layers[name].down)
            module.lora_B[_NAME].weight.copy_(layers[name].up)


def _no_match(target: str, linears: Sequence[str], sets: Sequence[str]) -> str:
    """Return why a target chose nothing, and what would."""
    near = difflib.get_close_matches(target, sets, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    step = max(1, len(linears) // _NAMES_SHOWN)
    return (
        f"lora.targets: '{target}' matches no linear layer of the model; {hint}sets are "
        f"{', '.join(sets)}; a regular expression must match a whole name, "
        f"such as {', '.join(linears[step // 2 :: step][:_NAMES_SHOWN])}"
    )


def _exactly(modules: Iterable[str]) -> str:
    """Return the pattern of just these names: in a list, peft takes each for a suffix too."""
    return "|".join(re.escape(name) for name in modules)


def _adapted(denoiser: nn.Module) -> list[tuple[str, Any]]:
    """Return the modules that carry a LoRA, with their names in the bare model."""
    from peft.tuners.lora import LoraLayer

    return [(name, m) for name, m in denoiser.named_modules() if isinstance(m, LoraLayer)]


def _parameters(denoiser: nn.Module) -> list[nn.Parameter]:
    """Return the adapter's parameters, made float32; nothing else has a gradient."""
    parameters = [p for p in denoiser.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.to(torch.float32)
    return parameters
