"""The captions file: what people and models wrote of the icons, for people to edit.

JSON lines (UTF-8), an object for each icon:

    {"file": "cc-0/Animals/Someone/mouse.svg", "captions": ["a gray mouse"], "by": "person"}

`file` is the icon's path below its library's root. `by` says who wrote the captions:
"person" (also if it is left out), "template", or {"model", "version", "prompt_sha256"}.
What the kit writes also has `written_sha256`, the hash of the captions as it wrote them:
captions that have been edited since no longer match, and are a person's from then on. The
kit replaces none of those, ever. `image_sha256` is the hash of the icon's file at that time.

Two libraries of one preset that have an icon of the same path share its line.
"""

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_bytes, write_text
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.scan import names, reading

LONGEST = 2000  # characters of a caption: text encoders read a quarter of that
_MOST = 64  # captions for an icon
_MAX_BYTES = 256 * 2**20
_KEYS = ("file", "captions", "by", "written_sha256", "image_sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Writer:
    """The model that wrote captions, and by the hash of which prompt."""

    model: str
    version: str
    prompt_sha256: str


@dataclass(frozen=True)
class Entry:
    """The captions of one icon, and whose they are."""

    file: str
    captions: tuple[str, ...]
    by: Literal["person", "template"] | Writer = "person"
    written_sha256: str | None = None
    image_sha256: str | None = None

    @property
    def is_a_persons(self) -> bool:
        """Whether a person wrote the captions, or changed what the kit wrote."""
        return self.by == "person" or self.written_sha256 != _digest(self.captions)

    def signed(self) -> "Entry":
        """Return the entry marked as it was written, so that later edits show."""
        return replace(self, written_sha256=_digest(self.captions))


@dataclass(frozen=True)
class Curated:
    """A captions file's entries by `file`."""

    entries: Mapping[str, Entry]

    def captions(self, relative: str) -> tuple[str, ...]:
        """Return what is written for the icon of that id; nothing if there is no line of it."""
        entry = self.entries.get(relative)
        return entry.captions if entry else ()


def load(path: str | None, icons: Iterable[Icon]) -> Curated:
    """Return the captions file of a preset, if it names one; tell what it says of no icon.

    Args:
        path: `dataset.captions`.
        icons: all icons there are, selected or not.

    Raises:
        LibraryError: the file is missing or cannot be used.
    """
    if path is None:
        return Curated({})
    curated = read(Path(path))
    unknown = sorted(curated.entries.keys() - {icon.relative for icon in icons})
    if unknown:
        console.warn(
            f"{console.shown(Path(path))}: {len(unknown)} of its {len(curated.entries)} lines are "
            f"of no icon that is here, the first of {names.printable(unknown[0])}"
        )
    return curated


def read(path: Path) -> Curated:
    """Read a captions file.

    Raises:
        LibraryError: it is missing, or a line of it cannot be used; the message has its number.
    """
    if not os.path.lexists(path):
        raise LibraryError(
            f"{path}: no such captions file; write it with `python tools/caption.py PRESET`, or "
            "remove dataset.captions"
        )
    entries: dict[str, Entry] = {}
    where = Path(os.path.realpath(path))  # a link is fine: the person who named the file knows
    for number, line in enumerate(reading.text(where, where.parent, _MAX_BYTES).split("\n"), 1):
        if line.strip():
            entry = _entry(line, f"{path}, line {number}")
            if entry.file in entries:
                raise LibraryError(f"{path}, line {number}: a second line of {entry.file}")
            entries[entry.file] = entry
    return Curated(entries)


def update(path: Path, fresh: Iterable[Entry]) -> Curated:
    """Put entries into a captions file, but over none that is a person's; return what it holds.

    The file is read again, so that what was edited meanwhile stays. Lines keep their order.

    Raises:
        LibraryError: the file cannot be used as it is.
        StorageError: it cannot be written.
    """
    before = read(path).entries if os.path.lexists(path) else {}
    entries = dict(before)
    for entry in fresh:
        old = entries.get(entry.file)
        if old is None or not old.is_a_persons:
            entries[entry.file] = entry
    if entries != before or not os.path.lexists(path):
        write_text(path, "".join(_line(entry) for entry in entries.values()))
    return Curated(entries)


def _line(entry: Entry) -> str:
    """Return an entry's line of the file."""
    by = entry.by if isinstance(entry.by, str) else vars(entry.by)
    record = {**vars(entry), "captions": list(entry.captions), "by": by}
    told = {key: record[key] for key in _KEYS if record[key] is not None}
    return json.dumps(told, ensure_ascii=False) + "\n"


def _entry(line: str, where: str) -> Entry:
    """Return what a line says, checked: people edit it, and models wrote it."""
    record = reading.json_value(line, where)
    if not isinstance(record, dict):
        raise LibraryError(f"{where}: must be one object")
    for key in record:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise LibraryError(
                f"{where}: unknown key {names.printable(key)}; {hint}keys are {', '.join(_KEYS)}"
            )
    file = record.get("file")
    if not isinstance(file, str) or not file or not names.is_writable(file):
        raise LibraryError(f"{where}: must say which icon it is of: file")
    return Entry(
        unicodedata.normalize("NFC", file),
        _captions(record.get("captions"), where),
        _by(record.get("by", "person"), where),
        _hash(record, "written_sha256", where),
        _hash(record, "image_sha256", where),
    )


def _captions(value: Any, where: str) -> tuple[str, ...]:
    """Return the captions of a line, each on one line."""
    if isinstance(value, list) and 0 < len(value) <= _MOST:
        texts = [names.plain(text) for text in value if isinstance(text, str)]
        if len(texts) == len(value) and all(0 < len(text) <= LONGEST for text in texts):
            return tuple(texts)
    raise LibraryError(
        f"{where}: captions must be a list of 1 to {_MOST} texts of 1 to {LONGEST} characters"
    )


def _by(value: Any, where: str) -> Literal["person", "template"] | Writer:
    """Return who wrote a line's captions."""
    if value == "person":
        return "person"
    if value == "template":
        return "template"
    keys = list(Writer.__dataclass_fields__)
    if isinstance(value, dict) and set(value) == set(keys):
        told = [value[key] for key in keys]
        if all(isinstance(each, str) and names.is_writable(each) for each in told):
            return Writer(*told)
    raise LibraryError(f'{where}: by must be "person", "template", or say {", ".join(keys)}')


def _hash(record: dict[str, Any], key: str, where: str) -> str | None:
    """Return a line's hash of that name, if it has one."""
    value = record.get(key)
    if value is not None and not (isinstance(value, str) and _SHA256.fullmatch(value)):
        raise LibraryError(f"{where}: {key} must be 64 hexadecimal digits; remove it")
    return value


def _digest(captions: Iterable[str]) -> str:
    """Return the hash by which captions are known to be as they were written."""
    return sha256_bytes(json.dumps(list(captions)).encode("ascii"))
