"""safetensors files: read with suspicion, written whole and byte for byte the same each time.

The `safetensors` library orders header metadata by a hash that changes from process to
process, so equal contents give unequal files; `pack` writes the metadata sorted instead.
Format: https://huggingface.co/docs/safetensors (8-byte length, JSON header, data).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bioicons_kit.errors import DamagedFileError
from bioicons_kit.files import write_bytes

_ALIGNMENT = 8  # the data section starts at a multiple of eight bytes


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the safetensors file of `tensors`; the same input gives the same bytes."""
    plain: bytes = safetensors.torch.save(
        {name: t.detach().contiguous() for name, t in tensors.items()}
    )
    length = int.from_bytes(plain[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(plain[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + plain[8 + length :]


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write `tensors` to `path` atomically; return `path`.

    Raises:
        StorageError: no room or no permission.
    """
    return write_bytes(path, pack(tensors, metadata))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of `path`, in memory of their own on the CPU, and its metadata.

    Raises:
        DamagedFileError: the file cannot be read as safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # a tensor of the file is a view of its memory map, which changes as the file does
            content = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return content, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DamagedFileError:
    """Return the one-line explanation of why `path` cannot be read."""
    return DamagedFileError(f"{path}: not a readable safetensors file ({error})")
