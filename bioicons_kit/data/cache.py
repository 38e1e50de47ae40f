"""The cache: content key -> safetensors file. Knows no models.

An entry's key is a hash of everything that shapes its content: the input's bytes, how it
was drawn, the encoder's files, dtypes, and this module's format version. Nothing is ever
invalidated; what changed has another key. Entries are written atomically and carry their
key and a checksum, so an entry that is there is whole, or is found not to be when read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.errors import DamagedFileError

FORMAT = "1"  # raise it when the meaning of an entry changes: every key changes with it


@dataclass(frozen=True)
class Entry:
    """The name of one entry: its kind ("latents", "clip", "t5", ...) and its content key."""

    kind: str
    key: str


def entry(kind: str, parts: Mapping[str, str]) -> Entry:
    """Return the entry whose content is shaped by `parts`, and by nothing else."""
    text = json.dumps({"format": FORMAT, "kind": kind, **parts}, sort_keys=True)
    return Entry(kind, hashlib.sha256(text.encode()).hexdigest())


class Cache:
    """A folder of entries: `root/kind/ab/abcdef....safetensors`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, wanted: Entry) -> Path:
        """Return where an entry is kept, whether or not it is there."""
        return self.root / wanted.kind / wanted.key[:2] / f"{wanted.key}.safetensors"

    def has(self, wanted: Entry) -> bool:
        """Tell whether an entry is there; it may still turn out damaged when read."""
        return self.path(wanted).is_file()

    def put(self, wanted: Entry, content: Mapping[str, Tensor]) -> None:
        """Write an entry, whole or not at all.

        Raises:
            StorageError: no room or no permission.
        """
        metadata = {"format": FORMAT, "key": wanted.key, "sha256": _checksum(content)}
        tensors.write(self.path(wanted), content, metadata)

    def get(self, wanted: Entry) -> dict[str, Tensor]:
        """Read an entry.

        Raises:
            DamagedFileError: not there, truncated, altered, or another entry's content.
        """
        path = self.path(wanted)
        content, metadata = tensors.read(path)
        if metadata.get("key") != wanted.key or metadata.get("sha256") != _checksum(content):
            raise DamagedFileError(f"{path}: cache entry does not hold what it should")
        return content

    def drop(self, wanted: Entry) -> None:
        """Remove an entry, if it is there."""
        self.path(wanted).unlink(missing_ok=True)


def _checksum(content: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of an entry's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(content.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        # numpy knows no bfloat16; every dtype can be viewed as bytes
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
