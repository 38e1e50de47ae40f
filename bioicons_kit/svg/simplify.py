"""Paths with fewer nodes and digits, within a proven distance of the originals.

    paths -> a table in units of the grid they will be written on -> chains between corners
          -> runs that one line or cubic can stand for -> the cheapest choice of them
          -> proof of every new segment -> path data -> read again and proven again

All paths of a document go through together, because numpy is fast on many and slow on few.
A caller divides the tolerance by the largest stretch of the transforms that apply. Nothing
is sampled in the end: `distance` proves what the text says against the original, rounding
included, and `stroke` that joints and caps stay where they were. A path that fails is tried
once more with a quarter of the tolerance; then its original stays.

Ends, corners, arcs, and points through which a path passes twice are kept as nodes.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioicons_kit.svg import path, write
from bioicons_kit.svg.curves import fit, grid, outline, replace, runs, stroke
from bioicons_kit.svg.curves.grid import Piece, Table
from bioicons_kit.svg.curves.replace import Replaced
from bioicons_kit.svg.curves.runs import Runs
from bioicons_kit.svg.curves.stroke import Stroke
from bioicons_kit.svg.geometry import Bools, Floats
from bioicons_kit.svg.path import Path

# Of the tolerance, what the samples of a fit may be off: the proof finds a little more.
_SHARE = 0.95
# Tolerances that are tried in turn, as shares of the one asked for.
_ATTEMPTS = (1.0, 0.25)
# The budget: a path with more segments stays as it is. The largest real one has 21,000.
MAX_SEGMENTS = 60_000
# Choices of runs that turn out not to be provable are made anew so many times.
_REVISIONS = 4
# What the second reading may differ by from the first, in tolerances: floating point.
_ROUNDING = 1e-6
# How many numbers each kind of segment has in the file, and what a z costs.
_NUMBERS = np.array([2.0, 4.0, 6.0, 7.0, 0.0])
_CLOSE = 1.0
# What it costs, in the same numbers, to be off by the tolerance for the length of one: what
# pictures lose grows with the square of the error along all outlines, and much can be saved
# of it for few nodes.
_DISTORTION = 0.1
# Of the tolerance, what a joint's outline may reach out of the disk and still be removed.
_SMOOTH = 0.25


@dataclass(frozen=True)
class Task:
    """A path, how far it may move in its own units, and how it is stroked, if it is."""

    path: Path
    tolerance: float
    stroke: Stroke | None = None


@dataclass(frozen=True)
class Simplified:
    """New path data, the path that they are, and how far that is off at most, proven."""

    data: str
    path: Path
    error: float
    decimals: int


@dataclass(frozen=True)
class Left:
    """Why a path stays as it was."""

    reason: str


def simplify(tasks: Sequence[Task]) -> list[Simplified | Left]:
    """Return, for each path, what may stand for it, or why nothing may."""
    reasons = [_refusal(task) for task in tasks]
    outcomes: list[Simplified | Left] = [Left(reason) for reason in reasons]
    open_ = [index for index, reason in enumerate(reasons) if not reason]
    for share in _ATTEMPTS:
        scaled = [_scaled(tasks[index], share) for index in open_]
        for index, outcome in zip(open_, _attempt(scaled), strict=True):
            outcomes[index] = outcome
        open_ = [index for index in open_ if isinstance(outcomes[index], Left)]
    return outcomes


def _refusal(task: Task) -> str:
    """Say why a path is not even looked at; "" if it is."""
    if task.path.error is not None:
        return "its path data have an error"
    if not np.ptp(task.path.points, axis=1).any():
        return "it draws no line"
    if len(task.path.kinds) > MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS:,} segments"
    if grid.decimals(task.path, task.tolerance * _ATTEMPTS[-1]) is None:
        return "its coordinates are too large for the tolerance, or too small"
    return ""


def _scaled(task: Task, share: float) -> Task:
    """Return a task with a share of its tolerance."""
    return Task(task.path, task.tolerance * share, task.stroke)


def _attempt(tasks: Sequence[Task]) -> list[Simplified | Left]:
    """Simplify paths that nothing speaks against at a tolerance each."""
    if not tasks:
        return []
    places = [grid.decimals(task.path, task.tolerance) or 0 for task in tasks]
    table = grid.build([task.path for task in tasks], [task.tolerance for task in tasks], places)
    leave, arrive = fit.tangents(table.cubics)
    breaks = _breaks(table, tasks, leave, arrive)
    of = fit.chains(table.cubics, table.allowed, breaks)
    starts = np.flatnonzero(table.kinds != path.ARC)
    written, new = _written(table, _chosen(table, runs.found(of, starts, _SHARE)))
    shares = np.zeros(len(tasks))
    np.maximum.at(shares, table.owners[new.start], replace.proven(table, new))
    moved = outline.moved(table, [task.stroke for task in tasks], new, (leave, arrive))
    outcomes: list[Simplified | Left] = []
    for owner, task in enumerate(tasks):
        data, read = written[owner]
        if not shares[owner] <= 1 + _ROUNDING:
            outcomes.append(Left("what would replace it could not be proven"))
        elif any(piece.start < piece.stop for piece in _emptied(table, read, owner)):
            outcomes.append(Left("a part of it is smaller than the tolerance"))
        elif owner in moved:
            outcomes.append(Left("its stroke's joints or caps would move"))
        else:
            error = float(shares[owner]) * task.tolerance
            outcomes.append(Simplified(data, read, error, places[owner]))
    return outcomes


def _breaks(table: Table, tasks: Sequence[Task], leave: Floats, arrive: Floats) -> Bools:
    """Tell which segments begin a chain, whatever their direction."""
    breaks = table.firsts | grid.touching(table)
    arcs = table.kinds == path.ARC
    breaks |= arcs
    breaks[1:] |= arcs[:-1]
    for owner, task in enumerate(tasks):
        if task.stroke is not None and task.stroke.join != "round":
            mine = table.segments(owner)
            line = outline.in_steps(task.stroke, table, owner)
            out = stroke.excursions(arrive[mine][:-1], leave[mine][1:], line)
            breaks[mine][1:] |= out > _SMOOTH * table.tolerances[owner]
    return breaks


def _chosen(table: Table, found: Runs) -> Replaced:
    """Choose runs; those that turn out not to be provable are taken away, and it is done anew."""
    costs, stay = _costs(table, found)
    usable = np.ones(len(costs), dtype=np.bool_)
    unmirrored = np.zeros(len(stay), dtype=np.bool_)
    before: tuple[Replaced, Floats] | None = None
    for _ in range(_REVISIONS):
        candidates = np.flatnonzero(usable)
        some = runs.cheapest(found.take(candidates), costs[candidates], stay)
        new = replace.assemble(table, found, candidates[some], unmirrored)
        shares = replace.proven(table, new, before)
        failed, before = ~(shares <= 1), (new, shares)
        if not failed.any():
            return new
        usable[new.runs[failed & (new.runs >= 0)]] = False
        unmirrored[new.start[failed]] = True
    good = new.runs[(new.runs >= 0) & ~failed]
    return replace.assemble(table, found, good, unmirrored)


def _costs(table: Table, found: Runs) -> tuple[Floats, Floats]:
    """Return what each run costs once replaced, and what each segment costs as it is."""
    stay = runs.NODE + _NUMBERS[table.kinds]
    stay[table.kinds == path.CLOSE] = _CLOSE
    costs = runs.NODE + np.where(found.is_line, _NUMBERS[path.LINE], _NUMBERS[path.CUBIC])
    costs[found.is_line & table.closers[found.stop - 1]] = _CLOSE
    tolerance = table.tolerances[table.owners[found.start]]
    chords = table.cubics[:, 3] - table.cubics[:, 0]
    passed = np.append(0.0, np.cumsum(np.hypot(chords[:, 0], chords[:, 1])))
    length = (passed[found.stop] - passed[found.start]) / tolerance
    costs += _DISTORTION * length * (found.errors / tolerance) ** 2
    return costs.round(6), stay  # equals stay equals, whatever stands before them in the table


def _written(table: Table, new: Replaced) -> tuple[list[tuple[str, Path]], Replaced]:
    """Write all paths and read them again; return them, and the segments as they were read."""
    cubics, arcs = new.cubics.copy(), dict(new.arcs)
    written = []
    for (one, mine), decimals in zip(replace.as_paths(table, new), table.decimals, strict=True):
        data = write.write(one, decimals)
        read = path.parse(data)
        written.append((data, read))
        if read.error is not None or not np.array_equal(read.kinds, one.kinds):
            cubics[mine] = np.nan  # proves nothing
            continue
        scale = 10.0**decimals
        cubics[mine] = read.points * scale
        for index, arc in read.arcs.items():
            arcs[int(mine[index])] = arc._replace(rx=arc.rx * scale, ry=arc.ry * scale)
    return written, dataclasses.replace(new, cubics=cubics, arcs=arcs)


def _emptied(table: Table, read: Path, owner: int) -> list[Piece]:
    """Return the subpaths of which nothing is left."""
    pieces = table.pieces_of(owner)
    return [
        piece
        for piece, subpath in zip(pieces, read.subpaths, strict=True)
        if subpath.start == subpath.stop
    ]
