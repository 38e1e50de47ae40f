"""The cache: content key -> safetensors file. Knows no models.

An entry's key is a hash of everything that shapes its content: the input's bytes, how it
was drawn, the encoder's files, dtypes, and this module's format version. Nothing is ever
invalidated; what changed has another key. Entries are written atomically and carry their
key, what the key was made of, and a checksum, so an entry that is there is whole, or is
found not to be when read.

One file an entry: packed shards would be swept faster, but an entry could not be written,
dropped or pruned alone, nor by several processes at once (docs/CACHES.md has the numbers).
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.errors import DamagedFileError

FORMAT = "2"  # raise it when the meaning of an entry changes: every key changes with it

_SUFFIX = ".safetensors"
_LONGEST_HEADER = 2**20  # bytes; an entry's own has some thousand
_ABANDONED = 3600.0  # seconds after which an unfinished file's writer is taken for dead


class Shape(NamedTuple):
    """One tensor of an entry, as it has to be: its name, dtype and sizes."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.dtype.itemsize * torch.Size(self.sizes).numel()


@dataclass(frozen=True)
class Entry:
    """The name of one entry.

    Attributes:
        kind: "latents", "clip", "t5", ...
        key: hash of all that shapes the content.
        layout: the tensors it must hold; anything goes where it is empty.
    """

    kind: str
    key: str
    layout: tuple[Shape, ...] = field(default=(), compare=False, repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(shape.nbytes for shape in self.layout)


class Stamp(NamedTuple):
    """What tells an untouched file: its size in bytes, and its modification time in ns."""

    size: int
    modified: int


def entry(kind: str, parts: Mapping[str, str], layout: Sequence[Shape] = ()) -> Entry:
    """Return the entry whose content is shaped by `parts`, and by nothing else."""
    text = json.dumps({"format": FORMAT, "kind": kind, **parts}, sort_keys=True)
    return Entry(kind, hashlib.sha256(text.encode()).hexdigest(), tuple(layout))


class Cache:
    """A folder of entries: `root/kind/ab/abcdef....safetensors`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, wanted: Entry) -> Path:
        """Return where an entry is kept, whether or not it is there."""
        return self.root / wanted.kind / wanted.key[:2] / f"{wanted.key}{_SUFFIX}"

    def has(self, wanted: Entry) -> bool:
        """Tell whether an entry is there; it may still turn out damaged when read."""
        return self.path(wanted).is_file()

    def stamp(self, wanted: Entry) -> Stamp:
        """Return the size and time of an entry's file; OSError if there is none."""
        status = self.path(wanted).stat()
        return Stamp(status.st_size, status.st_mtime_ns)

    def put(
        self, wanted: Entry, content: Mapping[str, Tensor], about: Mapping[str, Any] | None = None
    ) -> None:
        """Write an entry, whole or not at all.

        Args:
            wanted: its name.
            content: its tensors.
            about: where it comes from and what its key was made of, for people.

        Raises:
            StorageError: no room or no permission.
            ValueError: the tensors are not those of its layout, or not finite.
        """
        problem = _misfit(content, wanted.layout) or _not_finite(content)
        if problem:
            raise ValueError(problem)
        told = json.dumps(about or {}, sort_keys=True, ensure_ascii=False)
        digest = _checksum(content, told)
        metadata = {"about": told, "format": FORMAT, "key": wanted.key, "sha256": digest}
        tensors.write(self.path(wanted), content, metadata)

    def get(self, wanted: Entry) -> dict[str, Tensor]:
        """Read an entry.

        Raises:
            DamagedFileError: not there, truncated, altered, another entry's content, or not
                of its layout.
        """
        path = self.path(wanted)
        if not path.is_file():  # a pipe would keep its reader waiting
            raise DamagedFileError(f"{path}: no such cache entry")
        content, metadata = tensors.read(path)
        digest = _checksum(content, metadata.get("about", ""))
        if metadata.get("key") != wanted.key or metadata.get("sha256") != digest:
            raise DamagedFileError(f"{path}: cache entry does not hold what it should")
        problem = _misfit(content, wanted.layout) or _not_finite(content)
        if problem:
            raise DamagedFileError(f"{path}: cache entry {problem}")
        return content

    def about(self, wanted: Entry) -> dict[str, Any]:
        """Return what an entry tells about itself, from its header alone; {} if nothing."""
        try:
            with self.path(wanted).open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(length, _LONGEST_HEADER)))
            told = json.loads(header["__metadata__"]["about"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}

    def drop(self, wanted: Entry) -> None:
        """Remove an entry, if it is there."""
        self.path(wanted).unlink(missing_ok=True)

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of which there are entries."""
        if not self.root.is_dir():
            return ()
        folders = (each for each in self.root.iterdir() if each.is_dir())
        return tuple(
            sorted(each.name for each in folders if next(_files(each, _SUFFIX), None) is not None)
        )

    def sweep(self, kind: str) -> dict[str, Stamp]:
        """Return the key and stamp of every entry of a kind; one listing of its folders.

        What writers that were killed left behind is removed.
        """
        folder = self.root / kind
        for file in _files(folder, ".tmp"):
            if time.time() - file.stat().st_mtime > _ABANDONED:
                Path(file).unlink(missing_ok=True)
        found: dict[str, Stamp] = {}
        for file in _files(folder, _SUFFIX):
            status = file.stat()
            key = file.name.removesuffix(_SUFFIX)
            found[key] = Stamp(status.st_size, status.st_mtime_ns)
        return found


def _files(folder: Path, suffix: str) -> "Iterator[os.DirEntry[str]]":
    """Yield the plain files with a suffix two levels below the folder of a kind."""
    try:
        with os.scandir(folder) as shelves:
            names = sorted(each.path for each in shelves if len(each.name) == 2 and each.is_dir())
    except OSError:
        return
    for name in names:
        with os.scandir(name) as files:
            yield from (each for each in files if each.name.endswith(suffix) and each.is_file())


def _misfit(content: Mapping[str, Tensor], layout: Sequence[Shape]) -> str:
    """Say what of `content` is not as `layout` has it; nothing if all is."""
    if not layout:
        return ""
    wanted = {shape.name: shape for shape in layout}
    if content.keys() != wanted.keys():
        return f"holds {sorted(content)} instead of {sorted(wanted)}"
    for name, tensor in content.items():
        found = Shape(name, tensor.dtype, tuple(tensor.shape))
        if found != wanted[name]:
            return f"holds {_shown(found)} instead of {_shown(wanted[name])}"
    return ""


def _shown(shape: Shape) -> str:
    """Return a shape as an error names it."""
    return f"{shape.name} {list(shape.sizes)} {str(shape.dtype).removeprefix('torch.')}"


def _not_finite(content: Mapping[str, Tensor]) -> str:
    """Say which tensor holds infinities or nans; nothing if none does."""
    for name, tensor in content.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return f"holds numbers in {name} that are not finite"
    return ""


def _checksum(content: Mapping[str, Tensor], about: str) -> str:
    """Return the SHA-256 over an entry's account of itself and its tensors.

    Names, dtypes, shapes and bytes of the tensors count.
    """
    digest = hashlib.sha256(about.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(content.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        # numpy knows no bfloat16; every dtype can be viewed as bytes
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
