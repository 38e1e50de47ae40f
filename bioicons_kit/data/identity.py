"""What an encoder is: the hash of its files' contents, computed once and remembered.

T5-XXL is 9.5 GB. A file's hash is remembered in the cache by its path, size and
modification time, so that only a changed file is read again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import KitError
from bioicons_kit.files import sha256_bytes, sha256_file, write_text

_WORTH_SAYING = 500_000_000  # bytes; about a second to read
_LARGEST = 16 * 2**20  # bytes; some hundred thousand files


class Identities:
    """Hashes of model files, remembered in `root/identities.json`."""

    def __init__(self, root: Path) -> None:
        self._path = root / "identities.json"
        self._known = self._read()

    def of(self, files: Sequence[Path]) -> str:
        """Return one hash for the names and contents of `files`.

        Raises:
            KitError: a file cannot be read, or changes while it is read.
        """
        before = len(self._known)
        parts = [f"{path.parent.name}/{path.name} {self._hash(path)}" for path in files]
        if len(self._known) != before:
            self._known = self._read() | self._known  # what other processes hashed meanwhile
            write_text(self._path, json.dumps(self._known, indent=0, sort_keys=True))
        return sha256_bytes("\n".join(sorted(parts)).encode())

    def _hash(self, path: Path) -> str:
        """Return one file's hash, from memory where the file is unchanged."""
        try:
            mark = _mark(path)
            if mark not in self._known:
                size = path.stat().st_size
                if size > _WORTH_SAYING:
                    what = f"{path.name}, {size / 1e9:.1f} GB"
                    console.say("hashing", f"{what}: once, to know it by its content")
                digest = sha256_file(path)
                if _mark(path) != mark:
                    raise KitError(f"{path}: changed while it was read; run again")
                self._known[mark] = digest
        except OSError as error:
            raise KitError(f"{path}: cannot be read ({error.strerror})") from error
        return self._known[mark]

    def _read(self) -> dict[str, str]:
        """Return what is remembered; a damaged memory is only slower, so it starts afresh."""
        try:
            if not self._path.is_file() or self._path.stat().st_size > _LARGEST:
                return {}
            known = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {k: v for k, v in known.items() if isinstance(k, str) and isinstance(v, str)}


def _mark(path: Path) -> str:
    """Return what a file is known by: its path, size and modification time."""
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
