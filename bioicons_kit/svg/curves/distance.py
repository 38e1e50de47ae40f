"""A proven bound on how far a simplified curve is from the original.

Two cubics run through at the same pace are never farther apart than the farthest pair of
their control points: the difference of two cubics is a cubic, and lies within the hull of
its control points. So the original run is cut into pieces, each is matched with a piece of
the replacement, in order, and the largest difference of control points is an upper bound
for both: no point of either curve is farther from the other one (Hausdorff), and one can
be moved into the other without any point moving farther (Fréchet), so that what lies
inside stays inside. Where a bound is too large, the piece is halved and matched anew; the
bound falls with the square of the length.

Any matching proves as much as it proves, so nothing rests on how it was found, and nothing
here is shared with the fitting. Floating point is the only thing not accounted for: some
1e-15 of the coordinates, against tolerances of 2.5e-4 of them.
"""

import math

import numpy as np

from bioicons_kit.svg import geometry
from bioicons_kit.svg.geometry import Arc, Floats, Ints, dot

# A piece that is too far off after so many halvings is: each brings its bound down fourfold.
_DEPTH = 7
# Newton steps toward a matching point; after three the pieces' length is what counts.
_STEPS = 3


def bounds(originals: Floats, owners: Ints, replacements: Floats, limits: Floats) -> Floats:
    """Return upper bounds [m] on the Fréchet distance of runs and their replacements.

    A bound over its limit means that nothing was proven, not that the curves are that far
    apart.

    Args:
        originals: the runs' segments [n, 4, 2], one run after the other.
        owners: the replacement of each segment, ascending, each at least once, [n].
        replacements: cubics [m, 4, 2].
        limits: what each bound should not exceed, [m]; finer pieces are not tried below.
    """
    proven = np.zeros(len(replacements))
    if not len(originals):
        return proven
    starts, stops = _matched(originals, owners, replacements)
    pieces = originals
    for depth in range(_DEPTH + 1):
        apart = _hull(pieces, geometry.parts(replacements[owners], starts, stops))
        over = ~(apart <= limits[owners])  # or not a number
        settled = ~over if depth < _DEPTH else np.ones_like(over)
        np.maximum.at(proven, owners[settled], np.nan_to_num(apart[settled], nan=np.inf))
        if not over.any() or depth == _DEPTH:
            break
        pieces, owners, starts, stops = _halved(
            pieces[over], owners[over], replacements, starts[over], stops[over]
        )
    return proven


def arc_bound(ends: Floats, arc: Arc, new_ends: Floats, new: Arc) -> float:
    """Return an upper bound on the distance of two arcs: each its ends [2, 2] and its shape.

    Both are cut into as many cubics at equal steps, which are within `ARC_ERROR` of them.
    """
    if arc[3:] != new[3:] or (ends[0] == ends[1]).all() or (new_ends[0] == new_ends[1]).all():
        return np.inf
    count = math.ceil(math.tau / geometry.ARC_STEP)  # enough for any arc
    first, second = (geometry.arc_cubics(*one, count) for one in ((ends, arc), (new_ends, new)))
    chord = float(np.hypot(*(ends[1] - ends[0])))
    radius = max(arc.rx, arc.ry, new.rx, new.ry, chord)
    return float(_hull(first, second).max()) + 2 * geometry.ARC_ERROR * radius


def _hull(one: Floats, other: Floats) -> Floats:
    """Return the largest distance of corresponding control points, [n]."""
    apart = one - other
    farthest: Floats = np.hypot(apart[..., 0], apart[..., 1]).max(1)
    return farthest


def _matched(originals: Floats, owners: Ints, replacements: Floats) -> tuple[Floats, Floats]:
    """Return the parameters [n], [n] between which the replacements follow the segments."""
    last = np.append(owners[1:] != owners[:-1], True)
    first = np.append(True, last[:-1])
    chords = np.diff(originals, axis=1)
    length = np.hypot(chords[..., 0], chords[..., 1]).sum(1) + 1e-12
    passed = np.cumsum(length)
    begun = (passed - length)[first]
    whole = passed[last] - begun
    guess = (passed - begun[np.cumsum(first) - 1]) / whole[np.cumsum(first) - 1]
    single = first & last  # one for one: nothing to match
    inner = np.flatnonzero(~last)
    stops = np.ones(len(owners))
    found = _feet(replacements[owners[inner]], originals[inner, 3], guess[inner])
    stops[inner] = found
    # in order within a run: the largest so far, run by run, by lifting each above the last
    lift = np.cumsum(first).astype(np.float64) * 2
    stops = np.maximum.accumulate(stops + lift) - lift
    stops[last] = 1.0
    starts = np.where(first, 0.0, np.append(0.0, stops[:-1]))
    assert not single.any() or (starts[single] == 0).all()
    return starts, stops


def _halved(
    pieces: Floats, owners: Ints, replacements: Floats, starts: Floats, stops: Floats
) -> tuple[Floats, Ints, Floats, Floats]:
    """Cut pieces in the middle, and their counterparts where these come nearest to it."""
    zero, half, one = np.zeros(len(pieces)), np.full(len(pieces), 0.5), np.ones(len(pieces))
    left, right = geometry.parts(pieces, zero, half), geometry.parts(pieces, half, one)
    middle = _feet(replacements[owners], left[:, 3], (starts + stops) / 2)
    middle = np.clip(middle, starts, stops)
    return (
        np.concatenate([left, right]),
        np.concatenate([owners, owners]),
        np.concatenate([starts, middle]),
        np.concatenate([middle, stops]),
    )


def _feet(cubics: Floats, points: Floats, guess: Floats) -> Floats:
    """Return parameters [n] near `guess` at which cubics [n, 4, 2] come near points [n, 2]."""
    t = guess
    first = 3 * np.diff(cubics, axis=1)
    second = 2 * np.diff(first, axis=1)
    for _ in range(_STEPS):
        u, s = t[:, None], 1 - t[:, None]
        off = geometry.at(cubics, u)[:, 0] - points
        slope = s * s * first[:, 0] + 2 * s * u * first[:, 1] + u * u * first[:, 2]
        bend = s * second[:, 0] + u * second[:, 1]
        square = dot(slope, slope)
        curvature = square + dot(off, bend)
        divisor = np.maximum(np.where(curvature > 0, curvature, square), 1e-12)
        t = np.clip(t - dot(off, slope) / divisor, 0, 1)
    return t
