"""What a dataset folder lacks -> stamped PNGs, one at a time whole or not there.

Pictures are made in worker processes; here they are measured, compressed and written by a
few threads, because Pillow lets go of Python's lock while it compresses.
"""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.files import write_bytes
from bioicons_kit.icons.folder import looks, stamp
from bioicons_kit.icons.folder.plan import Skip, Wanted
from bioicons_kit.icons.folder.stamp import Stamp
from bioicons_kit.icons.picture import Picture
from bioicons_kit.icons.workers import Painters

_WRITERS = 4
_AHEAD = 2  # pictures waiting to be written, for each thread
_REMOVED_TOLD = 100  # per file


def kept(wanted: Sequence[Wanted], folder: Path) -> dict[str, Stamp]:
    """Return the stamps of the pictures that stand already, whole and right, by path."""
    with (
        console.bar("checking", len(wanted), "picture") as bar,
        ThreadPoolExecutor(_threads()) as readers,
    ):
        found: dict[str, Stamp] = {}
        stamps = readers.map(lambda each: stamp.read(folder / each.path), wanted)
        for each, read in zip(wanted, stamps, strict=True):
            if read is not None and read.key == each.key:
                found[each.path] = read
            bar.update()
    return found


def draw(
    missing: Sequence[Wanted], folder: Path, workers: int | None
) -> tuple[dict[str, Stamp], list[Skip]]:
    """Draw pictures into a folder; return their stamps by path, and what could not be drawn.

    Raises:
        StorageError: no room or no permission; pictures already written stay.
    """
    drawn: dict[str, Stamp] = {}
    failed: list[Skip] = []
    waiting: deque[tuple[Wanted, Future[Stamp]]] = deque()

    def settle(most: int) -> None:
        while len(waiting) > most:
            each, future = waiting.popleft()
            drawn[each.path] = future.result()
            bar.update()

    with (
        Painters(workers) as painters,
        ThreadPoolExecutor(_threads()) as writers,
        console.bar("drawing", len(missing), "picture") as bar,
    ):
        outcomes = painters.paint(each.task for each in missing)
        for each, outcome in zip(missing, outcomes, strict=True):
            if outcome.picture is None:
                reason = outcome.problem or "cannot be drawn"
                failed.append(Skip(each.row.icon.relative, reason, "draw", each.key))
                bar.update()
            else:
                future = writers.submit(_write, folder / each.path, outcome.picture, each.key)
                waiting.append((each, future))
            settle(_AHEAD * _threads())
        settle(0)
    return drawn, failed


def _write(path: Path, picture: Picture, key: str) -> Stamp:
    """Write a picture as a stamped PNG; return its stamp."""
    made = Stamp(
        key=key,
        renderer=picture.renderer,
        removed=_listed(picture.removed),
        looks=looks.of(picture.image, picture.alpha),
    )
    write_bytes(path, stamp.encode(picture.image, made))
    return made


def _listed(removed: Sequence[str]) -> tuple[str, ...]:
    """Return what was removed from one file, cut to a length that can be read."""
    more = len(removed) - _REMOVED_TOLD
    tail = (f"and {more} more",) if more > 0 else ()
    return (*removed[:_REMOVED_TOLD], *tail)


def _threads() -> int:
    """Return how many threads read or write pictures at once."""
    return min(_WRITERS, os.cpu_count() or 1)
