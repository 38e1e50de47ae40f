"""The LoRA on a frozen denoiser: where it attaches, and its way in and out of it.

The order that keeps the base frozen: the denoiser arrives quantized and without gradients,
then the adapter is attached, then its parameters are made float32. (Quantizing or freezing
after attaching would touch the adapter too.)
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bioicons_kit.errors import LoraError, PresetError
from bioicons_kit.lora.formats import Layer
from bioicons_kit.preset import Lora

_NAME = "default"  # peft's name of the adapter
_NAMES_SHOWN = 4

# A set of modules: regular expressions on whole names, or what makes them of all linears' names.
TargetSet = tuple[str, ...] | Callable[[Sequence[str]], tuple[str, ...]]


def target_modules(
    denoiser: nn.Module, targets: Sequence[str], sets: Mapping[str, TargetSet]
) -> tuple[str, ...]:
    """Return the names of the linear modules that `targets` choose, in the model's order.

    Args:
        denoiser: the model.
        targets: names of sets, or regular expressions that match whole module names.
        sets: the family's named sets: regular expressions, or what makes them of all names.

    Raises:
        PresetError: a target matches no linear module.
    """
    linears = [name for name, m in denoiser.named_modules() if isinstance(m, nn.Linear)]
    chosen: set[str] = set()
    for target in targets:
        found = sets.get(target, (target,))
        patterns = found(linears) if callable(found) else found
        matched = [n for n in linears if any(re.fullmatch(p, n) for p in patterns)]
        if not matched:
            raise PresetError(_no_match(target, linears, list(sets)))
        chosen.update(matched)
    return tuple(name for name in linears if name in chosen)


class Size(NamedTuple):
    """One module's rank, and the numerator of its scale `alpha / rank`."""

    rank: int
    alpha: float


def sizes(modules: Sequence[str], settings: Lora) -> dict[str, Size]:
    """Return each module's rank and alpha, as the preset's parts and rsLoRA have them.

    rsLoRA (Kalajdzievski 2023, arXiv:2312.03732) scales by `alpha / sqrt(rank)`. That is
    `alpha / rank` with an alpha of `alpha * sqrt(rank)`, and as such it is trained and
    written: a file that asked its reader for another scale would be misread.

    Raises:
        PresetError: a part matches none of the modules.
    """
    unused = [p for p in settings.parts if not any(re.fullmatch(p.modules, m) for m in modules)]
    if unused:
        raise PresetError(
            f"lora.parts: '{unused[0].modules}' matches none of the {len(modules)} modules that "
            f"lora.targets choose, such as {modules[0]}"
        )
    found = {}
    for module in modules:
        part = next((p for p in settings.parts if re.fullmatch(p.modules, module)), None)
        rank = (part and part.rank) or settings.rank
        alpha = (part and part.alpha) or settings.alpha or float(rank)
        found[module] = Size(rank, alpha * math.sqrt(rank) if settings.rslora else alpha)
    return found


def create(denoiser: Any, modules: Sequence[str], settings: Lora) -> list[nn.Parameter]:
    """Attach a new LoRA as a preset's [lora] says; return its parameters, float32.

    The down matrices are random (torch's global generator), the up matrices zero, DoRA's
    magnitudes the base weights' own: the model's output does not change until the first step.

    Args:
        denoiser: a diffusers model, frozen.
        modules: names of linears.
        settings: ranks, alphas, dropout, DoRA.
    """
    return _attach(denoiser, sizes(modules, settings), settings.dropout, dora=settings.dora)


def attach(
    denoiser: Any, modules: Sequence[str], rank: int, alpha: float | None, dropout: float
) -> list[nn.Parameter]:
    """Attach a new LoRA of one rank to `modules`; return its parameters, float32. See `create`.

    Args:
        denoiser: a diffusers model, frozen.
        modules: names of linears.
        rank: of every update.
        alpha: numerator of the scale; the rank if None.
        dropout: share of each update's input that is dropped in training.
    """
    size = Size(rank, rank if alpha is None else alpha)
    return _attach(denoiser, dict.fromkeys(modules, size), dropout, dora=False)


def named(denoiser: nn.Module) -> dict[str, nn.Parameter]:
    """Return the attached LoRA's parameters as "MODULE.down", ".up" and, of DoRA, ".magnitude".

    The names and their order are those of the bare model's modules, whatever stands around it.
    """
    found: dict[str, nn.Parameter] = {}
    for name, module in _adapted(denoiser):
        found[f"{name}.down"] = module.lora_A[_NAME].weight
        found[f"{name}.up"] = module.lora_B[_NAME].weight
        if _NAME in module.lora_magnitude_vector:
            found[f"{name}.magnitude"] = module.lora_magnitude_vector[_NAME].weight
    return found


@torch.no_grad()
def put(denoiser: nn.Module, layers: Mapping[str, Layer]) -> None:
    """Give an attached LoRA the values of `layers`, by module name.

    A layer of a lower rank than its module's fills the first rows of down and columns of up;
    the rest of up becomes zero, so that the update is the layer's. Its alpha is of no account
    but by its scale, which is brought to the module's.
    """
    for name, module in _adapted(denoiser):
        if name not in layers:
            continue
        layer = layers[name]
        down, up = module.lora_A[_NAME].weight, module.lora_B[_NAME].weight
        down[: layer.rank] = layer.down.to(down)
        up.zero_()
        ratio = layer.scale / (float(module.lora_alpha[_NAME]) / down.shape[0])
        up[:, : layer.rank] = (layer.up if ratio == 1 else layer.up * ratio).to(up)
        if _NAME in module.lora_magnitude_vector:
            magnitude = module.lora_magnitude_vector[_NAME].weight
            magnitude.copy_(_magnitude(module, layer))


def extract(denoiser: nn.Module) -> dict[str, Layer]:
    """Return the attached LoRA by module name, on the CPU, float32."""
    layers = {}
    for name, module in _adapted(denoiser):
        dora = None
        if _NAME in module.lora_magnitude_vector:
            dora = _taken(module.lora_magnitude_vector[_NAME].weight).reshape(-1, 1)
        layers[name] = Layer(
            down=_taken(module.lora_A[_NAME].weight),
            up=_taken(module.lora_B[_NAME].weight),
            alpha=float(module.lora_alpha[_NAME]),
            dora=dora,
        )
    return layers


def restore(denoiser: Any, layers: Mapping[str, Layer], source: Path) -> None:
    """Attach the LoRA that `layers` hold to a denoiser that has none.

    Args:
        denoiser: a diffusers model, frozen.
        layers: by module name.
        source: the file they came from, for error messages.

    Raises:
        LoraError: see `check`.
    """
    check(denoiser, layers, source)
    found = {name: Size(layer.rank, layer.alpha) for name, layer in layers.items()}
    dora = any(layer.dora is not None for layer in layers.values())
    _attach(denoiser, found, dropout=0.0, dora=dora)
    put(denoiser, layers)


def check(denoiser: nn.Module, layers: Mapping[str, Layer], source: Path) -> None:
    """Refuse layers that do not fit a model, with or without its weights.

    Raises:
        LoraError: a layer's module is not in the model, has other widths, or has DoRA
            magnitudes where the base is quantized.
    """
    linears = {name: m for name, m in denoiser.named_modules() if isinstance(m, nn.Linear)}
    for name, layer in layers.items():
        if name not in linears:
            raise LoraError(f"{source}: its module '{name}' is not in this model")
        wanted = (linears[name].in_features, linears[name].out_features)
        if (layer.down.shape[1], layer.up.shape[0]) != wanted:
            raise LoraError(
                f"{source}: module '{name}' is {layer.down.shape[1]} -> {layer.up.shape[0]} wide, "
                f"this model's is {wanted[0]} -> {wanted[1]}: it was made for another model"
            )
        if layer.dora is not None and "weight" not in linears[name]._parameters:
            raise LoraError(
                f"{source}: module '{name}' has a DoRA scale, which takes the base weights as they "
                'are: set memory.quantization = "none", or merge it into the model with '
                "tools/merge_lora.py --base"
            )
        if layer.dora is not None and not layer.rows_are_normed:
            raise LoraError(
                f"{source}: module '{name}' has DoRA magnitudes of columns, which cannot be "
                "attached; merge it into the model with tools/merge_lora.py --base"
            )


def _attach(
    denoiser: Any, found: Mapping[str, Size], dropout: float, *, dora: bool
) -> list[nn.Parameter]:
    """Attach a new LoRA, of each module's own size; return its parameters, float32."""
    from peft import LoraConfig

    common = Counter(found.values()).most_common(1)[0][0]
    # peft takes a pattern for a suffix too, and "^" pins it
    own = {f"^{re.escape(name)}": size for name, size in found.items() if size != common}
    denoiser.add_adapter(
        LoraConfig(
            r=common.rank,
            lora_alpha=common.alpha,
            lora_dropout=dropout,
            use_dora=dora,
            target_modules=_exactly(found),
            rank_pattern={pattern: size.rank for pattern, size in own.items()},
            alpha_pattern={pattern: size.alpha for pattern, size in own.items()},
        ),
        _NAME,
    )
    return _parameters(denoiser)


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


def _taken(parameter: nn.Parameter) -> Tensor:
    """Return a parameter's values on the CPU, float32."""
    return parameter.detach().to("cpu", torch.float32)


def _magnitude(module: Any, layer: Layer) -> Tensor:
    """Return a layer's DoRA magnitudes `[out]`; one that has none keeps its update by these."""
    if layer.dora is not None:
        return layer.dora.flatten()
    base: Tensor = module.base_layer.weight.to(torch.float32)
    norms: Tensor = torch.linalg.vector_norm(base + layer.delta().to(base), dim=1)
    return norms


def _exactly(modules: Iterable[str]) -> str:
    """Return the pattern of just these names: in a list, peft takes each for a suffix too."""
    return "|".join(re.escape(name) for name in modules)


def _adapted(denoiser: nn.Module) -> list[tuple[str, Any]]:
    """Return the modules that carry a LoRA, with their names in the bare model."""
    from peft.tuners.lora import LoraLayer

    return [(name, m) for name, m in denoiser.named_modules() if isinstance(m, LoraLayer)]


def _parameters(denoiser: nn.Module) -> list[nn.Parameter]:
    """Return the adapter's parameters, made float32; nothing else has a gradient."""
    from bioicons_kit.lora import product  # which imports peft, and that takes seconds

    product.shorten(denoiser)
    parameters = [p for p in denoiser.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.to(torch.float32)
    return parameters
