"""Small text files that lie beside the icons: read whole, or refused with the reason.

A file's place in the library says nothing about what it is: a pipe would keep a plain
`open` waiting for ever, a link may lead out of the library, a size may be anything, and
JSON or TOML may be nested until the parser's stack ends.
"""

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from bioicons_kit.errors import LibraryError


def text(path: Path, root: Path, limit: int) -> str:
    """Return the content of a UTF-8 file of the library, at most `limit` bytes of it.

    Raises:
        LibraryError: it is no plain file, leads out of `root`, is larger, or no UTF-8.
    """
    if not is_inside(path, root):
        raise LibraryError(f"{path}: a link that leads out of the library; put the file there")
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise LibraryError(f"{path}: is no file; repair or remove it")
            content = file.read(limit + 1)
    except OSError as error:
        raise LibraryError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise LibraryError(f"{path}: has more than {limit / 2**20:,.0f} MiB; repair or remove it")
    try:
        return content.decode("utf-8-sig")
    except ValueError as error:
        raise LibraryError(f"{path}: is no UTF-8 text ({error}); repair or remove it") from error


def json_value(text: str, where: str) -> Any:
    """Return what JSON `text` says.

    Raises:
        LibraryError: it is no JSON, or nested too deeply; the message begins with `where`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LibraryError(f"{where}: is no JSON ({reason}); repair or remove it") from error


def toml_table(text: str, where: str) -> dict[str, Any]:
    """Return what TOML `text` says.

    Raises:
        LibraryError: it is no TOML, or nested too deeply; the message begins with `where`.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LibraryError(f"{where}: is no TOML ({reason}); repair or remove it") from error


def is_inside(path: Path, root: Path) -> bool:
    """Tell whether `path`, its links followed, lies below `root`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
