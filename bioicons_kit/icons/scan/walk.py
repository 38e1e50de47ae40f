"""The files of a library: found without following what leads out of it, and no file twice.

Nothing outside the root is ever read, links to folders stay closed, and hidden files and
folders are left alone. A file or folder that cannot be looked at is told, not missed.
"""

import os
import stat
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from bioicons_kit.icons.scan import names

EMPTY = "an empty file"
# Paths longer than systems allow (4,096 bytes) are reached by folders in folders only.
MAX_DEPTH = 32


class File(NamedTuple):
    """A plain file below the root.

    `relative` is its posix path below the root in Unicode's composed form (NFC).
    """

    path: Path
    relative: str
    size: int
    linked: bool


class Refused(NamedTuple):
    """A file or folder that is not taken, by its path below the root as can be shown, and why."""

    path: str
    reason: str


def files(root: Path, suffixes: Collection[str]) -> Iterator[File | Refused]:
    """Yield every file below `root` whose name ends in one of `suffixes`, case ignored.

    The order is that of the names' bytes, whatever the system gives.
    """
    base = Path(os.path.realpath(root))
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Refused(_shown(folder, root), f"a folder that cannot be read ({error.strerror})")
            continue
        for entry in found:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and os.path.isdir(path):  # noqa: PTH112 - raises nothing
                yield Refused(_shown(path, root), "a link to a folder, which is not followed")
            elif _is_folder(entry):
                if len(path.relative_to(root).parts) > MAX_DEPTH:
                    yield Refused(_shown(path, root), f"more than {MAX_DEPTH} folders deep")
                else:
                    waiting.append(path)
            elif any(entry.name.lower().endswith(suffix) for suffix in suffixes):
                yield _looked_at(path, root, base)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether a folder's entry is a folder itself, links not followed."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _looked_at(path: Path, root: Path, base: Path) -> File | Refused:
    """Return the file at `path`, or why it is not taken."""
    relative = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
    shown = names.printable(relative)
    if not names.is_writable(relative):
        return Refused(shown, "its name holds characters that cannot be written down")
    try:
        linked = path.is_symlink()
        if linked and not Path(os.path.realpath(path)).is_relative_to(base):
            return Refused(shown, "a link that leads out of the library")
        found = path.stat()
    except OSError as error:  # a broken link, a loop of links, or removed just now
        return Refused(shown, f"cannot be read ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):
        return Refused(shown, "not a file")
    if found.st_size == 0:
        return Refused(shown, EMPTY)
    return File(path, relative, found.st_size, linked)


def _shown(path: Path, root: Path) -> str:
    """Return a path below the root as it can be shown."""
    return names.printable(path.relative_to(root).as_posix())
