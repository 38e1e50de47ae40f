"""The 0.5 level of a layer's coverage -> curves.

The level line is found between pixels (contourpy, marching squares), so on anti-aliased
pictures it is off by a few hundredths of a pixel. It is cut at corners, which are put back
where the two sides meet (anti-aliasing rounds them off), sampled evenly, and fitted with
the bounded fitter: runs of samples grow by merging neighbors while one cubic, or one line,
follows them within the tolerance.
"""

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray

from bioicons_kit.svg.curves import fit
from bioicons_kit.svg.geometry import Bools, Floats, Ints

_STEP = 2.0  # pixels between samples
_ARM = 4  # pixels on either side of a corner over which its angle is measured
_CORNER = np.cos(np.radians(38))
# A bend that is a curve turns half as much over half the arm; a corner turns as much.
_SHARP = 0.62
_REACH = 1.6  # pixels by which a corner may be moved to where its sides meet
_SEED = 3  # samples in the runs that merging starts from


@dataclass(frozen=True)
class Loop:
    """One closed outline: cubics `[n, 4, 2]` in pixels, which of them are lines `[n]`."""

    cubics: Floats
    is_line: Bools


def outlines(cover: NDArray[np.float32], least: float) -> list[Floats]:
    """Return the closed level lines of coverage 0.5, each `[n, 2]`, x and y in pixels.

    Args:
        cover: `[height, width]`, 0..1.
        least: area in square pixels below which a loop is left out.
    """
    padded = np.pad(cover, 1)
    lines = contourpy.contour_generator(z=padded, name="serial").lines(0.5)
    loops = [np.asarray(line, dtype=np.float64)[:-1] - 0.5 for line in lines]
    return [loop for loop in loops if len(loop) > 2 and abs(area(loop)) >= least]


def area(loop: Floats) -> float:
    """Return the signed area of a closed polygon."""
    x, y = loop.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def fitted(loops: list[Floats], tolerance: float, decimals: int) -> list[Loop]:
    """Return loops as few curves, within about `tolerance` pixels of the level lines.

    Args:
        loops: closed polygons `[n, 2]`, in pixels.
        tolerance: in pixels.
        decimals: places that coordinates will be written with.
    """
    grid = 10.0**decimals
    pieces = [_smooth(loop) for loop in loops]
    counts = [len(cubics) for cubics, _ in pieces]
    if not counts:
        return []
    cubics = np.concatenate([piece for piece, _ in pieces]) * grid
    breaks = np.concatenate([corners for _, corners in pieces])
    chain = fit.chains(cubics, np.full(len(cubics), tolerance * grid), breaks)
    edges, curves, straight = _merged(chain)
    ends = np.cumsum(counts)
    found = []
    for stop, count in zip(ends, counts, strict=True):
        low, high = np.searchsorted(edges, [stop - count, stop])
        mine = curves[low:high]
        mine[:, 0] = np.roll(mine[:, 3], 1, axis=0)  # grid points: the loop closes exactly
        found.append(Loop(mine / grid, straight[low:high]))
    return found


def _smooth(loop: Floats) -> tuple[Floats, Bools]:
    """Return a loop's samples as cubics `[n, 4, 2]`, and which of them start at a corner."""
    even = _even(np.vstack([loop, loop[:1]]), 1.0)[:-1]
    corners = _corners(even)
    if not len(corners):
        ring = _even(np.vstack([even, even[:1]]), _STEP)[:-1]
        ring = (np.roll(ring, 1, 0) + 2 * ring + np.roll(ring, -1, 0)) / 4
        slopes = (np.roll(ring, -1, 0) - np.roll(ring, 1, 0)) / 2
        starts = np.zeros(len(ring), dtype=bool)
        starts[0] = True
        return _through(ring, np.roll(ring, -1, 0), slopes, np.roll(slopes, -1, 0)), starts
    moved = _sharpened(even, corners)
    parts, begins = list[Floats](), list[Bools]()
    for index, corner in enumerate(corners):
        following = corners[(index + 1) % len(corners)]
        span = (following - corner) % len(even) or len(even)
        points = np.roll(even, -corner, 0)[np.arange(span + 1) % len(even)].copy()
        points[0], points[-1] = moved[index], moved[(index + 1) % len(corners)]
        points = np.delete(points, [1, -2], axis=0) if span > 6 else points  # rounded off
        points = _even(points, _STEP)
        points[1:-1] = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
        slopes = np.gradient(points, axis=0)
        parts.append(_through(points[:-1], points[1:], slopes[:-1], slopes[1:]))
        begins.append(np.arange(len(points) - 1) == 0)
    return np.concatenate(parts), np.concatenate(begins)


def _even(line: Floats, step: float) -> Floats:
    """Return points at equal distances of about `step` along a line, its ends among them."""
    chords = np.diff(line, axis=0)
    passed = np.concatenate([[0.0], np.cumsum(np.hypot(chords[:, 0], chords[:, 1]))])
    count = max(2, round(passed[-1] / step))
    places = np.linspace(0, passed[-1], count + 1)
    return np.stack([np.interp(places, passed, line[:, axis]) for axis in range(2)], axis=1)


def _corners(ring: Floats) -> Ints:
    """Return the points of a closed, even line at which it turns sharply."""
    if len(ring) < 4 * _ARM:
        return np.empty(0, dtype=np.int64)
    whole, half = _turns(ring, _ARM), _turns(ring, _ARM // 2)
    sharp = (whole > np.arccos(_CORNER)) & (half > _SHARP * whole)
    around = np.max([np.roll(whole, shift) for shift in range(-_ARM, _ARM + 1)], axis=0)
    return np.flatnonzero(sharp & (whole >= around))


def _turns(ring: Floats, arm: int) -> Floats:
    """Return by how much a closed line turns at each point, in radians, 0..pi."""
    ahead = np.roll(ring, -arm, 0) - ring
    behind = ring - np.roll(ring, arm, 0)
    cross = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
    turns: Floats = np.abs(np.arctan2(cross, (behind * ahead).sum(1)))
    return turns


def _sharpened(ring: Floats, corners: Ints) -> Floats:
    """Return the corners `[n, 2]`, each where the lines along its two sides meet."""
    offsets = np.array([1.5, 4.5])
    moved = ring[corners].copy()
    for index, corner in enumerate(corners):
        after = _sample(ring, corner + offsets)
        before = _sample(ring, corner - offsets)
        u, v = after[1] - after[0], before[1] - before[0]
        cross = u[0] * v[1] - u[1] * v[0]
        if abs(cross) < 1e-6:
            continue
        w = before[0] - after[0]
        meeting = after[0] + u * (w[0] * v[1] - w[1] * v[0]) / cross
        if np.hypot(*(meeting - ring[corner])) <= _REACH:
            moved[index] = meeting
    return moved


def _sample(ring: Floats, places: Floats) -> Floats:
    """Return points between those of a closed line."""
    low = np.floor(places).astype(np.int64)
    share = (places - low)[:, None]
    sampled: Floats = (1 - share) * ring[low % len(ring)] + share * ring[(low + 1) % len(ring)]
    return sampled


def _through(starts: Floats, ends: Floats, leaving: Floats, arriving: Floats) -> Floats:
    """Return Hermite cubics `[n, 4, 2]` from points and slopes per step."""
    return np.stack([starts, starts + leaving / 3, ends - arriving / 3, ends], axis=1)


def _merged(chain: fit.Chains) -> tuple[Ints, Floats, Bools]:
    """Merge neighboring runs while one curve fits both.

    Returns:
        the runs' first segments `[r]`, their curves `[r, 4, 2]`, and which are lines.
    """
    firsts = np.unique(np.concatenate([[0], chain.stops[chain.stops < len(chain)]]))
    edges = np.unique(
        np.concatenate(
            [np.arange(f, s, _SEED) for f, s in zip(firsts, chain.stops[firsts], strict=True)]
        )
    )
    tried: set[tuple[int, int]] = set()
    is_first = np.isin(np.arange(len(chain) + 1), firsts)
    idle, parity = 0, 0
    while idle < 2:
        bounds = np.append(edges, len(chain))
        left = np.arange(parity, len(edges) - 1, 2)
        left = left[~is_first[bounds[left + 1]]]
        left = np.array([i for i in left.tolist() if (bounds[i], bounds[i + 2]) not in tried], int)
        good = np.zeros(len(left), dtype=bool)
        if len(left):
            start, stop = bounds[left], bounds[left + 2]
            good = _fits(chain, start, stop)
            tried.update(zip(start[~good].tolist(), stop[~good].tolist(), strict=True))
            edges = np.delete(edges, left[good] + 1)
        idle = 0 if good.any() else idle + 1
        parity = 1 - parity
    return edges, *_curves(chain, edges, np.append(edges[1:], len(chain)))


def _fits(chain: fit.Chains, start: Ints, stop: Ints) -> Bools:
    """Tell which runs a line or a cubic follows within the tolerance."""
    limit = chain.tolerance[start]
    good: Bools = fit.lines(chain, start, stop)[1] <= limit
    rest = np.flatnonzero(~good)
    if len(rest):
        good[rest] = fit.cubics(chain, start[rest], stop[rest])[1] <= limit[rest]
    return good


def _curves(chain: fit.Chains, start: Ints, stop: Ints) -> tuple[Floats, Bools]:
    """Return the curves for runs, lines where a line will do."""
    lines, off = fit.lines(chain, start, stop)
    cubics, _ = fit.cubics(chain, start, stop)
    straight = off <= chain.tolerance[start]
    return np.where(straight[:, None, None], lines, cubics), straight
