"""FLUX in one safetensors file, as Black Forest Labs publish it and ComfyUI users have it.

Names are those of github.com/black-forest-labs/flux (`double_blocks`, `single_blocks`), alone
or below `model.diffusion_model.` in a checkpoint that holds other parts too. Numbers are
bf16, fp16, fp32, or fp8 with or without one scale a tensor (`scale_weight`, `weight_scale`).
Each tensor is converted as it is read: a fused matrix is read rows at a time, and the last
modulation's halves are exchanged.

The file holds no config. Sizes are told by the shapes; the split of positions over the axes
is not in them, and is FLUX.1's for its head width, 128, the only one there is.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bioicons_kit import names_flux
from bioicons_kit.errors import ModelError
from bioicons_kit.memory.shards import require_real
from bioicons_kit.tensor_stream import Source

_PREFIXES = ("", "model.diffusion_model.")
_MARK = "double_blocks.0.img_attn.qkv.weight"  # what tells a FLUX by its names

# Other parts of a checkpoint, which have no place in the denoiser.
_OTHER_PARTS = ("text_encoders.", "vae.", "first_stage_model.", "cond_stage_model.")
# What says how a runtime may compute with fp8 weights, and nothing about their values.
_REMARKS = re.compile(r"(?:.*\.)?(?:scaled_fp8|scale_input|input_scale|comfy_quant)")
_SCALE = re.compile(r"(.*)\.(?:scale_weight|weight_scale)")

_HEAD, _AXES = 128, (16, 56, 56)  # of FLUX.1

# The norms of queries and keys, which no LoRA reaches.
_NORMS = {
    "double_blocks": {
        "img_attn.norm.query_norm": "attn.norm_q",
        "img_attn.norm.key_norm": "attn.norm_k",
        "txt_attn.norm.query_norm": "attn.norm_added_q",
        "txt_attn.norm.key_norm": "attn.norm_added_k",
    },
    "single_blocks": {"norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k"},
}
_BLOCKS = {
    "double_blocks": "transformer_blocks",
    "single_blocks": "single_transformer_blocks",
}
_NORM = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.(.+)")

# What files of other kinds have in their names.
_OTHERS = {
    "transformer_blocks.": "a FLUX or the like in diffusers' layout; give the folder it is part of",
    "model.diffusion_model.input_blocks.": "a Stable Diffusion checkpoint",
    "joint_blocks.": "a Stable Diffusion 3",
    "lora": "a LoRA; model.path is the model it was made for",
}


class _Part(NamedTuple):
    """Where a tensor lies: the name in the file, and its rows there, in the model's order."""

    name: str
    rows: tuple[slice, ...]


class SingleFile:
    """The weights of a FLUX denoiser in one file, under diffusers' names.

    Attributes:
        where: the file.
        config: what diffusers' FluxTransformer2DModel is built from.
        shapes: of each tensor, in the order of the file.

    Raises:
        ModelError: the file is no FLUX, lacks a tensor or has one too many.
        DamagedFileError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.where = path
        self._source = Source(path)
        prefix = _prefix(self._source)
        names = {name.removeprefix(prefix): name for name in _own(self._source, prefix)}
        self._scales = {
            found[1]: self._scale(name)
            for plain, name in names.items()
            if (found := _SCALE.fullmatch(plain))
        }
        names = {plain: name for plain, name in names.items() if not _SCALE.fullmatch(plain)}
        self._plain = {name: plain for plain, name in names.items()}
        self.config = _config(path, {plain: self._shape(name) for plain, name in names.items()})
        self._parts = dict(self._all_parts(names))
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: self._part_shape(part) for name, part in self._parts.items()
        }

    def file(self, name: str) -> Path:  # noqa: ARG002
        """Return the file a tensor is in: there is but one."""
        return self.where

    def nbytes(self, name: str) -> int:
        """Return the bytes of a tensor in the file."""
        entry = self._source.entries[self._parts[name].name]
        return math.prod(self.shapes[name]) * (entry.dtype or torch.uint8).itemsize

    def read(self, name: str, rows: slice | None) -> Tensor:
        """Return some consecutive rows of a tensor, or all, in memory of their own."""
        part = self._parts[name]
        wanted = range(self.shapes[name][0])[rows or slice(None)]
        pieces = [self._source.read(part.name, piece) for piece in _cut(part.rows, wanted)]
        tensor = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        scale = self._scales.get(self._plain[part.name].removesuffix(".weight"))
        return tensor if scale is None else tensor.to(torch.float32) * scale

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in the file."""
        return self._source.entries[name].shape

    def _part_shape(self, part: _Part) -> tuple[int, ...]:
        """Return the shape of a tensor cut out of another."""
        return (sum(rows.stop - rows.start for rows in part.rows), *self._shape(part.name)[1:])

    def _scale(self, name: str) -> float:
        """Return the scale of an fp8 tensor."""
        require_real(self._source, name)
        scale = self._source.read(name).to(torch.float32).reshape(-1)
        if scale.numel() != 1 or not 0 < scale.item() < math.inf:
            raise ModelError(f"{self.where}: '{name}' is not the scale of one tensor")
        return scale.item()

    def _all_parts(self, names: Mapping[str, str]) -> Iterator[tuple[str, _Part]]:
        """Yield each of the model's tensors and where it lies."""
        hidden = self.config["num_attention_heads"] * self.config["attention_head_dim"]
        for plain, name in names.items():
            require_real(self._source, name)
            stem, _, leaf = plain.rpartition(".")
            rows = self._shape(name)[0] if self._shape(name) else 0
            norm = _norm(stem) if leaf == "scale" else None
            modules = (norm,) if norm else names_flux.MODULES.get(stem, ())
            if not modules or not (norm or leaf in {"weight", "bias"}):
                raise ModelError(
                    f"{self.where}: unknown weight '{name}'; these weights are of another model"
                )
            if stem == names_flux.SWAPPED:
                half = rows // 2
                yield f"{modules[0]}.{leaf}", _Part(name, (slice(half, rows), slice(0, half)))
                continue
            starts = [min(number * hidden, rows) for number in range(len(modules))]
            for module, start, stop in zip(modules, starts, [*starts[1:], rows], strict=True):
                ours = "weight" if norm else leaf
                yield f"{module}.{ours}", _Part(name, (slice(start, stop),))


def _prefix(source: Source) -> str:
    """Return what stands before FLUX's own names; refuse a file without them."""
    for prefix in _PREFIXES:
        if f"{prefix}{_MARK}" in source.entries:
            return prefix
    other = next(
        (what for mark, what in _OTHERS.items() if any(mark in name for name in source.entries)),
        None,
    )
    raise ModelError(
        f"{source.path}: is no FLUX in Black Forest Labs' layout (it has no '{_MARK}')"
        + (f"; it looks like {other}" if other else "")
    )


def _own(source: Source, prefix: str) -> Iterator[str]:
    """Yield the names of the denoiser's tensors."""
    for name in source.entries:
        if _REMARKS.fullmatch(name) or (prefix and name.startswith(_OTHER_PARTS)):
            continue
        if not name.startswith(prefix):
            raise ModelError(f"{source.path}: unknown weight '{name}' beside those of a FLUX")
        yield name


def _norm(stem: str) -> str | None:
    """Return diffusers' name of a norm of queries or keys."""
    found = _NORM.fullmatch(stem)
    if found is None or found[3] not in _NORMS[found[1]]:
        return None
    return f"{_BLOCKS[found[1]]}.{int(found[2])}.{_NORMS[found[1]][found[3]]}"


def _config(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the config that the shapes tell.

    Raises:
        ModelError: a tensor that tells something is missing, or tells nothing a FLUX can have.
    """

    def sizes(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in shapes:
            raise ModelError(f"{path}: weight '{name}' is missing; the file is incomplete")
        if len(shapes[name]) != dimensions or not all(shapes[name]):
            raise ModelError(f"{path}: weight '{name}' has shape {list(shapes[name])}; not a FLUX")
        return shapes[name]

    hidden, channels = sizes("img_in.weight", 2)
    (head,) = sizes("double_blocks.0.img_attn.norm.query_norm.scale", 1)
    if head != _HEAD or hidden % head:
        raise ModelError(
            f"{path}: has attention heads {head} wide in {hidden}; FLUX.1's are {_HEAD} wide, and "
            "the file does not tell how others divide positions; give a folder in diffusers' layout"
        )
    return {
        "in_channels": channels,
        "out_channels": sizes("final_layer.linear.weight", 2)[0],
        "num_layers": _count(shapes, "double_blocks"),
        "num_single_layers": _count(shapes, "single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": hidden // head,
        "joint_attention_dim": sizes("txt_in.weight", 2)[1],
        "pooled_projection_dim": sizes("vector_in.in_layer.weight", 2)[1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": _AXES,
    }


def _count(shapes: Mapping[str, tuple[int, ...]], kind: str) -> int:
    """Return how many blocks of a kind there are; a gap shows as missing weights later."""
    found = {parts[1] for name in shapes if (parts := name.split("."))[0] == kind}
    numbers = [int(number) for number in found if number.isdecimal() and len(number) < 4]
    return min(max(numbers, default=-1) + 1, names_flux.BLOCKS)


def _cut(pieces: tuple[slice, ...], wanted: range) -> Iterator[slice]:
    """Yield the slices of a file's tensor that are rows `wanted` of the model's."""
    before = 0
    for piece in pieces:
        size = piece.stop - piece.start
        first, last = max(wanted.start - before, 0), min(wanted.stop - before, size)
        if first < last:
            yield slice(piece.start + first, piece.start + last)
        before += size
