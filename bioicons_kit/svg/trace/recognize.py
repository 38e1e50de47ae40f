"""Outlines that are circles, ellipses or upright rectangles, said as such.

An ellipse is fully given by the area, center and second moments of what it encloses, which
for a polygon are exact sums over its sides; so it is computed, not searched, and then held
against every point of the outline. A rectangle is an outline of four lines, each level or
plumb.
"""

from typing import NamedTuple

import numpy as np

from bioicons_kit.svg.geometry import Floats
from bioicons_kit.svg.trace.contours import Loop, area

_ROUND = 0.35  # pixels: radii and sides that differ by less are equal


class Ellipse(NamedTuple):
    """An ellipse: center, radii, and the angle of the first radius in degrees."""

    x: float
    y: float
    rx: float
    ry: float
    angle: float

    @property
    def is_circle(self) -> bool:
        """Whether both radii are the same, to a third of a pixel."""
        return abs(self.rx - self.ry) <= _ROUND


class Rectangle(NamedTuple):
    """An upright rectangle."""

    x: float
    y: float
    width: float
    height: float


def ellipse(outline: Floats, tolerance: float) -> Ellipse | None:
    """Return the ellipse that a closed polygon `[n, 2]` follows within `tolerance`, if any."""
    center, moments = _moments(outline)
    sizes, axes = np.linalg.eigh(moments)
    if sizes[0] <= 0:
        return None
    ry, rx = 2 * np.sqrt(sizes)  # a full ellipse's second moment is a quarter of radius squared
    local = (outline - center) @ axes[:, ::-1]
    radius = np.hypot(local[:, 0] / rx, local[:, 1] / ry)
    # the distance to an ellipse is at most, and near it about, this much
    off = np.abs(radius - 1) * np.hypot(local[:, 0], local[:, 1]) / np.maximum(radius, 1e-9)
    if off.max() > tolerance:
        return None
    angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
    return Ellipse(float(center[0]), float(center[1]), float(rx), float(ry), angle)


def rectangle(loop: Loop, tolerance: float) -> Rectangle | None:
    """Return the upright rectangle that a fitted outline is within `tolerance`, if any."""
    if len(loop.cubics) != 4 or not loop.is_line.all():
        return None
    corners = loop.cubics[:, 0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    ideal = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    gaps = np.linalg.norm(corners[:, None] - ideal[None], axis=2)
    if gaps.min(axis=1).max() > 2 * tolerance or len(set(gaps.argmin(axis=1).tolist())) != 4:
        return None
    sides = [corners[gaps[:, k] == gaps[:, k].min()][0] for k in range(4)]
    left, right = (sides[0][0] + sides[3][0]) / 2, (sides[1][0] + sides[2][0]) / 2
    top, bottom = (sides[0][1] + sides[1][1]) / 2, (sides[2][1] + sides[3][1]) / 2
    return Rectangle(float(left), float(top), float(right - left), float(bottom - top))


def _moments(outline: Floats) -> tuple[Floats, Floats]:
    """Return center `[2]` and covariance `[2, 2]` of the area a polygon encloses (Green)."""
    shift = outline.mean(axis=0)
    x, y = (outline - shift).T
    u, v = np.roll(x, -1), np.roll(y, -1)
    cross = x * v - u * y
    size = area(outline) or 1e-12
    center = np.array([((x + u) * cross).sum(), ((y + v) * cross).sum()]) / (6 * size)
    xx = ((x * x + x * u + u * u) * cross).sum() / (12 * size)
    yy = ((y * y + y * v + v * v) * cross).sum() / (12 * size)
    xy = ((x * v + 2 * x * y + 2 * u * v + u * y) * cross).sum() / (24 * size)
    covariance = np.array([[xx, xy], [xy, yy]]) - np.outer(center, center)
    return center + shift, covariance
