"""Paths on the grid of the coordinates that will be written, all in one table.

The step of a path's grid is a power of ten, the largest that is small against the
tolerance and against the path's smallest part. In units of it, rounding is `rint`, and
paths of all sizes can be worked on side by side.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_kit.svg import write
from bioicons_kit.svg.geometry import Arc, Bools, Floats, Ints
from bioicons_kit.svg.path import Path

# The step between coordinates, as a share of the tolerance: a point moves by at most 0.28 of
# it in rounding. A digit more costs a fifth of the bytes; a digit less, half the gain in nodes.
STEP = 0.4
# A subpath is at least this many steps wide or high, and moves by no more than this share of
# that: a speck stays what it is.
_FEWEST_STEPS = 8
# More decimals say only that a drawing is far from its origin.
MAX_DECIMALS = 9


@dataclass(frozen=True)
class Piece:
    """A subpath in the table: its segments, whether it is closed, its start, its path."""

    start: int
    stop: int
    closed: bool
    move: tuple[float, float]
    owner: int


@dataclass(frozen=True)
class Table:
    """The segments of several paths, in grid units.

    `kinds` [n] and `cubics` [n, 4, 2] as in a `Path`; `owners` [n] the path of each, and
    `sources` [n] its segment there; `arcs` by segment; `decimals` and `tolerances` by path,
    the latter in grid units; `pieces` all subpaths.
    """

    kinds: Ints
    cubics: Floats
    owners: Ints
    sources: Ints
    arcs: dict[int, Arc]
    pieces: tuple[Piece, ...]
    decimals: tuple[int, ...]
    tolerances: Floats

    def segments(self, owner: int) -> slice:
        """Return where the segments of a path are."""
        first, last = np.searchsorted(self.owners, (owner, owner + 1)).tolist()
        return slice(first, last)

    def pieces_of(self, owner: int) -> tuple[Piece, ...]:
        """Return the subpaths of a path."""
        return self._by_owner[owner]

    @functools.cached_property
    def _by_owner(self) -> tuple[tuple[Piece, ...], ...]:
        found: list[list[Piece]] = [[] for _ in self.decimals]
        for piece in self.pieces:
            found[piece.owner].append(piece)
        return tuple(map(tuple, found))

    @functools.cached_property
    def allowed(self) -> Floats:
        """How far each segment may move, [n]: the tolerance, or a share of a small subpath."""
        allowed = self.tolerances[self.owners]
        for piece in self.pieces:
            if piece.start < piece.stop:
                points = self.cubics[piece.start : piece.stop].reshape(-1, 2)
                extent = float(np.ptp(points, axis=0).max()) / _FEWEST_STEPS
                allowed[piece.start : piece.stop].clip(
                    max=extent, out=allowed[piece.start : piece.stop]
                )
        return allowed

    @functools.cached_property
    def firsts(self) -> Bools:
        """Whether a segment begins its subpath, [n]."""
        marks = np.zeros(len(self.kinds), dtype=np.bool_)
        marks[[piece.start for piece in self.pieces if piece.start < piece.stop]] = True
        return marks

    @functools.cached_property
    def closers(self) -> Bools:
        """Whether a segment is the last of a closed subpath, [n]."""
        marks = np.zeros(len(self.kinds), dtype=np.bool_)
        closed = (piece for piece in self.pieces if piece.closed and piece.start < piece.stop)
        marks[[piece.stop - 1 for piece in closed]] = True
        return marks


def decimals(of: Path, tolerance: float) -> int | None:
    """Return how many decimals a path's coordinates need; None if that is beyond reason."""
    step = STEP * tolerance
    for subpath in of.subpaths:
        points = of.points[subpath.start : subpath.stop].reshape(-1, 2)
        extent = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
        if 0 < extent < _FEWEST_STEPS * step:
            step = extent / _FEWEST_STEPS
    places = max(0, math.ceil(-math.log10(step)))
    reach = np.abs(of.points).max(initial=1.0)
    if places > MAX_DECIMALS or reach * 10.0**places >= write.MAX_UNITS / 4:
        return None
    return places


def build(paths: Sequence[Path], tolerances: Sequence[float], places: Sequence[int]) -> Table:
    """Put paths into one table: without segments of no length, closed where they close.

    Args:
        paths: each with segments, none of them beyond the reach of the grid.
        tolerances: of each path, in its own units.
        places: the decimals of each path, as `decimals` gave them.
    """
    kinds, cubics, owners, sources = [], [], [], []
    arcs: dict[int, Arc] = {}
    pieces: list[Piece] = []
    count = 0
    for owner, (one, decimal) in enumerate(zip(paths, places, strict=True)):
        scale = 10.0**decimal
        points = one.points * scale
        kept = np.abs(points - points[:, :1]).max((1, 2), initial=0) > 1e-6
        before = np.append(0, np.cumsum(kept))
        points, source = points[kept], np.flatnonzero(kept)
        for subpath in one.subpaths:
            start, stop = int(before[subpath.start]), int(before[subpath.stop])
            if start == stop and not subpath.closed and subpath.start == subpath.stop:
                continue  # a move that draws nothing
            move = (subpath.move[0] * scale, subpath.move[1] * scale)
            if subpath.closed and start < stop:
                points[stop - 1, 3] = move  # it may miss it by the rounding of relative steps
            pieces.append(Piece(count + start, count + stop, subpath.closed, move, owner))
        for index, arc in one.arcs.items():
            if kept[index]:
                size = arc._replace(rx=arc.rx * scale, ry=arc.ry * scale)
                arcs[count + int(before[index])] = size
        kinds.append(one.kinds[kept].astype(np.int64))
        cubics.append(points)
        owners.append(np.full(len(points), owner))
        sources.append(source)
        count += len(points)
    return Table(
        np.concatenate(kinds),
        np.concatenate(cubics),
        np.concatenate(owners),
        np.concatenate(sources),
        arcs,
        tuple(pieces),
        tuple(places),
        np.array([t * 10.0**p for t, p in zip(tolerances, places, strict=True)]),
    )


def touching(table: Table) -> Bools:
    """Tell which segments start at a point through which their path passes more than once.

    The start of a closed subpath, at which it ends, too, is a chain's end anyhow.
    """
    starts = np.rint(table.cubics[:, 0] * 16)
    keys = np.column_stack([table.owners, starts])
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    marks: Bools = counts[inverse.ravel()] > 1
    return marks
