"""Where a model's weights come from: safetensors files, read some rows at a time.

Only headers are read until a tensor is asked for, so that a wrong file is found before the
first gigabyte. Limits: safetensors; pickles are refused.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from bioicons_kit.errors import ModelError
from bioicons_kit.tensor_stream import Source


class Weights(Protocol):
    """Tensors under a model's own names, wherever and however they are kept.

    Attributes:
        where: the file or folder they come from, for messages.
        shapes: of each tensor, in the order in which they are best read.
    """

    where: Path
    shapes: Mapping[str, tuple[int, ...]]

    def file(self, name: str) -> Path:
        """Return the file a tensor is in."""
        ...

    def nbytes(self, name: str) -> int:
        """Return the bytes of a tensor in its file."""
        ...

    def read(self, name: str, rows: slice | None) -> Tensor:
        """Return some consecutive rows of a tensor, or all, in memory of their own.

        Raises:
            DamagedFileError: the file cannot be read there.
        """
        ...


class Shards:
    """The weights of files that name them as the model does.

    Raises:
        ModelError: a weight stands in two files, or holds no floating-point numbers.
        DamagedFileError: a file is not readable.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.where = files[0].parent
        self._sources: dict[str, Source] = {}
        for source in map(Source, files):
            for name in source.entries:
                if name in self._sources:
                    raise ModelError(f"{source.path}: weight '{name}' stands in two shards")
                require_real(source, name)
                self._sources[name] = source
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: source.entries[name].shape for name, source in self._sources.items()
        }

    def file(self, name: str) -> Path:
        """Return the file a tensor is in."""
        return self._sources[name].path

    def nbytes(self, name: str) -> int:
        """Return the bytes of a tensor in its file."""
        entry = self._sources[name].entries[name]
        return entry.stop - entry.start

    def read(self, name: str, rows: slice | None) -> Tensor:
        """Return some consecutive rows of a tensor, or all."""
        return self._sources[name].read(name, rows)


def require_real(source: Source, name: str) -> None:
    """Refuse a tensor that does not hold floating-point numbers.

    Raises:
        ModelError: it holds integers, or something packed.
    """
    entry = source.entries[name]
    if not entry.is_real:
        raise ModelError(
            f"{source.path}: weight '{name}' is stored as {entry.kind}, which is no plain "
            "floating-point format; weights quantized by other tools are not read"
        )


def shards(folder: Path, stem: str, variant: str | None) -> tuple[Path, ...]:
    """Return the safetensors files of one model folder, from its index where it has one.

    Args:
        folder: for example `FLUX.1-dev/transformer`.
        stem: "diffusion_pytorch_model" (diffusers) or "model" (transformers).
        variant: "bf16" for files named `stem.bf16.safetensors`, or None.

    Raises:
        ModelError: no such files, or an index that points out of the folder.
    """
    name = stem if variant is None else f"{stem}.{variant}"
    single = folder / f"{name}.safetensors"
    if single.is_file():
        return (single,)
    # diffusers and transformers both put the variant after "index"
    index = folder / f"{stem}.safetensors.index{'' if variant is None else '.' + variant}.json"
    if not index.is_file():
        also = "" if variant is None else f" of variant '{variant}'"
        raise ModelError(f"{folder}: holds no safetensors weights{also} (expected {single.name})")
    try:
        names = {Path(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index}: not a safetensors index ({error})") from error
    if not names:
        raise ModelError(f"{index}: not a safetensors index (it names no weights)")
    found = []
    for file in sorted(names):
        path = folder / file
        if file.name != str(file) or not path.is_file():
            raise ModelError(f"{index}: names the shard '{file}', which is not in {folder}")
        found.append(path)
    return tuple(found)
