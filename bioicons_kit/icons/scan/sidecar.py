"""What files beside the pictures say of them: license, author, title, caption, origin.

A folder needs no license/category/author folders if it says itself whose its pictures
are. Either or both of:

licenses.toml, in the root: values for all pictures, then for those that match a pattern
of their path below the root (`*` also crosses folders; the last match counts):

    license = "CC-BY-4.0"
    author = "Jane Doe"
    author_url = "https://example.org/jane"
    source_url = "https://example.org/icons"     # where the originals are

    [[files]]
    match = ["animals/*", "*-cell.svg"]
    license = "CC0-1.0"
    category = "Animals"                         # else the first folder

metadata.jsonl, in any folder: an object a line, with the `file_name` below that folder
and what is known of it: license, author, author_url, title, category, source_url, and
`text` or `caption` (or several: `texts`). Other keys are ignored. It is the layout of the
`datasets` library's image folders, and what the kit's own dataset folders hold. A line
counts more than licenses.toml.

Licenses are SPDX ids. For terms that have none, say `LicenseRef-` and a name of your own,
for example "LicenseRef-own-work": the kit takes your word for it that you may use them.
"""

import difflib
import fnmatch
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.scan import names, reading

TOML = "licenses.toml"
LISTING = "metadata.jsonl"
_MAX_TOML = 2**20
# 100,000 lines of our own manifest, several times over.
_MAX_LISTING = 256 * 2**20
_SHOWN = 200  # characters of a name or pattern in a message


@dataclass(frozen=True)
class Facts:
    """What is known of one picture; None is not known. `text` has one caption a line."""

    license: str | None = None
    author: str | None = None
    author_url: str | None = None
    title: str | None = None
    category: str | None = None
    source_url: str | None = None
    text: str | None = None

    def over(self, other: "Facts") -> "Facts":
        """Return these facts, with the other's where these have none.

        An author's address goes with the author: nobody is given another's.
        """
        known = {name: value for name, value in vars(self).items() if value is not None}
        if self.author is not None:
            known["author_url"] = self.author_url
        return replace(other, **known)


_KEYS = tuple(field.name for field in fields(Facts))


@dataclass(frozen=True)
class Sidecar:
    """The facts of all pictures below a root; `of` gives one picture's."""

    defaults: Facts
    patterns: tuple[tuple[str, Facts], ...]
    files: Mapping[str, Facts]

    def of(self, relative: str) -> Facts:
        """Return what is known of the picture at `relative`, a posix path below the root."""
        found = self.defaults
        for pattern, facts in self.patterns:
            if fnmatch.fnmatchcase(relative, pattern):
                found = facts.over(found)
        return self.files.get(relative, Facts()).over(found)

    def tell_unused(self, relatives: Collection[str]) -> None:
        """Say what is stated of no file that is there: a misspelt name or pattern, most likely."""
        unknown = sorted(self.files.keys() - set(relatives))
        if unknown:
            console.warn(
                f"{LISTING}: {len(unknown)} of its {len(self.files)} lines are of no file that is "
                f"here, the first of {names.printable(unknown[0])[:_SHOWN]}"
            )
        for pattern in dict.fromkeys(pattern for pattern, _ in self.patterns):
            if not any(fnmatch.fnmatchcase(relative, pattern) for relative in relatives):
                shown = names.printable(pattern)[:_SHOWN]
                console.warn(f"{TOML}: the pattern {shown} matches no file that is here")


def read(root: Path, listings: Iterable[Path]) -> Sidecar:
    """Read the root's licenses.toml and the metadata.jsonl files found below it, if any.

    Raises:
        LibraryError: one cannot be read, or says what cannot be understood.
    """
    path = root / TOML
    defaults, patterns = _read_toml(path, root) if os.path.lexists(path) else (Facts(), ())
    files: dict[str, Facts] = {}
    for listing in sorted(listings):
        files.update(_read_listing(listing, root))
    return Sidecar(defaults, patterns, files)


def _read_toml(path: Path, root: Path) -> tuple[Facts, tuple[tuple[str, Facts], ...]]:
    """Return the values for all pictures, and those for each pattern in the file's order."""
    table = reading.toml_table(reading.text(path, root, _MAX_TOML), str(path))
    entries = table.pop("files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LibraryError(f"{path}: files must be tables, each under double brackets: [[files]]")
    patterns: list[tuple[str, Facts]] = []
    for number, entry in enumerate(entries):
        where = f"{path}: [[files]] {number}"
        facts = _stated(entry, where, (*_KEYS, "match"))
        patterns += [(pattern, facts) for pattern in _match(entry.get("match"), where)]
    return _stated(table, str(path), _KEYS), tuple(patterns)


def _match(value: object, where: str) -> list[str]:
    """Return the patterns of a [[files]] table."""
    patterns = value if isinstance(value, list) else [value]
    if not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise LibraryError(f'{where}: match must be a pattern of paths, or several: "animals/*"')
    return [unicodedata.normalize("NFC", str(each)) for each in patterns]


def _stated(table: dict[str, Any], where: str, keys: tuple[str, ...]) -> Facts:
    """Return what a table of licenses.toml says, checked: a person wrote it by hand."""
    for key, value in table.items():
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise LibraryError(
                f"{where}: unknown key {names.printable(key)}; {hint}keys are {', '.join(keys)}"
            )
        if key != "match" and not (isinstance(value, str) and names.plain(value)):
            raise LibraryError(f"{where}: {key} must be text")
        if key.endswith("_url") and names.web_address(value) is None:
            raise LibraryError(f"{where}: {key} must be a web address, not {value!r}")
    facts = _facts(table)
    if facts.license is None:
        return facts
    try:
        return replace(facts, license=licenses.normalize(facts.license))
    except LibraryError as error:
        raise LibraryError(f"{where}: {error}") from error


def _read_listing(path: Path, root: Path) -> dict[str, Facts]:
    """Return the facts of a metadata.jsonl by paths below the root; later lines win."""
    below = PurePosixPath(path.parent.relative_to(root).as_posix())
    found: dict[str, Facts] = {}
    lines = reading.text(path, root, _MAX_LISTING).split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry = reading.json_value(line, where)
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
            raise LibraryError(f"{where}: must be one object that has a file_name")
        name = unicodedata.normalize("NFC", entry["file_name"])
        found[(below / name).as_posix()] = _facts(entry)
    return found


def _facts(entry: dict[str, Any]) -> Facts:
    """Return the facts of an entry; values that are no text are not known.

    But a license that is no text is one that nobody knows: it must not give way to another.
    """
    known = {key: names.plain(entry[key]) for key in _KEYS if isinstance(entry.get(key), str)}
    if entry.get("license") is not None:
        known["license"] = names.plain(str(entry["license"]))
    for key in ("author_url", "source_url"):
        known[key] = names.web_address(known.get(key)) or ""
    captions = entry.get("texts") or [entry.get("text") or entry.get("caption")]
    if isinstance(captions, list):
        texts = (names.plain(each) for each in captions if isinstance(each, str))
        known["text"] = "\n".join(each for each in texts if each)
    return Facts(**{key: value or None for key, value in known.items()})
