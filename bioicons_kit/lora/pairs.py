"""Tensors of a LoRA file -> checked layers, whatever their keys are called.

A key is a module's name and an ending that tells which part it is. Nothing in the file is
believed: dtypes, shapes, sizes and values are checked before anything is computed.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.lora.layer import Layer
from bioicons_kit.tensor_stream import Source

ADAPTER_METADATA = "lora_adapter_metadata"  # diffusers' name for it
_PEFT_FILE, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"

# More specific endings first: ".down.weight" alone ends keys of XLabs and of early diffusers.
_ENDINGS = (
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora_mid.weight", "mid"),
    (".lora_linear_layer.down.weight", "down"),
    (".lora_linear_layer.up.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    (".down.weight", "down"),
    (".up.weight", "up"),
    (".alpha", "alpha"),
    (".dora_scale", "dora"),
    (".lora_magnitude_vector.default.weight", "magnitude"),
    (".lora_magnitude_vector.weight", "magnitude"),
    (".lora_magnitude_vector", "magnitude"),
)

_LARGEST_RANK = 8192  # FLUX's narrowest linear has rank 3072; a sum of several may have more
LARGEST_VALUE = 1e6  # trained factors stay below 100; beyond this the file is damaged

# Of a pattern from a hostile header: each more multiplies the time by a name's length.
_MOST_REPEATS = 2

Roles = dict[str, str]  # "down", "mid", "up", "alpha", "dora" or "magnitude" -> key


def grouped(keys: Iterable[str]) -> tuple[dict[str, Roles], list[str]]:
    """Return each module's keys by role, and the keys that are no part of a LoRA.

    A lone alpha or magnitude belongs to no module, and is among the latter.
    """
    modules: dict[str, Roles] = {}
    unknown = []
    for key in keys:
        ending = next(((end, role) for end, role in _ENDINGS if key.endswith(end)), None)
        name = key.removesuffix(ending[0]) if ending else ""
        if ending is None or not name or ending[1] in modules.get(name, {}):
            unknown.append(key)
        else:
            modules.setdefault(name, {})[ending[1]] = key
    for name in [name for name, roles in modules.items() if not {"down", "up"} & roles.keys()]:
        unknown.extend(modules.pop(name).values())
    return modules, unknown


def layer(source: Source, name: str, roles: Roles, options: Mapping[str, Any]) -> Layer:
    """Return one module's layer, float32.

    Args:
        source: the file.
        name: of the module.
        roles: the module's keys.
        options: what `stated_alphas` found for the component.

    Raises:
        LoraError: a factor is missing, they do not fit, or they hold no plausible numbers.
        DamagedFileError: the file ends too early.
    """
    where = f"{source.path}: module '{name}'"
    if "down" not in roles or "up" not in roles:
        raise LoraError(f"{where} has only one of its two matrices")
    shapes = [source.entries[roles[role]].shape for role in ("down", "up")]
    _check_shapes(where, *shapes)
    down, up = (_numbers(source, where, roles[role]) for role in ("down", "up"))
    down = _through_mid(source, where, roles["mid"], down) if "mid" in roles else down
    rank = down.shape[0]
    own = _alpha(source, where, roles["alpha"]) if "alpha" in roles else None
    alpha = _header_alpha(options, name, rank)
    if own is not None and alpha is not None and not math.isclose(own, alpha, rel_tol=1e-3):
        raise LoraError(
            f"{where} has alpha {own:g}, and {alpha:g} is said beside it: which is meant?"
        )
    chosen = alpha if own is None else own
    return Layer(down, up, float(rank) if chosen is None else chosen, _dora(source, where, roles))


def stated_alphas(source: Source) -> dict[str, dict[str, Any]]:
    """Return what is said of scales beside the tensors, by component; "" is all of them.

    diffusers says it in the header, with the component's name before each option where it
    saves a pipeline's LoRA, without where it saves a model's; peft in the
    `adapter_config.json` beside its file.

    Raises:
        LoraError: it is unreadable, or its alphas are no positive numbers.
    """
    entry = source.metadata.get(ADAPTER_METADATA)
    config = source.path.with_name(_PEFT_CONFIG)
    where = f"{source.path}: its header's {ADAPTER_METADATA}"
    settings: dict[str, dict[str, Any]] = {}
    try:
        if entry is None and source.path.name == _PEFT_FILE and config.is_file():
            where, entry = str(config), config.read_text("utf-8")
        for key, value in json.loads(entry or "{}").items():
            component, _, option = key.rpartition(".")
            settings.setdefault(component, {})[option] = value
        for options in settings.values():
            pattern = options.get("alpha_pattern") or {}
            alphas = [options.get("lora_alpha", 1), *pattern.values()]
            if not all(0 < float(alpha) <= LARGEST_VALUE for alpha in alphas):
                raise ValueError("an alpha is no positive number")
            if not all(_is_quick(text) for text in pattern):
                raise ValueError("an alpha_pattern repeats too much for a module's name")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LoraError(f"{where} is unreadable ({error})") from error
    return settings


def _header_alpha(options: Mapping[str, Any], module: str, rank: int) -> float | None:
    """Return the alpha that peft's settings give `module`; None if they give none.

    A pattern of peft's matches the whole name or its end; with rsLoRA the scale is
    alpha / sqrt(rank), here expressed as the alpha that gives it.
    """
    if "lora_alpha" not in options:
        return None
    alpha = float(options["lora_alpha"])
    for pattern, value in (options.get("alpha_pattern") or {}).items():
        name = pattern.removeprefix("^")
        if name == module or module.endswith(f".{name}") or _matches(pattern, module):
            alpha = float(value)
            break
    return alpha * math.sqrt(rank) if options.get("use_rslora") else alpha


def _is_quick(pattern: str) -> bool:
    """Tell whether a regular expression is matched in time, whatever it is matched against."""
    bare = re.sub(r"\\.", "", pattern)
    repeats = re.findall(r"[*+?{]", bare)
    return len(repeats) <= _MOST_REPEATS and not re.search(r"\)[*+?{]", bare)


def _matches(pattern: str, module: str) -> bool:
    """Tell whether a pattern of peft's chooses `module`; one that is no regex never does."""
    try:
        return re.fullmatch(rf"(.*\.)?({pattern})", module) is not None
    except re.error:
        return False


def _check_shapes(where: str, down: tuple[int, ...], up: tuple[int, ...]) -> None:
    """Refuse factors that do not fit each other, before they are read."""
    linear = len(down) == len(up) == 2
    conv = len(down) == len(up) == 4 and up[2:] == (1, 1)
    if not (linear or conv) or down[0] != up[1] or 0 in (*down, *up):
        raise LoraError(
            f"{where}: shapes {list(down)} and {list(up)} are no rank x in and out x rank"
        )
    if down[0] > _LARGEST_RANK:
        raise LoraError(f"{where}: rank {down[0]:,} is no rank; {_LARGEST_RANK:,} is the most")


def _numbers(source: Source, where: str, key: str) -> Tensor:
    """Return a tensor as float32, refused unless it holds plausible floating-point numbers."""
    entry = source.entries[key]
    if not entry.is_real:
        raise LoraError(f"{where}: '{key}' is {entry.kind}, and no floating-point numbers")
    tensor = source.read(key).to(torch.float32)
    if not bool(torch.isfinite(tensor).all()):
        raise LoraError(f"{where} holds values that are no finite numbers")
    largest = float(tensor.abs().max())
    if largest > LARGEST_VALUE:
        raise LoraError(f"{where}: '{key}' holds {largest:.3g}, which no training gives; damaged?")
    return tensor


def _through_mid(source: Source, where: str, key: str, down: Tensor) -> Tensor:
    """Return LyCORIS' two steps down, `[rank, in, 1, 1]` and the mid's, as one convolution."""
    rank, shape = down.shape[0], source.entries[key].shape
    fits = down.ndim == len(shape) == 4 and down.shape[2:] == (1, 1)
    if not fits or shape[:2] != (rank, rank) or 0 in shape:
        raise LoraError(f"{where}: its mid {list(shape)} does not fit its down {list(down.shape)}")
    return torch.einsum("srhw,ri->sihw", _numbers(source, where, key), down[:, :, 0, 0])


def _alpha(source: Source, where: str, key: str) -> float:
    """Return the number in an alpha tensor (some tools store it as an integer)."""
    entry = source.entries[key]
    size = math.prod(entry.shape)
    if size != 1 or entry.dtype is None or entry.dtype == torch.bool:
        raise LoraError(f"{where}: its alpha is {entry.kind} {list(entry.shape)}, and no number")
    alpha = float(source.read(key).reshape(()).to(torch.float64))
    if not 0 < alpha <= LARGEST_VALUE:
        raise LoraError(f"{where}: its alpha is {alpha:g}; it has to be positive")
    return alpha


def _dora(source: Source, where: str, roles: Roles) -> Tensor | None:
    """Return DoRA's magnitudes `[out, 1]` or `[1, in]`; None if the module has none.

    peft's `lora_magnitude_vector` is one a row. `dora_scale` is one a row or one a column,
    as its shape tells.
    """
    key = roles.get("magnitude", roles.get("dora"))
    if key is None:
        return None
    rows, columns = source.entries[roles["up"]].shape[0], source.entries[roles["down"]].shape[1]
    shape = source.entries[key].shape
    count = math.prod(shape)
    if count == rows and ("magnitude" in roles or shape[0] == rows):
        return _numbers(source, where, key).reshape(-1, 1)
    if count == columns and len(shape) > 1 and shape[:2] == (1, columns):
        return _numbers(source, where, key).reshape(1, -1)
    raise LoraError(
        f"{where}: its DoRA scale {list(shape)} fits neither {rows} rows nor {columns} columns"
    )
