"""Rows -> the pictures of a dataset folder: what each is called, and what it is made from.

    train/cc-0/Animals/author/mouse.png      a picture, named after its icon's id
    train/cc-0/Animals/author/mouse~2.png    its second version, or what would have its name

Names are portable: no character that a file system or the hub refuses, none that differ in
case only. And no folder's name reads like a split to `datasets`, which takes any folder
with a word like "test" or "dev" in it for one, however deep it lies (datasets 5,
`data_files.py`); such words get a tilde: "test~ tubes".
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bioicons_kit.files import sha256_bytes, sha256_file
from bioicons_kit.icons import augment, picture
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.workers import Task
from bioicons_kit.preset import Dataset

# Part of every key: raise it when what a stamp tells of a picture changes.
FORMAT = "1"

_SPLIT_WORDS = "train(?:ing)?|valid(?:ation)?|dev|val|test(?:ing)?|eval(?:uation)?"
_READS_LIKE_A_SPLIT = re.compile(rf"(?i)(?:(?<=[-._ 0-9])|^)(?:{_SPLIT_WORDS})(?=[-._ 0-9]|$)")
_NOT_PORTABLE = re.compile(r"[^\w.,+=()@' -]|[\x7f-\x9f]")
# Windows refuses these, whatever their ending.
_DEVICE = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)")
_LONGEST = 160  # bytes of one part of a path; file systems allow 255


@dataclass(frozen=True)
class Wanted:
    """One picture of the folder.

    Attributes:
        path: its posix path below the folder.
        row: what it shows.
        captions: one or more.
        repeats: how often an epoch shows this version.
        task: how it is drawn.
        key: the hash of everything that shapes its pixels.
    """

    path: str
    row: Row
    captions: tuple[str, ...]
    repeats: int
    task: Task
    key: str

    @property
    def sha256(self) -> str:
        """The hash of the file that it is made from."""
        assert self.task.sha256 is not None
        return self.task.sha256


class Skip(NamedTuple):
    """A file that gave no picture, why, and where that was found out.

    `key` is that of the picture that could not be drawn, as in `Wanted`.
    """

    path: str
    reason: str
    stage: str
    key: str = ""


def pictures(
    of_row: Mapping[Row, tuple[str, ...]], dataset: Dataset
) -> tuple[list[Wanted], list[Skip]]:
    """Return the pictures that rows ask for, in their order, and what cannot be read.

    Args:
        of_row: each row's captions.
        dataset: how the rows are drawn.
    """
    names = Names()
    wanted: list[Wanted] = []
    unreadable: list[Skip] = []
    contents: dict[Path, str | Skip] = {}
    for row, texts in of_row.items():
        path = row.icon.path
        if path not in contents:
            contents[path] = _content(row)
        content = contents[path]
        if isinstance(content, Skip):
            unreadable.append(content)
            continue
        for version, repeats in augment.showings(row, dataset, texts).items():
            task = Task(path, row.icon.kind, picture.recipe(dataset, version), content)
            name = names.take(row.role, row.icon.relative)
            wanted.append(Wanted(name, row, texts, repeats, task, key(task)))
    return wanted, unreadable


def key(task: Task) -> str:
    """Return the hash of everything that shapes the pixels of a task's picture."""
    parts = {**picture.parts(task.recipe), "folder": FORMAT, "content": task.sha256 or ""}
    text = json.dumps({**parts, "kind": task.kind}, sort_keys=True)
    return sha256_bytes(text.encode("utf-8"))


class Names:
    """Gives each picture a path of its own, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, role: str, relative: str) -> str:
        """Return the path for a picture of the icon with id `relative`."""
        *folders, name = relative.split("/")
        safe = [portable(folder) for folder in folders]
        stem = portable(Path(name).stem)
        number = 1
        while True:
            last = f"{stem}.png" if number == 1 else f"{stem}~{number}.png"
            path = "/".join([role, *safe, last])
            if path.casefold() not in self._taken:
                self._taken.add(path.casefold())
                return path
            number += 1


def portable(name: str) -> str:
    """Return a folder's or file's name that every file system and the hub take."""
    text = _NOT_PORTABLE.sub("_", unicodedata.normalize("NFC", name))
    text = _READS_LIKE_A_SPLIT.sub(r"\g<0>~", text)
    while len(text.encode("utf-8")) > _LONGEST:
        text = text[:-1]
    # Windows drops trailing dots; `datasets` leaves out what begins with a dot or "__".
    text = text.rstrip(" .").lstrip(" ._")
    if not text or _DEVICE.match(text):
        text = f"~{text}"
    return text


def _content(row: Row) -> str | Skip:
    """Return the hash of a row's file, or why it cannot be read."""
    try:
        return sha256_file(row.icon.path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
        return Skip(row.icon.relative, reason, "read")
