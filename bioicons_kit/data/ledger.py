"""Which entries are there, and which of them are known to be whole.

Reading a full cache to the end at every start would take minutes (an entry of T5 has
4 MiB), and not reading it would leave damage to be found hours later. So an entry is read
and checked once, when it is first met; after that its file's size and modification time
vouch for it, remembered in `kind/known.txt`. Damage that leaves both alone is found when
the entry is read (`batches`).
"""

import re
from collections.abc import Iterable
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.data.cache import Cache, Entry, Stamp
from bioicons_kit.errors import DamagedFileError
from bioicons_kit.files import write_text

_LARGEST = 256 * 2**20  # bytes; about two million entries
_LINE = re.compile(r"([0-9a-f]{64}) (\d{1,19}) (\d{1,19})", re.ASCII)
_WORTH_SAYING = 1000  # entries to read


class Ledger:
    """What there is of one kind of entry, since the moment it was opened."""

    def __init__(self, cache: Cache, kind: str) -> None:
        self._cache, self._kind = cache, kind
        self._path = cache.root / kind / "known.txt"
        self._there = cache.sweep(kind)
        self._known = _read(self._path)
        self._news: dict[str, Stamp] = {}

    def sound(self, wanted: Iterable[Entry]) -> set[Entry]:
        """Return those of `wanted` that are there and whole; damaged ones are told and removed."""
        there = {each for each in wanted if each.key in self._there}
        for each, problem in self.damaged(there).items():
            console.warn(f"{problem}; encoding it again")
            self._cache.drop(each)
            there.remove(each)
        return there

    def damaged(self, wanted: Iterable[Entry]) -> dict[Entry, str]:
        """Return those of `wanted` that are there and not whole, and what is wrong with them."""
        there = [each for each in wanted if each.key in self._there]
        strangers = [each for each in there if self._there[each.key] != self._known.get(each.key)]
        if len(strangers) >= _WORTH_SAYING:
            console.say(self._kind, f"reading {len(strangers)} entries for the first time")
        found: dict[Entry, str] = {}
        for each in strangers:
            try:
                self._cache.get(each)
            except DamagedFileError as error:
                found[each] = str(error)
            else:
                self._learn(each.key, self._there[each.key])
        return found

    def has(self, wanted: Entry) -> bool:
        """Tell whether an entry is there, whole or not."""
        return wanted.key in self._there

    def wrote(self, written: Entry) -> None:
        """Note that this process has just written an entry."""
        self._learn(written.key, self._cache.stamp(written))

    def save(self) -> None:
        """Remember what was learned, beside what other processes remembered meanwhile.

        Raises:
            StorageError: no room or no permission.
        """
        if not self._news:
            return
        known = _read(self._path) | self._news
        there = known.keys() & (self._there.keys() | self._news.keys())
        lines = [f"{key} {known[key].size} {known[key].modified}\n" for key in sorted(there)]
        write_text(self._path, "".join(lines))
        self._news = {}

    def _learn(self, key: str, stamp: Stamp) -> None:
        """Take an entry for whole as long as its file is as it is now."""
        self._there[key] = self._known[key] = self._news[key] = stamp


def _read(path: Path) -> dict[str, Stamp]:
    """Return what is remembered; a damaged memory only costs time, so it starts afresh."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return {}
    found = (_LINE.fullmatch(line) for line in lines)
    return {match[1]: Stamp(int(match[2]), int(match[3])) for match in found if match}
