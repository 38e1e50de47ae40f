"""A model's weights on disk, whatever their layout, by diffusers' module names.

A model is a diffusers folder (with sharded files or whole), one component's folder, or a
single safetensors file with diffusers' or the original names (FLUX's by Black Forest
Labs, SD1's `model.diffusion_model.*`). Only headers are read here. A model whose weights
are quantized is refused where they would be needed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioicons_kit.errors import LoraError, ModelError
from bioicons_kit.lora import fuse, names
from bioicons_kit.tensor_stream import Source

STEMS = ("diffusion_pytorch_model", "model")
_COMPONENTS = (names.TRANSFORMER, names.UNET, names.CLIP, names.T5)
_CLASSES = {"FluxTransformer2DModel": names.TRANSFORMER, "UNet2DConditionModel": names.UNET}

_WHOLE = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
# Keys beside which quantizers keep a weight's scales: quanto, bitsandbytes, GPTQ, fp8 tools.
_QUANTIZED_ENDINGS = (
    "._data",
    "._scale",
    ".weight_scale",
    ".scale_weight",
    ".absmax",
    ".quant_map",
    ".qweight",
    ".SCB",
    "scaled_fp8",
)


@dataclass(frozen=True)
class ModelFile:
    """One safetensors file of a model.

    Attributes:
        source: the file.
        relative: its path in the model's folder; of a single file, its name.
        component: "transformer", ...; "" where the keys themselves say it.
    """

    source: Source
    relative: Path
    component: str


@dataclass(frozen=True)
class Weight:
    """Rows of a stored matrix that are one module's weight.

    Attributes:
        file: that holds the matrix.
        key: of the matrix.
        rows: of the module in it.
        swapped: whether the halves of the rows are exchanged.
    """

    file: ModelFile
    key: str
    rows: slice
    swapped: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the module's weight."""
        stored = self.file.source.entries[self.key].shape
        return (self.rows.stop - self.rows.start, *stored[1:])

    def read(self) -> Tensor:
        """Return the module's weight as one float32 matrix `[out, in * height * width]`."""
        rows = self.file.source.read(self.key, self.rows).to(torch.float32)
        rows = fuse.halves_swapped(rows) if self.swapped else rows
        return rows.reshape(rows.shape[0], -1)


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk.

    Attributes:
        root: the folder or the single file.
        files: that hold its weights.
        modules: by "component.module", in diffusers' names.
    """

    root: Path
    files: tuple[ModelFile, ...]
    modules: Mapping[str, Weight]


def find(root: Path) -> Checkpoint:
    """Return the model at `root`: a diffusers folder, a component's, or a single file.

    Raises:
        ModelError: there is no model, or one that cannot be used.
        DamagedFileError: a file is not readable.
    """
    try:
        files = tuple(_files(root))
    except OSError as error:
        raise ModelError(f"{root}: cannot be read ({error.strerror or error})") from error
    modules: dict[str, Weight] = {}
    for file in files:
        modules.update(_modules(file))
    if not modules:
        raise ModelError(f"{root}: not a model of FLUX.1 or SD1: none of its weights is known")
    return Checkpoint(root, files, modules)


def require_whole(files: Sequence[ModelFile]) -> None:
    """Refuse files whose weights are quantized.

    Raises:
        ModelError: names the sign of it, and says what to do instead.
    """
    for file in files:
        sign = _sign_of_quantization(file)
        if sign:
            raise ModelError(
                f"{file.source.path}: its weights are quantized ({sign}), and an update added to "
                "rounded numbers is lost or wrong: merge into the bf16 or fp16 original and "
                "quantize the result, or load the LoRA as an adapter"
            )


def _files(root: Path) -> Iterator[ModelFile]:
    """Yield the files of a model."""
    if root.is_dir():
        yield from _folder_files(root)
    elif root.is_file():
        yield ModelFile(_single_file(root), Path(root.name), "")
    else:
        raise ModelError(
            f"{root}: no such model; give a diffusers folder or a .safetensors file"
            " (a hub model has to be downloaded first: hf download OWNER/NAME)"
        )


def _single_file(path: Path) -> Source:
    """Return a single file opened, unless it is in a format that holds quantized weights."""
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            raise ModelError(
                f"{path}: a GGUF file, whose weights are quantized: merge into the bf16 or fp16 "
                "original and convert the result, or load the LoRA as an adapter"
            )
    return Source(path)


def _folder_files(root: Path) -> Iterator[ModelFile]:
    """Yield the files of a pipeline's folder, or of one component's."""
    config = root / "config.json"
    if config.is_file():
        kind = str(_json(config).get("_class_name"))
        if kind not in _CLASSES:
            raise ModelError(f"{root}: holds a {kind}; known are {', '.join(_CLASSES)}")
        yield from _component_files(root, root, _CLASSES[kind])
        return
    if not (root / "model_index.json").is_file():
        raise ModelError(f"{root}: not a diffusers folder (neither model_index.json nor config)")
    for component in _COMPONENTS:
        if (root / component).is_dir():
            yield from _component_files(root, root / component, component)


def _component_files(root: Path, folder: Path, component: str) -> Iterator[ModelFile]:
    """Yield the files of one component, those its index lists where it has one."""
    for stem in STEMS:
        index = folder / f"{stem}.safetensors.index.json"
        found = [f"{stem}.safetensors"]
        if index.is_file():
            listed = _json(index).get("weight_map")
            values = set(listed.values()) if isinstance(listed, dict) else set()
            found = sorted(str(name) for name in values)
        if not found or any(Path(name).name != name for name in found):
            raise ModelError(f"{index}: not an index of files beside it")
        paths = [folder / name for name in found]
        if index.is_file() or paths[0].is_file():
            missing = [path for path in paths if not path.is_file()]
            if missing:
                raise ModelError(f"{missing[0]}: not there; the model's download is incomplete")
            for path in paths:
                yield ModelFile(Source(path), path.relative_to(root), component)
            return
    raise ModelError(
        f"{folder}: holds no {' or '.join(f'{stem}.safetensors' for stem in STEMS)}; variants "
        "(.fp16) and pickles (.bin) are not read: download the plain safetensors files"
    )


def _modules(file: ModelFile) -> Iterator[tuple[str, Weight]]:
    """Yield the known modules in a file, by full name."""
    for key, entry in file.source.entries.items():
        if not key.endswith(".weight") or len(entry.shape) < 2:
            continue
        place = names.resolve(key.removesuffix(".weight"), file.component)
        if place is None or place.layout == "kohya":
            continue
        try:
            counts = fuse.widths(len(place.modules), entry.shape[0], entry.shape[1])
        except LoraError as error:
            raise ModelError(f"{file.source.path}: '{key}': {error}") from error
        start = 0
        for module, count in zip(place.modules, counts, strict=True):
            weight = Weight(file, key, slice(start, start + count), place.swapped)
            yield f"{place.component}.{module}", weight
            start += count


def _sign_of_quantization(file: ModelFile) -> str:
    """Return what tells that a file's weights are quantized; empty if nothing does."""
    folder = file.source.path.parent
    config = folder / "config.json"
    if file.component and config.is_file() and _json(config).get("quantization_config"):
        return "config.json has a quantization_config"
    if file.component and (folder / "quanto_qmap.json").is_file():
        return "quanto_qmap.json lies beside it"
    for key, entry in file.source.entries.items():
        if key.endswith(_QUANTIZED_ENDINGS) or ".quant_state." in key:
            return f"it has a key '{key}'"
        if key.endswith(".weight") and len(entry.shape) > 1 and entry.dtype not in _WHOLE:
            return f"'{key}' is {entry.kind}"
    return ""


def _json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable ({error})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no JSON object")
    return value
