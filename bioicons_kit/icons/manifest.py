"""What a training set is made of, for machines and for the people who drew it.

`records` has one entry a row; `metadata_jsonl` writes them one a line, as the image folders
of the `datasets` library want them and as `sidecar` reads them back. They depend on the
library, the preset and the renderers only: no dates, no paths of this machine. The credits
that licenses ask for are written from them by `attribution`.
"""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_bytes, sha256_file
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import RANDOM, Augment, Dataset

Record = dict[str, Any]


class Drawn(NamedTuple):
    """The picture that was made of a row: its size in pixels, and what drew it."""

    width: int
    height: int
    renderer: str


def records(
    rows: Sequence[Row],
    captions: Sequence[Sequence[str]],
    dataset: Dataset,
    drawn: Sequence[Drawn] | None = None,
) -> list[Record]:
    """Return one entry a row: its picture, captions, origin, license and content hash.

    Args:
        rows: the rows.
        captions: each row's captions, one or more.
        dataset: what the preset says about the pictures.
        drawn: each row's picture; of the preset's resolution, by an unnamed renderer, if
            None.

    Raises:
        LibraryError: an icon has gone, or cannot be read any more.
    """
    square = Drawn(dataset.resolution, dataset.resolution, "")
    return [
        _record(row, texts, dataset, picture)
        for row, texts, picture in zip(rows, captions, drawn or [square] * len(rows), strict=True)
    ]


def metadata_jsonl(records: Sequence[Record]) -> str:
    """Return the records as JSON, one a line, in the order that `records` gave them."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def digest(records: Sequence[Record]) -> str:
    """Return the SHA-256 of the manifest: the identity of a training set."""
    return sha256_bytes(metadata_jsonl(records).encode("utf-8"))


def changes(row: Row, dataset: Dataset) -> str:
    """Return what is done to a row's picture, as licenses ask to be told."""
    if row.icon.kind == "image":
        done = [f"scaled and cropped to about {dataset.resolution} pixels a side"]
    else:
        done = [f"rasterized on a flat background, resized to {dataset.resolution} pixels"]
    # what is measured by is shown as it is
    augment = dataset.buckets[row.bucket].augment if row.role != "validation" else Augment()
    done += ["mirrored in part"] * augment.flip
    done += ["turned"] * bool(augment.rotation)
    done += ["shrunk"] * bool(augment.scale)
    done += ["colors varied"] * bool(augment.color)
    if row.icon.kind == "svg" and (augment.backgrounds or dataset.background == RANDOM):
        done.append("backgrounds varied")
    return ", ".join(done)


def _record(row: Row, texts: Sequence[str], dataset: Dataset, drawn: Drawn) -> Record:
    """Return the manifest's entry of one row; the order of its keys is the file's."""
    assert texts, "a row has a caption"
    icon = row.icon
    try:
        content = sha256_file(icon.path)
    except OSError as error:
        raise LibraryError(f"{icon.path}: cannot be read any more ({error.strerror})") from error
    return {
        "file_name": str(PurePosixPath(icon.relative).with_suffix(".png")),
        "text": texts[0],
        **({"texts": list(texts)} if len(texts) > 1 else {}),
        "title": icon.title,
        "author": icon.author,
        "author_url": icon.author_url,
        "category": icon.category,
        "license": icon.license,
        "source": icon.relative,
        "source_url": icon.source_url,
        "changes": changes(row, dataset),
        "sha256": content,
        "width": drawn.width,
        "height": drawn.height,
        **({"renderer": drawn.renderer} if drawn.renderer else {}),
        "bucket": row.bucket,
        "role": row.role,
        "repeats": row.repeats,
    }
