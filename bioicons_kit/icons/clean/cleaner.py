"""One SVG file -> the simplified file, checked by drawing both.

The bound on outlines is proven; all else that is taken out of a document is not drawn by
the specification, and renderers do not follow the specification everywhere. So the file
is drawn before and after. Where the pictures are not alike, as in drawings so dense that a
quarter of a pixel everywhere adds up, a smaller tolerance is tried; where none helps, the
file stays as it is.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bioicons_kit import files
from bioicons_kit.errors import DocumentError
from bioicons_kit.icons.clean.compare import ALIKE, compared
from bioicons_kit.icons.clean.pictures import Pictures
from bioicons_kit.icons.processes.serve import Answer
from bioicons_kit.svg import optimize, tree
from bioicons_kit.svg.credit import Credit
from bioicons_kit.svg.likeness import Pixels
from bioicons_kit.svg.optimize import Simplified

# Bytes that one file may take: large icons (2.4 MB) take 0.1 GB.
MEMORY = 2_000_000_000
# How often a smaller tolerance is tried, the last time one that only rounds.
_RETRIES = 3
_LAST = 0.01
# The loss of similarity falls with about this power of the tolerance (dense icons: 1.2 to 2).
_POWER = 1.5


@dataclass(frozen=True)
class Task:
    """A file to simplify, where to, and how."""

    source: Path
    target: Path
    tolerance: float = optimize.TOLERANCE
    keep_structure: bool = False
    credit: Credit | None = None
    preview: bool = False


@dataclass(frozen=True)
class Checked:
    """A simplified document, how alike the pictures are by engine, the last two compared."""

    result: Simplified
    similarity: dict[str, float]
    pictures: tuple[Pixels, Pixels] | None


def clean(task: Task) -> Answer:
    """Simplify one file as a task says; return its entry in the report, and no bytes.

    Raises:
        DocumentError: the file cannot be used.
        StorageError: the result cannot be written.
    """
    if task.source.stat().st_size > tree.MAX_BYTES:
        raise DocumentError(f"larger than {tree.MAX_BYTES >> 20} MiB")
    checked = simplified(task.source.read_bytes(), task.tolerance, task.keep_structure, task.credit)
    files.write_bytes(task.target, checked.result.svg)
    if task.preview and checked.pictures:
        _write_preview(task.target.with_suffix(".preview.png"), *checked.pictures)
    report = checked.result.report
    entry = {
        "file": str(task.source),
        "written": str(task.target),
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "nodes_before": report.nodes_before,
        "nodes_after": report.nodes_after,
        "tolerance": report.tolerance,
        "max_error": report.error,
        "elements_removed": report.removed,
        "left_alone": report.left,
        "similarity": checked.similarity,
    }
    return entry, b""


def simplified(
    data: bytes,
    tolerance: float = optimize.TOLERANCE,
    keep_structure: bool = False,
    credit: Credit | None = None,
) -> Checked:
    """Return a document simplified as far as its picture stays the same.

    Raises:
        DocumentError: the file cannot be used.
    """
    read = optimize.Document(data, keep_structure, credit)
    before = Pictures(data)
    asked = tolerance
    for left in reversed(range(1 + _RETRIES)):
        result = read.simplified(tolerance)
        after = Pictures(result.svg)
        found = compared(before, after)
        if found.is_alike:
            return Checked(result, found.similarity, before.both(after))
        loss = max(found.loss, 1e-9)
        tolerance *= min(0.7, 0.95 * ((1 - ALIKE) / loss) ** (1 / _POWER))
        if left == 1 or tolerance < _LAST * asked:
            tolerance = _LAST * asked
    result = optimize.unchanged(data, "the whole file: its picture would change")
    return Checked(result, {}, None)


def _write_preview(path: Path, before: Pixels, after: Pixels) -> None:
    """Write a picture of a document before, after, and what differs, darker for more."""
    apart = np.abs(before.astype(np.int16) - after).max(2).clip(0, 63)
    differs = (255 - 4 * apart).astype(np.uint8)
    strip = np.concatenate([before, after, np.repeat(differs[..., None], 3, axis=2)], axis=1)
    with files.atomic_file(path) as file:
        Image.fromarray(strip).save(file, "PNG")
