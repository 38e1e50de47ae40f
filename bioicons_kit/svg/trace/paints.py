"""What a region is painted with: one color, a linear gradient or a radial one.

A patch whose color changes smoothly is held against both kinds of gradient. The direction
of a linear one is the principal direction of the best affine map from place to color; the
center of a radial one starts from the best isotropic quadratic and is then refined. The
stops are read off the patch: its mean color in bins along the gradient, thinned to those
that straight interpolation needs. Only what reproduces the patch is taken for a gradient.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float32]

_PIXELS = 3000  # of a patch that are looked at
_BINS = 24
_MISFIT = 3.0  # of 255, root mean square; rendering and rounding stay below 1
_STOP = 2.0  # of 255: what a stop that is left out may be off
_LEAST = 400  # pixels; smaller patches are posterized, nobody sees the difference


class Paint(Protocol):
    """A color for every place."""

    def at(self, points: Floats) -> Floats:
        """Return sRGB colors `[n, 3]`, 0..255, at points `[n, 2]` in pixels."""
        ...


@dataclass(frozen=True)
class Flat:
    """One color, sRGB 0..255."""

    color: tuple[float, float, float]

    def at(self, points: Floats) -> Floats:
        """Return the color, whatever the place."""
        return np.broadcast_to(np.array(self.color, dtype=np.float32), (len(points), 3))


class Stops(NamedTuple):
    """Offsets `[k]` 0..1, ascending, and the colors `[k, 3]` at them."""

    offsets: Floats
    colors: Floats

    def at(self, place: Floats) -> Floats:
        """Return colors `[n, 3]` at places `[n]` along the gradient, the ends extended."""
        channels = [np.interp(place, self.offsets, self.colors[:, c]) for c in range(3)]
        return np.stack(channels, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """Colors that change from one point to another."""

    start: tuple[float, float]
    stop: tuple[float, float]
    stops: Stops

    def at(self, points: Floats) -> Floats:
        """Return the colors where the points fall on the line from start to stop."""
        start = np.array(self.start)
        line = np.array(self.stop) - start
        return self.stops.at((points - start) @ line / (line @ line))


@dataclass(frozen=True)
class Radial:
    """Colors that change with the distance from a center."""

    center: tuple[float, float]
    radius: float
    stops: Stops

    def at(self, points: Floats) -> Floats:
        """Return the colors by distance."""
        away = points - np.array(self.center)
        return self.stops.at(np.hypot(away[:, 0], away[:, 1]) / self.radius)


def gradient(points: Floats, colors: Floats, slack: float) -> Linear | Radial | None:
    """Return the gradient that a patch is, or None if it is none.

    Args:
        points: the patch's pixels `[n, 2]`.
        colors: their colors `[n, 3]`, 0..255.
        slack: standard deviation of the picture's noise.
    """
    if len(points) < _LEAST:
        return None
    step = max(1, len(points) // _PIXELS)
    points, colors = points[::step].astype(np.float64), colors[::step].astype(np.float64)
    limit = float(np.hypot(_MISFIT, slack))
    linear = _linear(points, colors)
    if linear is not None and _misfit(linear, points, colors) <= limit:
        return linear
    radial = _radial(points, colors)
    if radial is not None and _misfit(radial, points, colors) <= limit:
        return radial
    return None


def _misfit(paint: Paint, points: Floats, colors: Floats) -> float:
    """Return the root mean square of what a paint is off, over all channels."""
    return float(np.sqrt(((paint.at(points) - colors) ** 2).mean()))


def _linear(points: Floats, colors: Floats) -> Linear | None:
    """Return the linear gradient along which the colors change most."""
    middle = points.mean(axis=0)
    slopes, *_ = np.linalg.lstsq(points - middle, colors - colors.mean(axis=0), rcond=None)
    across, sizes, _ = np.linalg.svd(slopes)
    if sizes[0] < 1e-6:
        return None
    direction = across[:, 0]
    along = (points - middle) @ direction
    low, high = float(along.min()), float(along.max())
    start, stop = middle + low * direction, middle + high * direction
    stops = _stops((along - low) / max(high - low, 1e-6), colors)
    return Linear((float(start[0]), float(start[1])), (float(stop[0]), float(stop[1])), stops)


def _radial(points: Floats, colors: Floats) -> Radial | None:
    """Return the radial gradient that follows the colors' main direction of change best."""
    offset = colors - colors.mean(axis=0)
    _, _, axes = np.linalg.svd(offset[:: max(1, len(offset) // 500)], full_matrices=False)
    tone = offset @ axes[0]
    middle = points.mean(axis=0)
    scale = float(np.abs(points - middle).max()) or 1.0
    x, y = ((points - middle) / scale).T
    system = np.stack([x * x + y * y, x, y, np.ones_like(x)], axis=1)
    (square, to_x, to_y, _), *_ = np.linalg.lstsq(system, tone, rcond=None)
    if abs(square) < 1e-9:
        return None
    guess = np.clip(-np.array([to_x, to_y]) / (2 * square), -3, 3)
    few = slice(None, None, max(1, len(points) // 400))

    def spread(center: Floats) -> float:
        away = np.hypot(x[few] - center[0], y[few] - center[1])
        order = np.argsort(away)
        return float((np.diff(tone[few][order]) ** 2).sum())

    found = optimize.minimize(spread, guess, method="Nelder-Mead", options={"maxiter": 60})
    center = middle + scale * found.x
    away = np.hypot(*(points - center).T)
    radius = float(away.max()) or 1.0
    return Radial((float(center[0]), float(center[1])), radius, _stops(away / radius, colors))


def _stops(place: Floats, colors: Floats) -> Stops:
    """Return the mean colors along a gradient, without those that interpolation gives."""
    bins = np.minimum((place * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    used = np.flatnonzero(counts)
    means = np.stack([np.bincount(bins, colors[:, c], _BINS)[used] for c in range(3)], axis=1)
    colors = (means / counts[used, None]).astype(np.float32)
    offsets = (np.bincount(bins, place, _BINS)[used] / counts[used]).astype(np.float32)
    offsets, colors = _to_the_ends(offsets, colors)
    keep = _thinned(offsets, colors)
    return Stops(offsets[keep], colors[keep])


def _to_the_ends(offsets: Floats, colors: Floats) -> tuple[Floats, Floats]:
    """Return stops from 0 to 1: those of the bins' middles go on as they went last."""
    if len(offsets) < 2:
        return np.array([0, 1], dtype=np.float32), colors.repeat(2, axis=0)
    ends = []
    for here, inner, end in ((0, 1, 0.0), (-1, -2, 1.0)):
        reach = (end - offsets[here]) / (offsets[here] - offsets[inner])
        ends.append(np.clip(colors[here] + reach * (colors[here] - colors[inner]), 0, 255))
    offsets = np.concatenate([[0], offsets[1:-1], [1]]).astype(np.float32)
    return offsets, np.concatenate([ends[:1], colors[1:-1], ends[1:]]).astype(np.float32)


def _thinned(offsets: Floats, colors: Floats) -> NDArray[np.bool_]:
    """Tell which stops to keep: Douglas and Peucker's way, in color."""
    keep = np.zeros(len(offsets), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(offsets) - 1)]
    while spans:
        low, high = spans.pop()
        inner = np.arange(low + 1, high)
        if not inner.size:
            continue
        share = ((offsets[inner] - offsets[low]) / (offsets[high] - offsets[low]))[:, None]
        straight = colors[low] + share * (colors[high] - colors[low])
        off = np.abs(straight - colors[inner]).max(axis=1)
        worst = int(np.argmax(off))
        if off[worst] > _STOP:
            keep[inner[worst]] = True
            spans += [(low, int(inner[worst])), (int(inner[worst]), high)]
    return keep
