"""What a training set is made of, for machines and for the people who drew it.

`records` has one entry a row; `metadata_jsonl` writes them one a line, and
`attribution_md` as the credits that the licenses ask for. Both depend on the library
and the preset only: no dates, no paths of this machine.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_bytes, sha256_file
from bioicons_kit.icons import licenses
from bioicons_kit.icons.select import Row

Record = dict[str, Any]

CHANGES = "rasterized on a flat background, resized"


def records(rows: Sequence[Row], captions: Sequence[str], root: Path) -> list[Record]:
    """Return one entry a row: its picture, caption, origin, license and content hash.

    Raises:
        LibraryError: an icon has gone, or cannot be read any more.
    """
    assert len(rows) == len(captions)
    return [_record(row, text, root) for row, text in zip(rows, captions, strict=True)]


def metadata_jsonl(records: Sequence[Record]) -> str:
    """Return the records as JSON, one a line, in the order that `records` gave them."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def digest(records: Sequence[Record]) -> str:
    """Return the SHA-256 of the manifest: the identity of a training set."""
    return sha256_bytes(metadata_jsonl(records).encode("utf-8"))


def attribution_md(records: Sequence[Record]) -> str:
    """Return the credits of a training set as Markdown, grouped by license."""
    parts = [
        "# Attribution\n\n"
        f"This training set holds {_counted(len(records), 'icon')}. "
        f"Changes made to every one: {CHANGES}.\n"
    ]
    for license_ in licenses.LICENSES:
        group = [record for record in records if record["license"] == license_.spdx]
        if group:
            parts.append(_license_section(license_, group))
    return "\n".join(parts)


def _record(row: Row, text: str, root: Path) -> Record:
    """Return the manifest's entry of one row; the order of its keys is the file's."""
    icon = row.icon
    try:
        content = sha256_file(icon.path)
    except OSError as error:
        raise LibraryError(f"{icon.path}: cannot be read any more ({error.strerror})") from error
    assert icon.path.is_relative_to(root)
    return {
        "file_name": str(Path(icon.relative).with_suffix(".png").as_posix()),
        "text": text,
        "title": icon.title,
        "author": icon.author,
        "author_url": icon.author_url,
        "license": icon.license,
        "source": icon.relative,
        "sha256": content,
        "bucket": row.bucket,
        "repeats": row.repeats,
    }


def _license_section(license_: licenses.License, group: list[Record]) -> str:
    """Return the credits of the icons under one license."""
    lines = [
        f"## {license_.name} ({license_.spdx})\n",
        f"{_counted(len(group), 'icon')} under <{license_.url}>. {license_.asks}\n",
    ]
    for record in group:
        author = _escaped(record["author"])
        if record["author_url"]:
            author = f"[{author}](<{record['author_url']}>)"
        lines.append(
            f'- "{_escaped(record["title"])}" by {author}, source `{record["source"]}`, '
            f"[{license_.spdx}]({license_.url}); {CHANGES}"
        )
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return `text` so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)


def _counted(number: int, noun: str) -> str:
    """Return "1 icon", "2 icons"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
