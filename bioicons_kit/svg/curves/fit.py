"""Curves through runs of segments: one cubic, or one line, for many.

A run is some consecutive segments of a chain, and a chain a stretch of a path without
corners. The cubic for a run has the run's ends, on the grid on which coordinates are
written, and its end tangents; the lengths of its two handles come from least squares over
points of the run. The first solution is Schneider's ("An Algorithm for Automatically
Fitting Digitized Curves", Graphics Gems, 1990), the following ones count only how far each
point is off sideways (tangent distance minimization: Wang, Pottmann, Liu, ACM TOG 25(2),
2006), which converges in a few steps. Where that is not good enough, both handles may turn
a little away from the tangents. All runs of a document are fitted at once.

The errors here are those of the sampled points, good for choosing; what is chosen is
proven by `distance`. Lengths are in units of the grid, so that rounding is `rint`.
"""

from dataclasses import dataclass

import numpy as np

from bioicons_kit.svg import geometry
from bioicons_kit.svg.geometry import Bools, Floats, Ints, dot

# Points of a run that are looked at, its ends apart. More cost time and find nothing: the
# proof rejects fewer than one fit in a hundred.
SAMPLES = 14
# Points of a segment by which its length is measured.
_STEPS = 8
# Rounds of least squares with corrected parameters; a fifth changes no choice.
_ROUNDS = 4
# A joint at which the direction turns by more is a corner, and stays one.
CORNER = np.cos(np.radians(30))
# ... unless one of its arms is shorter than this many tolerances: that is noise.
_ARM = 2.0
# By how much a handle may turn away from its tangent: less than the eye sees in a curve.
_SLACK = np.cos(np.radians(5))
# How much a point's error along the curve counts beside the one across it: a little, so that
# straight runs have a solution.
_ALONG = 0.01
# Handles are no shorter than this share of the chord: without length they have no direction.
_SHORTEST = 0.01


@dataclass(frozen=True)
class Chains:
    """Segments [n, 4, 2] of chains that follow one another, and what fitting needs to know.

    `stops` [n] is the segment after the last of each segment's chain; `tolerance` [n] in
    grid units; `lengths` [n * _STEPS + 1] the length of all before each step; `leave` and
    `arrive` [n, 2] the unit tangents at a segment's start and end, smoothed at joints.
    """

    cubics: Floats
    stops: Ints
    tolerance: Floats
    lengths: Floats
    leave: Floats
    arrive: Floats

    def __len__(self) -> int:
        return len(self.cubics)


def chains(cubics: Floats, tolerance: Floats, breaks: Bools) -> Chains:
    """Cut segments [n, 4, 2] into chains at corners and at `breaks`.

    Args:
        cubics: segments in grid units, each starting where the one before ends, or after a
            break.
        tolerance: how far the curve may move, per segment [n], in grid units.
        breaks: whether a chain has to start with this segment, [n].
    """
    count = len(cubics)
    steps = np.broadcast_to(np.linspace(0, 1, _STEPS + 1), (count, _STEPS + 1))
    chords = np.diff(geometry.at(cubics, steps), axis=1)
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(chords[..., 0], chords[..., 1]).ravel())])
    leave, arrive = tangents(cubics)
    own = np.diff(lengths[::_STEPS])
    turn = dot(arrive[:-1], leave[1:])
    is_noise = np.minimum(own[:-1], own[1:]) < _ARM * tolerance[1:]
    starts = breaks.copy()
    starts[:1] = True
    starts[1:] |= (turn < CORNER) & ~is_noise
    smooth = np.flatnonzero(~starts)  # the joints before these segments are no corners
    middle = _unit(arrive[smooth - 1] + leave[smooth])
    leave[smooth] = arrive[smooth - 1] = middle
    firsts = np.append(np.flatnonzero(starts), count)
    stops = firsts[np.searchsorted(firsts, np.arange(count), "right")]
    return Chains(cubics, stops, tolerance, lengths, leave, arrive)


def tangents(cubics: Floats) -> tuple[Floats, Floats]:
    """Return the unit tangents [n, 2] at the starts and the ends of cubics.

    Where a handle has no length, the next control point gives the direction; a cubic that
    is a point has the tangent zero.
    """
    first, last = cubics[:, 1] - cubics[:, 0], cubics[:, 3] - cubics[:, 2]
    for start, stop in ((2, 1), (3, 0)):
        size = 1e-6 * np.abs(cubics[:, 3] - cubics[:, 0]).max(1) + 1e-9
        short = np.abs(first).max(1) < size
        first[short] = cubics[short, start] - cubics[short, 0]
        short = np.abs(last).max(1) < size
        last[short] = cubics[short, 3] - cubics[short, stop]
    return _unit(first), _unit(last)


def lines(of: Chains, start: Ints, stop: Ints) -> tuple[Floats, Floats]:
    """Return lines on the grid [b, 4, 2] for runs, and their largest errors [b].

    A run that goes back and forth along its line is infinitely wrong.
    """
    fitted = geometry.lines(np.rint(of.cubics[start, 0]), np.rint(of.cubics[stop - 1, 3]))
    points = _samples(of, start, stop)
    chord = fitted[:, 3] - fitted[:, 0]
    length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-9)
    along = chord / length[:, None]
    offset = points - fitted[:, None, 0]
    ahead = dot(offset, along[:, None])
    aside = offset[..., 1] * along[:, None, 0] - offset[..., 0] * along[:, None, 1]
    beyond = np.maximum(-ahead, ahead - length[:, None]).clip(0)
    errors = np.hypot(aside, beyond).max(1)
    errors[(np.diff(ahead, axis=1) < -of.tolerance[start, None]).any(1)] = np.inf
    return fitted, errors


def cubics(of: Chains, start: Ints, stop: Ints) -> tuple[Floats, Floats]:
    """Return cubics on the grid [b, 4, 2] for runs, and their largest errors [b].

    First with the tangents as they are, then, where that fails narrowly, with some slack.

    Args:
        of: the chains.
        start: first segments of the runs, [b].
        stop: the segments after their last, [b].
    """
    points = _samples(of, start, stop)
    first, last = np.rint(of.cubics[start, 0]), np.rint(of.cubics[stop - 1, 3])
    ahead, back = of.leave[start], -of.arrive[stop - 1]
    length = of.lengths[stop * _STEPS] - of.lengths[start * _STEPS]
    fitted, t = _along_tangents(points, (first, last), (ahead, back), length)
    fitted, errors = _on_grid(fitted, points, t)
    limit = of.tolerance[start]
    near = np.flatnonzero((errors > limit) & (errors < 4 * limit))
    if len(near):
        free, u = _free(fitted[near], points[near], t[near])
        free, better = _on_grid(free, points[near], u)
        turned = dot(_unit(free[:, 1] - free[:, 0]), ahead[near]) < _SLACK
        turned |= dot(_unit(free[:, 2] - free[:, 3]), back[near]) < _SLACK
        take = ~turned & (better < errors[near])
        fitted[near[take]], errors[near[take]] = free[take], better[take]
    return fitted, errors


def _samples(of: Chains, start: Ints, stop: Ints) -> Floats:
    """Return points [b, SAMPLES, 2] at equal distances along the runs."""
    share = np.arange(1, SAMPLES + 1) / (SAMPLES + 1)
    low, high = of.lengths[start * _STEPS, None], of.lengths[stop * _STEPS, None]
    place = np.interp(low + share * (high - low), of.lengths, np.arange(len(of.lengths))) / _STEPS
    segment = np.clip(place.astype(np.int64), start[:, None], stop[:, None] - 1)
    local = np.clip(place - segment, 0, 1).reshape(-1, 1)
    return geometry.at(of.cubics[segment.ravel()], local).reshape(len(start), SAMPLES, 2)


def _along_tangents(
    points: Floats, ends: tuple[Floats, Floats], tangents: tuple[Floats, Floats], length: Floats
) -> tuple[Floats, Floats]:
    """Return cubics [b, 4, 2] with handles along given directions, and the parameters [b, k].

    In the first round a point's error counts as a whole, later what it is off sideways.
    """
    (first, last), (ahead, back) = ends, tangents
    chord = np.hypot(*(last - first).T)[:, None]
    t: Floats = np.tile(np.arange(1, SAMPLES + 1) / (SAMPLES + 1), (len(points), 1))
    fitted = geometry.lines(first, last)
    for weight in (1.0, *[_ALONG] * _ROUNDS):
        s = 1 - t
        b1, b2 = 3 * s * s * t, 3 * s * t * t
        rest = points - (s**3 + b1)[..., None] * first[:, None]
        rest -= (t**3 + b2)[..., None] * last[:, None]
        normal = _turned(_unit(_derivative(fitted, t)))
        a1, a2 = b1 * dot(normal, ahead[:, None]), b2 * dot(normal, back[:, None])
        across = dot(normal, rest)
        m11 = ((1 - weight) * a1 * a1 + weight * b1 * b1).sum(1)
        m22 = ((1 - weight) * a2 * a2 + weight * b2 * b2).sum(1)
        both = dot(ahead, back)[:, None]
        m12 = ((1 - weight) * a1 * a2 + weight * b1 * b2 * both).sum(1)
        r1 = ((1 - weight) * a1 * across + weight * b1 * dot(rest, ahead[:, None])).sum(1)
        r2 = ((1 - weight) * a2 * across + weight * b2 * dot(rest, back[:, None])).sum(1)
        handles = np.stack(_solved(m11, m12, m22, r1, r2), axis=-1)
        handles = np.clip(handles, _SHORTEST * chord, 3 * length[:, None])
        fitted[:, 1] = first + handles[:, :1] * ahead
        fitted[:, 2] = last + handles[:, 1:] * back
        t = _nearer(fitted, points, t)
    return fitted, t


def _free(fitted: Floats, points: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return cubics with the same ends and any handles, and the parameters."""
    fitted = fitted.copy()
    for _ in range(_ROUNDS):
        s = 1 - t
        b1, b2 = 3 * s * s * t, 3 * s * t * t
        rest = (
            points - (s**3)[..., None] * fitted[:, None, 0] - (t**3)[..., None] * fitted[:, None, 3]
        )
        r1, r2 = (b1[..., None] * rest).sum(1).T, (b2[..., None] * rest).sum(1).T
        first, second = _solved((b1 * b1).sum(1), (b1 * b2).sum(1), (b2 * b2).sum(1), r1, r2)
        fitted[:, 1], fitted[:, 2] = first.T, second.T
        t = _nearer(fitted, points, t)
    return fitted, t


def _solved(m11: Floats, m12: Floats, m22: Floats, r1: Floats, r2: Floats) -> tuple[Floats, Floats]:
    """Solve symmetric 2 x 2 systems; a singular one is solved as if a little stiffer."""
    m11, m22 = m11 * (1 + 1e-9) + 1e-30, m22 * (1 + 1e-9) + 1e-30
    determinant = np.maximum(m11 * m22 - m12 * m12, 1e-12 * m11 * m22)
    return (m22 * r1 - m12 * r2) / determinant, (m11 * r2 - m12 * r1) / determinant


def _on_grid(fitted: Floats, points: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return cubics rounded to the grid, and how far the points are off them, [b]."""
    rounded = np.rint(fitted)
    off = geometry.at(rounded, _nearer(rounded, points, t)) - points
    return rounded, np.hypot(off[..., 0], off[..., 1]).max(1)


def _nearer(fitted: Floats, points: Floats, t: Floats) -> Floats:
    """Move parameters [b, k] toward the feet of the points, one Newton step, in order."""
    off = geometry.at(fitted, t) - points
    slope = _derivative(fitted, t)
    bend = _second_derivative(fitted, t)
    square = dot(slope, slope)
    curvature = square + dot(off, bend)
    step = dot(off, slope) / np.maximum(np.where(curvature > 0, curvature, square), 1e-12)
    moved: Floats = np.maximum.accumulate(np.clip(t - step, 0, 1), axis=1)
    return moved


def _derivative(fitted: Floats, t: Floats) -> Floats:
    """Return the derivatives [b, k, 2] of cubics at parameters [b, k]."""
    s = 1 - t
    return geometry.combined((s * s, 2 * s * t, t * t), 3 * np.diff(fitted, axis=1))


def _second_derivative(fitted: Floats, t: Floats) -> Floats:
    """Return the second derivatives [b, k, 2] of cubics at parameters [b, k]."""
    return geometry.combined((1 - t, t), 6 * np.diff(fitted, n=2, axis=1))


def _turned(vectors: Floats) -> Floats:
    """Return vectors turned by a right angle."""
    return np.stack([-vectors[..., 1], vectors[..., 0]], axis=-1)


def _unit(vectors: Floats) -> Floats:
    """Return vectors at length 1; those without a length stay zero."""
    length = np.hypot(vectors[..., 0], vectors[..., 1])[..., None]
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
