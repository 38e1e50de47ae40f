"""authors.json: the people of the library, as they write their names, and where they are.

    {"Simon Dürr": "https://twitter.com/simonduerr", "hukun": ""}

Folder names are matched to it by `names.person_key`. An entry that is no web address gives
the name alone.
"""

import os
from pathlib import Path
from typing import NamedTuple

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.scan import names, reading

UNKNOWN = "unknown"
_MAX_BYTES = 4 * 2**20  # the real file has 6 kB


class Author(NamedTuple):
    """A person or group: the name as they write it, their web address or None."""

    name: str
    url: str | None = None


class Authors:
    """The authors of a library, found by their folders' names.

    A folder whose name is not in authors.json gives its own name; folders that spell it
    differently have the spelling that was asked for first.
    """

    def __init__(self, known: dict[str, Author]):
        self._by_key = dict(known)

    def of_folder(self, name: str) -> Author:
        """Return the author whom a folder is named after."""
        spelled = names.spaced(names.plain(name))
        if not names.person_key(spelled):
            return Author(UNKNOWN)
        return self._by_key.setdefault(names.person_key(spelled), Author(spelled))


def read(root: Path) -> Authors:
    """Read the authors.json of a library; without one, nobody is known.

    Where two spellings have one key, the one that has an address wins, then the first.

    Raises:
        LibraryError: the file cannot be read, or holds anything but names and addresses.
    """
    path = root / "authors.json"
    if not os.path.lexists(path):
        return Authors({})
    entries = reading.json_value(reading.text(path, root, _MAX_BYTES), str(path))
    if not isinstance(entries, dict):
        raise LibraryError(f"{path}: must be one object of author names and URLs")
    known: dict[str, Author] = {}
    for written, address in entries.items():
        author = Author(names.spaced(names.plain(written)), names.web_address(address))
        key = names.person_key(author.name)
        if key and (key not in known or (known[key].url is None and author.url)):
            known[key] = author
    return Authors(known)
