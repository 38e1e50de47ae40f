"""Files that are whole or not there: atomic writes, content hashes, room checks.

A write goes to a temporary file in the target's folder, is flushed to the disk, and is
renamed over the target, so that a reader never sees half a file and a failed write
leaves the old one in place.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bioicons_kit.errors import StorageError

# EFBIG is a per-process or per-file-system limit on one file's size.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` raised while writing `path` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return the one-line explanation of why `path` could not be written."""
    if error.errno in _NO_ROOM:
        return StorageError(
            f"{path}: no room to write it ({error.strerror}); free some disk space or "
            "choose another folder (cache.root, output.root, or --out), then run again"
        )
    return StorageError(f"{path}: cannot be written ({error.strerror or error})")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write that becomes `path`, its folder made, if the block succeeds.

    Raises:
        StorageError: no room or no permission; whatever stood at `path` is untouched.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())  # mkstemp makes files only their owner can read
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> Path:
    """Write `data` to `path` atomically, making its folder; return `path`.

    Raises:
        StorageError: no room or no permission; whatever stood at `path` is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path` atomically as UTF-8 with plain newlines; return `path`."""
    return write_bytes(path, text.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a fresh folder beside `path` that becomes `path` if the block succeeds.

    If another process made `path` meanwhile, its folder stays and ours is dropped: use
    this only for folders whose content is the same whoever makes them.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield scratch
        with storage_errors(path):
            scratch.chmod(0o777 & ~_umask())
            try:
                scratch.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def flush_folder(path: Path) -> None:
    """Flush to the disk which files a folder holds, as far as the system lets folders be flushed.

    Raises:
        StorageError: the disk refuses.
    """
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_targets(targets: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """Refuse, before any work, to write where something stands that is wanted.

    Args:
        targets: files to be written; None is one that was not asked for.
        inputs: files and folders that are read.

    Raises:
        StorageError: a target is an input or in one, is no file, or is given twice.
    """
    given = [path for path in targets if path is not None]
    real = [Path(os.path.realpath(path)) for path in given]
    for path, place in zip(given, real, strict=True):
        with storage_errors(path):
            special = place.exists() and not place.is_file() and not place.is_dir()
        if special:  # /dev/null would become a file
            raise StorageError(f"{path}: is no file and no folder; choose another name")
        if any(place.is_relative_to(os.path.realpath(each)) for each in inputs):
            raise StorageError(
                f"{path}: is one of the inputs, or in one, and would be lost; choose another name"
            )
        if real.count(place) > 1:
            raise StorageError(f"{path}: would be written twice; choose another name for one")


def require_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to start work whose output of `needed` bytes cannot fit in `folder`.

    Raises:
        StorageError: the file system of `folder` has less free space than `needed`.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        raise StorageError(
            f"{folder}: no room for {what}: needs {needed / 1e6:,.0f} MB, "
            f"{free / 1e6:,.0f} MB are free; free some disk space or choose another folder"
        )


def _umask() -> int:
    """Return the process's umask (which can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
