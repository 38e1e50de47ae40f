"""Everything of a dataset folder but its pictures: written, kept, or removed.

What takes long to make, contact sheets and the report, is kept while nothing that it shows
has changed. The journal lists a file before it is written and after it is removed.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bioicons_kit import console
from bioicons_kit.files import sha256_bytes, storage_errors, write_bytes
from bioicons_kit.icons.folder import contact, journal, report, stamp, texts
from bioicons_kit.icons.folder.contents import Contents
from bioicons_kit.icons.folder.journal import Journal, Written

REPORT = "report.html"


class _Due(NamedTuple):
    """A file that the folder is to have: the hash of what it is made from, and its content.

    The content is None where the file stands already.
    """

    written: Written
    content: bytes | None


def finish(contents: Contents, before: Journal) -> None:
    """Write what the folder is to hold besides its pictures, and remove what it is not to hold.

    Args:
        contents: what the folder is to hold.
        before: its journal up to now.

    Raises:
        StorageError: no room or no permission, or somebody else's file in the way.
    """
    folder = contents.folder
    due = _due(contents, before)
    pictures = frozenset(each.path for each, _ in contents.pictures)
    journal.refuse_strangers(folder, before, due)
    journal.write(folder, _meanwhile(before, due))
    for name, (_, content) in due.items():
        if content is not None:
            write_bytes(folder / name, content)
    for name in before.pictures - pictures:
        if stamp.is_stamped(folder / name):
            _remove(folder, name)
    for name in before.others.keys() - due.keys():
        _remove(folder, name)
    after = Journal(pictures, {name: each.written for name, each in due.items()})
    journal.write(folder, after)
    strangers = journal.strangers(folder, after)
    if strangers:
        console.warn(
            f"{len(strangers)} file(s) in {console.shown(folder)} are not the kit's and were left "
            f"alone, the first being {strangers[0]}"
        )


def _due(contents: Contents, before: Journal) -> dict[str, _Due]:
    """Return the files that the folder is to have, by their paths below it."""
    found = {}

    def add(name: str, made_from: str, make: Callable[[], bytes]) -> None:
        old = before.others.get(name)
        if old and old.made_from == made_from and (contents.folder / name).is_file():
            found[name] = _Due(old, None)  # `journal.refuse_edited` has seen to its content
        else:
            content = make()
            found[name] = _Due(Written(made_from, (sha256_bytes(content),)), content)

    for name, text in texts.files(contents).items():
        add(name, sha256_bytes(text), partial(bytes, text))
    for page in _sheets(contents):
        add(page.name, _digest(contact.recipe(page)), partial(contact.jpeg, page, contents.folder))
    add(REPORT, _digest(report.recipe(contents)), partial(report.html, contents))
    return found


def _sheets(contents: Contents) -> list[contact.Page]:
    """Return the contact sheets of all buckets."""
    found = []
    for (role, bucket), group in contents.groups.items():
        title = f"{contents.preset.name}, bucket {bucket} ({role}): {len(group):,} pictures"
        shown = [contact.Shown(each.path, each.key, each.captions[0]) for each in group]
        found += contact.pages(f"contact/bucket-{bucket}-{role}", title, shown)
    return found


def _meanwhile(before: Journal, due: Mapping[str, _Due]) -> Journal:
    """Return the journal while files are being written: each has its old or its new content."""
    others = dict(before.others)
    for name, each in due.items():
        old = others[name].contents if name in others else ()
        others[name] = Written("", tuple(dict.fromkeys((*old, *each.written.contents))))
    return Journal(before.pictures, others)


def _remove(folder: Path, name: str) -> None:
    """Remove a file of the kit's, and the folders that it leaves empty."""
    path = folder / name
    with storage_errors(path):
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == folder or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


def _digest(value: object) -> str:
    """Return the hash of plain values."""
    return sha256_bytes(json.dumps(value, sort_keys=True).encode("ascii"))
