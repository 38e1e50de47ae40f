"""Quantized models kept for the next start: safetensors files, and what they were made of.

Quantizing FLUX.1-dev reads 24 GB and computes for minutes; its result is half of that and is
only read. A file is written while the model streams in, one tensor after another, so that
keeping it takes no memory; it has its final name only when it is whole.

Its name is a hash of all that shapes its content: the base model's files by content, level,
exclusions, dtype, the version of the quantizer, and this module's format. The header names
them too, and a CRC-32 of each tensor: enough for a disk's errors, at a third of the time of
a cryptographic hash. Whatever does not fit is told and made anew.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from bioicons_kit import console
from bioicons_kit.errors import DamagedFileError, StorageError
from bioicons_kit.files import atomic_file, require_room, sha256_bytes
from bioicons_kit.memory.levels import LEVELS
from bioicons_kit.tensor_stream import Slot, Source, ordered, packed_header, tensor_bytes

FORMAT = "1"  # raise it when the meaning of a file changes: every name changes with it

_FOLDER = "quantized"
_SPARE = 64 * 2**20  # bytes that stay free on the disk beside a kept model
_UNKNOWN = "0" * 8  # a checksum's place in the header until its tensor is written


@dataclass(frozen=True)
class Place:
    """Where one quantized model is kept, and what it is made of."""

    path: Path
    about: str


class Shelf:
    """The quantized models of one cache.

    Args:
        root: the cache's folder.
        identify: returns one hash for the contents of files.
    """

    def __init__(self, root: Path, identify: Callable[[Sequence[Path]], str]) -> None:
        self._root, self._identify = root / _FOLDER, identify

    def place(
        self, files: Sequence[Path], level: str, exclude: Sequence[str], dtype: torch.dtype
    ) -> Place:
        """Return where the model in `files` is kept when stored like this."""
        about = {
            "base": self._identify(files),
            "dtype": str(dtype).removeprefix("torch."),
            "exclude": list(exclude),
            "format": FORMAT,
            "level": level,
            **{library: version(library) for library in LEVELS[level].libraries},
        }
        text = json.dumps(about, sort_keys=True)
        return Place(self._root / f"{sha256_bytes(text.encode())}.safetensors", text)


class Writer:
    """Writes the tensors of a file in any order; see `written`."""

    def __init__(self, file: BinaryIO, slots: Mapping[str, Slot], about: str) -> None:
        self._file, self._slots, self._about = file, slots, about
        self._names = ordered(slots)
        self._checksums = dict.fromkeys(self._names, _UNKNOWN)
        self._starts: dict[str, int] = {}  # of those still to come
        start = len(self._header())
        for name in self._names:
            self._starts[name] = start
            start += slots[name].nbytes

    def put(self, name: str, tensor: Tensor) -> None:
        """Write one tensor of the plan; from a GPU it visits the host alone."""
        tensor = tensor.detach().cpu().contiguous()
        assert Slot(tensor.dtype, tuple(tensor.shape)) == self._slots[name], name
        data = tensor_bytes(tensor)
        self._file.seek(self._starts.pop(name))
        self._file.write(data)
        self._checksums[name] = _checksum(data)

    def finish(self) -> None:
        """Write the header, whose checksums are known by now."""
        assert not self._starts, f"never written: {sorted(self._starts)}"
        self._file.seek(0)
        self._file.write(self._header())

    def _header(self) -> bytes:
        """Return the header; its length does not depend on the checksums."""
        metadata = {"about": self._about, "crc32": " ".join(self._checksums.values())}
        return packed_header(self._names, self._slots, metadata)


@contextmanager
def written(place: Place | None, slots: Mapping[str, Slot]) -> Iterator[Callable[..., None]]:
    """Yield what takes each tensor of `slots` by name; keeps them if the block succeeds.

    Nothing is kept where there is no place, on all processes but the first, and, which is
    told, where the disk has no room: a model can be used without being kept.

    Raises:
        StorageError: the disk fails while the file is being written.
    """
    if place is None or not console.is_main_process() or not _has_room(place, slots):
        yield lambda _name, _tensor: None
        return
    with atomic_file(place.path) as file:
        writer = Writer(file, slots, place.about)
        yield writer.put
        writer.finish()
    size = place.path.stat().st_size
    console.say("kept", f"quantized, for the next start ({size / 1e6:,.1f} MB in {_FOLDER}/)")


def read(place: Place | None, slots: Mapping[str, Slot]) -> Iterator[tuple[str, Tensor]] | None:
    """Return the tensors of a kept model one at a time; None if there is none, or another.

    A file that is there and cannot be used is told.

    Raises:
        DamagedFileError: while reading, a tensor is not what was written.
    """
    if place is None or not place.path.is_file():
        return None
    try:
        source = Source(place.path)
        checksums = source.metadata.get("crc32", "").split()
        found = {
            name: Slot(entry.dtype, entry.shape)
            for name, entry in source.entries.items()
            if entry.dtype is not None
        }
        fits = source.metadata.get("about") == place.about and found == dict(slots)
        if not fits or len(checksums) != len(found):
            raise DamagedFileError(f"{place.path}: does not hold what it should")
    except DamagedFileError as error:
        told(error)
        return None
    return _tensors(source, dict(zip(ordered(slots), checksums, strict=True)))


def told(error: DamagedFileError) -> None:
    """Say that a kept model cannot be used."""
    console.warn(f"{error}; quantizing again")


def _tensors(source: Source, checksums: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of a file, in the file's order, after comparing its checksum."""
    for name in source.entries:
        tensor = source.read(name)
        if _checksum(tensor_bytes(tensor)) != checksums[name]:
            raise DamagedFileError(f"{source.path}: '{name}' does not hold what was written")
        yield name, tensor


def _checksum(data: memoryview) -> str:
    """Return a CRC-32 in hexadecimal, 8 digits."""
    return f"{zlib.crc32(data):08x}"


def _has_room(place: Place, slots: Mapping[str, Slot]) -> bool:
    """Tell whether the disk has room for a model; say so where it has not."""
    needed = sum(slot.nbytes for slot in slots.values()) + _SPARE
    try:
        require_room(place.path.parent, needed, "the quantized model")
    except StorageError as error:
        console.warn(f"{error}; the model is not kept, and the next start quantizes it again")
        return False
    return True
