"""The segments that a choice of runs comes to, and the proof of each.

Every new segment stands for consecutive old ones: a run, or the one segment that stays,
its control points rounded.
"""

from dataclasses import dataclass

import numpy as np

from bioicons_kit.svg import geometry
from bioicons_kit.svg.curves import distance
from bioicons_kit.svg.curves.grid import Table
from bioicons_kit.svg.curves.runs import Runs
from bioicons_kit.svg.geometry import Arc, Bools, Floats, Ints
from bioicons_kit.svg.path import ARC, CLOSE, CUBIC, LINE, QUAD, Path, Subpath

# A handle at most this many steps off the mirror image of the one before becomes it: then
# it need not be written.
_MIRROR = 1.6
# Places after a grid step's for the radii of arcs, which no other coordinate depends on.
_RADIUS_STEPS = 10.0


@dataclass(frozen=True)
class Replaced:
    """New segments: `kinds` [m], `cubics` [m, 4, 2] on the grid, the old ones they stand for.

    `start` and `stop` [m] are the first old segment and the one after the last; `runs` [m] the
    run that was chosen, or -1; `arcs` by new segment.
    """

    kinds: Ints
    cubics: Floats
    start: Ints
    stop: Ints
    runs: Ints
    arcs: dict[int, Arc]


def assemble(table: Table, found: Runs, chosen: Ints, unmirrored: Bools) -> Replaced:
    """Put chosen runs in place of their segments and round the others.

    Args:
        table: the originals.
        found: all runs that fit.
        chosen: those to use, ascending, none overlapping another.
        unmirrored: segments whose handle must not be taken for a mirror image, [n].
    """
    count = len(table.kinds)
    change = np.zeros(count + 1, dtype=np.int64)
    np.add.at(change, found.start[chosen], 1)
    np.add.at(change, found.stop[chosen], -1)
    stays = np.flatnonzero(np.cumsum(change)[:-1] == 0)
    start = np.concatenate([found.start[chosen], stays])
    order = np.argsort(start)
    start = start[order]
    stop = np.concatenate([found.stop[chosen], stays + 1])[order]
    of_run = np.concatenate([chosen, np.full(len(stays), -1)])[order]
    kinds = np.concatenate([np.where(found.is_line[chosen], LINE, CUBIC), table.kinds[stays]])[
        order
    ]
    cubics = np.concatenate([found.cubics[chosen], _rounded(table, stays)])[order]
    kinds = np.where((kinds == LINE) & table.closers[stop - 1], CLOSE, kinds)
    mirrored = _mirrored(table, kinds, cubics, start) & ~unmirrored[start]
    cubics[mirrored, 1] = 2 * cubics[mirrored, 0] - cubics[np.flatnonzero(mirrored) - 1, 2]
    arcs = {}
    for index in np.flatnonzero(kinds == ARC).tolist():
        arc = table.arcs[int(start[index])]
        rx, ry = (round(radius * _RADIUS_STEPS) / _RADIUS_STEPS for radius in arc[:2])
        arcs[index] = arc._replace(rx=rx, ry=ry)
    return Replaced(kinds, cubics, start, stop, of_run, arcs)


def _rounded(table: Table, stays: Ints) -> Floats:
    """Return segments [k, 4, 2] on the grid; of a quadratic, its own handle is on it."""
    cubics, kinds = table.cubics[stays], table.kinds[stays]
    rounded = np.rint(cubics)
    quads = kinds == QUAD
    handle = np.rint((3 * cubics[quads, 1] - cubics[quads, 0]) / 2)
    for index, end in ((1, 0), (2, 3)):
        rounded[quads, index] = (rounded[quads, end] + 2 * handle) / 3
    straight = np.isin(kinds, (LINE, CLOSE, ARC))
    rounded[straight] = geometry.lines(rounded[straight, 0], rounded[straight, 3])
    return rounded


def _mirrored(table: Table, kinds: Ints, cubics: Floats, start: Ints) -> Bools:
    """Tell which new cubics' first handles are nearly mirror images of the last ones before."""
    marks = np.zeros(len(kinds), dtype=np.bool_)
    both = (kinds[1:] == CUBIC) & (kinds[:-1] == CUBIC) & ~table.firsts[start[1:]]
    off = np.abs(2 * cubics[1:, 0] - cubics[:-1, 2] - cubics[1:, 1]).max(1)
    marks[1:] = both & (off <= _MIRROR)
    return marks


def proven(table: Table, new: Replaced, before: tuple[Replaced, Floats] | None = None) -> Floats:
    """Return upper bounds [m], in tolerances, on how far each new segment is off.

    One that is no arc is matched with its run; an arc with the arc it was, part by part. What
    is exactly as in a choice `before`, of which the bounds are known, is not proven again.
    """
    bounds = np.full(len(new.start), np.nan)
    if before is not None:
        _take_known(bounds, new, before)
    limits = table.tolerances[table.owners[new.start]]
    open_ = np.flatnonzero(np.isnan(bounds))
    lengths = new.stop[open_] - new.start[open_]
    owners = np.repeat(np.arange(len(open_)), lengths)
    before_ = np.cumsum(lengths) - lengths
    segments = np.arange(len(owners)) + np.repeat(new.start[open_] - before_, lengths)
    found = distance.bounds(table.cubics[segments], owners, new.cubics[open_], limits[open_])
    bounds[open_] = found / limits[open_]
    for index in open_[new.kinds[open_] == ARC].tolist():
        segment, arc = int(new.start[index]), new.arcs[index]
        ends, new_ends = table.cubics[segment, ::3], new.cubics[index, ::3]
        bound = distance.arc_bound(ends, table.arcs[segment], new_ends, arc)
        bounds[index] = bound / limits[index]
    return bounds


def _take_known(bounds: Floats, new: Replaced, before: tuple[Replaced, Floats]) -> None:
    """Fill in the bounds of new segments that are exactly as they were before."""
    old, shares = before
    place = np.searchsorted(old.start, new.start).clip(max=len(old.start) - 1)
    same = (old.start[place] == new.start) & (old.stop[place] == new.stop)
    same &= old.kinds[place] == new.kinds
    same &= (old.cubics[place] == new.cubics).all((1, 2))
    bounds[same] = shares[place[same]]


def as_paths(table: Table, new: Replaced) -> list[tuple[Path, Ints]]:
    """Return every path in its own units, and the new segments [k] that each is made of.

    New segments without a length are left out: they draw nothing.
    """
    has_length = np.abs(new.cubics - new.cubics[:, :1]).max((1, 2), initial=0) > 0
    drawn = np.flatnonzero(has_length)
    subpaths: list[list[Subpath]] = [[] for _ in table.decimals]
    limits = [(piece.start, piece.stop) for piece in table.pieces]
    places = np.searchsorted(new.start[drawn], np.array(limits).reshape(-1, 2))
    bases = np.searchsorted(table.owners[new.start[drawn]], np.arange(len(table.decimals) + 1))
    for piece, (low, high) in zip(table.pieces, places.tolist(), strict=True):
        base, scale = int(bases[piece.owner]), 10.0 ** table.decimals[piece.owner]
        x, y = (float(np.rint(value)) / scale for value in piece.move)
        subpaths[piece.owner].append(Subpath(low - base, high - base, piece.closed, (x, y)))
    arcs: list[dict[int, Arc]] = [{} for _ in table.decimals]
    for index, arc in new.arcs.items():
        if has_length[index]:
            owner = int(table.owners[new.start[index]])
            scale = 10.0 ** table.decimals[owner]
            place = int(np.searchsorted(drawn, index)) - int(bases[owner])
            arcs[owner][place] = arc._replace(rx=arc.rx / scale, ry=arc.ry / scale)
    paths = []
    for owner, decimal in enumerate(table.decimals):
        mine = drawn[bases[owner] : bases[owner + 1]]
        kinds = new.kinds[mine].astype(np.int8)
        cubics = new.cubics[mine] / 10.0**decimal
        paths.append((Path(kinds, cubics, arcs[owner], tuple(subpaths[owner])), mine))
    return paths
