"""safetensors files tensor by tensor: models far larger than memory, read and written.

Reading uses `pread` into memory of its own, not a memory map, whose pages would count as
the process's own; so one tensor is resident at a time. Writing lays down the header
first, from shapes and dtypes that are known ahead, then each tensor as it is made.
Format: https://huggingface.co/docs/safetensors (8-byte length, JSON header, data).
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bioicons_kit.errors import DamagedFileError, LoraError
from bioicons_kit.files import atomic_file
from bioicons_kit.tensors import damaged

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_ALIGNMENT = 8  # the data section starts at a multiple of eight bytes
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PIECE = 1 << 30  # bytes; Linux reads at most 2 GiB in one call


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies in its file.

    Attributes:
        kind: the format's name of the dtype, such as "BF16".
        shape: of the tensor.
        start: first byte, counted from the file's beginning.
        stop: first byte after it.
    """

    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype in torch; None for those the kit does not read (complex, 4-bit, ...)."""
        return DTYPES.get(self.kind)

    @property
    def is_real(self) -> bool:
        """Whether its numbers are floating point, of any size."""
        return self.dtype is not None and self.dtype.is_floating_point


class Source:
    """A safetensors file that gives its tensors one at a time.

    Attributes:
        path: of the file.
        entries: by the tensors' names, in the order of the file.
        metadata: of the header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data, self.entries, self.metadata = _header(path)

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Return one tensor, or some consecutive rows of it, in memory of its own.

        Raises:
            DamagedFileError: the file has become shorter since it was opened, or unreadable.
        """
        entry = self.entries[name]
        assert entry.dtype is not None, f"{name}: {entry.kind} is not read here"
        first, last, _ = (rows or slice(None)).indices(entry.shape[0] if entry.shape else 1)
        shape = entry.shape if rows is None else (last - first, *entry.shape[1:])
        size = math.prod(shape) * entry.dtype.itemsize
        if size == 0:
            return torch.empty(shape, dtype=entry.dtype)
        memory = torch.empty(size, dtype=torch.uint8)  # unlike a bytearray, not cleared first
        view = memory.numpy().data
        done = 0
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(entry.start + first * (size // max(1, last - first)))
                while done < size:
                    count = file.readinto(view[done : done + _PIECE])
                    if not count:
                        raise DamagedFileError(f"{self.path}: ends in the middle of '{name}'")
                    done += count
        except OSError as error:
            raise damaged(self.path, error) from error
        return memory.view(entry.dtype).reshape(shape)

    def data_sha256(self) -> str:
        """Return the SHA-256 of all that follows the header, in hexadecimal."""
        with self.path.open("rb") as file:
            file.seek(self._data)
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Slot:
    """A tensor that will be written: its dtype and shape."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes it takes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write(
    path: Path,
    plan: Mapping[str, Slot],
    metadata: Mapping[str, str],
    make: Callable[[str], Tensor],
    advance: Callable[[int], object] = lambda _: None,
) -> Path:
    """Write a safetensors file tensor by tensor, atomically; return `path`.

    Args:
        path: where to.
        plan: all tensors to come. They are written in `ordered` order.
        metadata: of the header, text to text.
        make: returns the tensor of a name; called once for each.
        advance: called with the bytes of each tensor written (for a progress bar).

    Raises:
        StorageError: no room or no permission; whatever stood at `path` is untouched.
    """
    names = ordered(plan)
    with atomic_file(path) as file:
        file.write(packed_header(names, plan, metadata))
        for name in names:
            tensor = make(name).contiguous()
            found = Slot(tensor.dtype, tuple(tensor.shape))
            assert found == plan[name], f"{name}: planned {plan[name]}, made {found}"
            file.write(tensor_bytes(tensor))
            advance(found.nbytes)
    return path


def ordered(plan: Mapping[str, Slot]) -> list[str]:
    """Return names in the order of the file: wide numbers first, so that all are aligned."""
    return sorted(plan, key=lambda name: -plan[name].dtype.itemsize)


def tensor_bytes(tensor: Tensor) -> memoryview:
    """Return a contiguous tensor's bytes, without a copy."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data


def require_file(path: Path) -> None:
    """Refuse what is no file, and what is a pickle whatever its name says.

    Raises:
        LoraError: there is no such file.
        DamagedFileError: it is a pickle.
    """
    if not path.is_file():
        raise LoraError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(9)
    # A header's length can begin like a pickle; the header itself begins with a brace.
    if start.startswith(_PICKLES) and start[8:] != b"{":
        raise DamagedFileError(
            f"{path}: a pickle, not a safetensors file; pickles can run any program and are not "
            "opened: ask its author for safetensors"
        )


def _header(path: Path) -> tuple[int, dict[str, Entry], dict[str, str]]:
    """Return where the data begin, the entries and the metadata of a checked header.

    The library checks the header's grammar, that shapes fit byte ranges and that these
    cover the file; its size is checked before anything is read.
    """
    try:
        require_file(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise DamagedFileError(
                    f"{path}: not a readable safetensors file (its header claims {length:,} bytes, "
                    f"the file has {size:,}); it is truncated, or something else"
                )
            with safe_open(path, framework="pt") as checked:
                metadata: dict[str, str] = checked.metadata() or {}
            header = json.loads(file.read(length), object_pairs_hook=_once_each)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error
    header.pop("__metadata__", None)
    entries = {}
    for name, item in sorted(header.items(), key=lambda pair: pair[1]["data_offsets"]):
        start, stop = (8 + length + offset for offset in item["data_offsets"])
        entries[name] = Entry(item["dtype"], tuple(item["shape"]), start, stop)
    return 8 + length, entries, metadata


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's content, refused if a name is in it twice: which would count?"""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is in its header twice")
    return found


def packed_header(names: list[str], plan: Mapping[str, Slot], metadata: Mapping[str, str]) -> bytes:
    """Return length and header of a file that holds `names` in this order."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in names:
        slot = plan[name]
        header[name] = {
            "dtype": _NAMES[slot.dtype],
            "shape": list(slot.shape),
            "data_offsets": [offset, offset + slot.nbytes],
        }
        offset += slot.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
