"""Plane geometry in batches: affine maps, Bézier curves and arcs, as numpy arrays.

A cubic is its four control points, [..., 4, 2]; lines and quadratics are cubics, too
(raised in degree, which is exact), so that one formula serves all. Elliptical arcs follow
SVG 2, appendix B.2 ("Elliptical arc implementation notes").
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FUNCTION = re.compile(r"\s*,?\s*(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SEPARATORS = re.compile(r"[\s,]*")

# A cubic that stands for 1/16 of a turn is off by this share of the radius (Goldapp 1991:
# the error of the best-known construction falls with the sixth power of the angle).
ARC_STEP = math.pi / 8
ARC_ERROR = 7e-8


class Affine(NamedTuple):
    """The map (x, y) -> (a x + c y + e, b x + d y + f), as in `matrix(a b c d e f)`."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    e: float = 0.0
    f: float = 0.0

    def __matmul__(self, other: "Affine") -> "Affine":
        """Return the map that applies `other` first."""
        a, b, c, d, e, f = self
        p, q, r, s, t, u = other
        return Affine(
            a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s, a * t + c * u + e,
            b * t + d * u + f,
        )  # fmt: skip

    @property
    def norm(self) -> float:
        """The largest singular value: by how much lengths grow at most."""
        a, b, c, d = self[:4]
        mean, spread = math.hypot(a + d, b - c) / 2, math.hypot(a - d, b + c) / 2
        return mean + spread

    @property
    def least(self) -> float:
        """The smallest singular value: by how much lengths grow at least."""
        a, b, c, d = self[:4]
        return abs(math.hypot(a + d, b - c) / 2 - math.hypot(a - d, b + c) / 2)

    def on(self, points: Floats) -> Floats:
        """Return points [..., 2] mapped."""
        matrix = np.array([[self.a, self.b], [self.c, self.d]])
        mapped: Floats = points @ matrix + np.array([self.e, self.f])
        return mapped


class Arc(NamedTuple):
    """What an arc has besides its ends: radii, rotation of the x axis in degrees, flags."""

    rx: float
    ry: float
    rotation: float
    large: bool
    sweep: bool


def transform(text: str) -> Affine | None:
    """Return the map of a `transform` attribute; None where it is no valid list."""
    total, position = Affine(), 0
    while match := _FUNCTION.match(text, position):
        numbers = _numbers(match[2])
        step = None if numbers is None else _function(match[1], numbers)
        if step is None:
            return None
        total, position = total @ step, match.end()
    is_whole = not text[position:].strip() and all(map(math.isfinite, total))
    return total if is_whole else None


def _numbers(text: str) -> list[float] | None:
    """Return the numbers of an argument list; None where it holds anything else."""
    if _SEPARATORS.sub("", _FLOAT.sub("", text)):
        return None
    return [float(number) for number in _FLOAT.findall(text)]


def _function(name: str, numbers: list[float]) -> Affine | None:
    """Return the map of one transform function; None for a wrong number of arguments."""
    match name, numbers:
        case "matrix", [a, b, c, d, e, f]:
            return Affine(a, b, c, d, e, f)
        case "translate", [x, *more] if len(more) <= 1:
            return Affine(e=x, f=sum(more))
        case "scale", [x, *more] if len(more) <= 1:
            return Affine(a=x, d=more[0] if more else x)
        case "rotate", [angle, *center] if len(center) in {0, 2}:
            cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            x, y = center or (0.0, 0.0)
            return Affine(e=x, f=y) @ Affine(cosine, sine, -sine, cosine) @ Affine(e=-x, f=-y)
        case "skewX" | "skewY", [angle]:
            slope = math.tan(math.radians(angle))
            return Affine(c=slope) if name == "skewX" else Affine(b=slope)
    return None


def dot(one: Floats, other: Floats) -> Floats:
    """Return the products [...] of vectors [..., 2]; numpy's own sums are slow over two."""
    product: Floats = one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1]
    return product


def lines(starts: Floats, ends: Floats) -> Floats:
    """Return lines [n, 2], [n, 2] as cubics [n, 4, 2]."""
    third = (ends - starts) / 3
    return np.stack([starts, starts + third, ends - third, ends], axis=-2)


def at(cubics: Floats, t: Floats) -> Floats:
    """Return points [n, k, 2] on cubics [n, 4, 2] at parameters [n, k]."""
    s = 1 - t
    return combined((s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t), cubics)


def combined(weights: Sequence[Floats], vectors: Floats) -> Floats:
    """Return sums [n, k, 2] of vectors [n, m, 2] with m weights [n, k] each.

    Coordinate by coordinate: numpy is slow over rows of two.
    """
    sums: Floats = np.empty((*weights[0].shape, 2))
    for axis in (0, 1):
        values = vectors[:, :, axis, None]
        total = weights[0] * values[:, 0]
        for index, weight in enumerate(weights[1:], start=1):
            total += weight * values[:, index]
        sums[..., axis] = total
    return sums


def parts(cubics: Floats, start: Floats, stop: Floats) -> Floats:
    """Return the parts [n, 4, 2] of cubics [n, 4, 2] between two parameters [n] each.

    By blossoming: the control points of the part from a to b are the polar form at
    (a, a, a), (a, a, b), (a, b, b) and (b, b, b).
    """
    points = np.ascontiguousarray(cubics.transpose(1, 2, 0))  # numpy is slow over rows of two
    a, b = start, stop

    def polar(u: Floats, v: Floats, w: Floats) -> Floats:
        once = (1 - u) * points[:3] + u * points[1:]
        twice = (1 - v) * once[:2] + v * once[1:]
        point: Floats = (1 - w) * twice[0] + w * twice[1]
        return point

    cut = np.stack([polar(a, a, a), polar(a, a, b), polar(a, b, b), polar(b, b, b)])
    return cut.transpose(2, 0, 1)


def arc_cubics(ends: Floats, arc: Arc, count: int | None = None) -> Floats:
    """Return cubics [k, 4, 2] within `ARC_ERROR` x the larger radius of an SVG arc.

    Radii that are too small are enlarged as the specification says; the caller has dealt
    with zero radii and with equal ends.

    Args:
        ends: where it starts and ends, [2, 2].
        arc: its shape.
        count: how many cubics to cut it into; as many as that error asks for without it.
    """
    start, end = ends
    rx, ry, rotation, large, sweep = arc
    angle = math.radians(rotation)
    cosine, sine = math.cos(angle), math.sin(angle)
    to_ellipse = np.array([[cosine, -sine], [sine, cosine]])  # for row vectors
    half = (start - end) / 2 @ to_ellipse
    sizes = np.array([rx, ry])
    excess = float(((half / sizes) ** 2).sum())
    sizes = sizes * math.sqrt(max(excess, 1.0))
    x, y = half / sizes
    square = x * x + y * y
    root = math.sqrt(max(1 / square - 1, 0.0)) * (-1 if large == sweep else 1)
    center = np.array([root * y, -root * x])
    first = math.atan2(y - center[1], x - center[0])
    last = math.atan2(-y - center[1], -x - center[0])
    turn = (last - first) % math.tau if sweep else -((first - last) % math.tau)
    count = count or max(1, math.ceil(abs(turn) / ARC_STEP - 1e-9))
    angles = first + turn * np.arange(count + 1) / count
    reach = 4 / 3 * math.tan(turn / count / 4)
    on = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    ahead = reach * np.stack([-on[:, 1], on[:, 0]], axis=-1)
    unit = np.stack([on[:-1], on[:-1] + ahead[:-1], on[1:] - ahead[1:], on[1:]], axis=1)
    middle = (start + end) / 2
    cubics: Floats = (unit + center) * sizes @ to_ellipse.T + middle
    cubics[0, 0], cubics[-1, 3] = start, end
    return cubics
