"""A pen that notes outlines: what subjects are drawn with, before any style.

A drawing is a list of marks, each a polyline on a sheet of 100 x 100 (y downward), in the
order they are laid over each other. How a mark looks is the style's business: it only has a
tone, from 0 (white) to 1 (black), or None if it is a line that encloses nothing.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Points = tuple[tuple[float, float], ...]

_PER_SPAN = 6  # points per span of a smooth curve: below a pixel's deviation at 128 px


@dataclass(frozen=True)
class Mark:
    """One polyline.

    Attributes:
        points: on the sheet.
        closed: whether it encloses an area.
        tone: of that area, 0 white to 1 black; None for a line.
        weight: of its line, 1 being the style's usual.
        solid: filled in the line's own color, in every style.
    """

    points: Points
    closed: bool
    tone: float | None = None
    weight: float = 1.0
    solid: bool = False


class Pen:
    """Notes marks; every choice comes from its own random numbers.

    Coordinates are given flat, `x, y, x, y, ...`, as they are in SVG paths.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.marks: list[Mark] = []

    def r(self, low: float, high: float) -> float:
        """Return a number between two."""
        return self.rng.uniform(low, high)

    def n(self, low: int, high: int) -> int:
        """Return a whole number between two, both included."""
        return self.rng.randint(low, high)

    def maybe(self, chance: float = 0.5) -> bool:
        """Return True with this chance."""
        return self.rng.random() < chance

    def poly(self, *flat: float, tone: float = 0.2, weight: float = 1.0) -> None:
        """Draw a polygon."""
        self.marks.append(Mark(_pairs(flat), True, tone, weight))

    def blob(self, *flat: float, tone: float = 0.2, weight: float = 1.0) -> None:
        """Draw a smooth closed shape through the points."""
        self.marks.append(Mark(smooth(_pairs(flat), True), True, tone, weight))

    def line(self, *flat: float, weight: float = 1.0) -> None:
        """Draw straight lines through the points."""
        self.marks.append(Mark(_pairs(flat), False, None, weight))

    def bend(self, *flat: float, weight: float = 1.0) -> None:
        """Draw a smooth line through the points."""
        self.marks.append(Mark(smooth(_pairs(flat), False), False, None, weight))

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None = None,
        *,
        tone: float = 0.2,
        turn: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        """Draw an ellipse, turned by degrees; a circle without `ry`."""
        points = oval_points(x, y, rx, rx if ry is None else ry, turn)
        self.marks.append(Mark(points, True, tone, weight))

    def dot(self, x: float, y: float, radius: float) -> None:
        """Draw a dot in the line's color."""
        self.marks.append(
            Mark(oval_points(x, y, radius, radius, 0, count=12), True, 1.0, 1.0, True)
        )

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        *,
        tone: float = 0.2,
        corner: float = 0.0,
    ) -> None:
        """Draw a rectangle, with round corners of this radius."""
        if corner <= 0:
            self.poly(left, top, right, top, right, bottom, left, bottom, tone=tone)
            return
        centers = (
            (right - corner, top + corner, -90.0),
            (right - corner, bottom - corner, 0.0),
            (left + corner, bottom - corner, 90.0),
            (left + corner, top + corner, 180.0),
        )
        points = [
            polar(x, y, corner, start + step * 22.5) for x, y, start in centers for step in range(5)
        ]
        self.marks.append(Mark(tuple(points), True, tone))

    def limb(self, *flat: float, start: float = 4.0, end: float = 2.0, tone: float = 0.2) -> None:
        """Draw a band along a smooth line, its half-width going from `start` to `end`."""
        self.marks.append(Mark(band(smooth(_pairs(flat), False), start, end), True, tone))

    def eye(self, x: float, y: float, radius: float = 2.0) -> None:
        """Draw an eye: a dot, sometimes in a white."""
        if self.maybe(0.4):
            self.oval(x, y, radius * 1.9, tone=0.0)
        self.dot(x, y, radius)


def polar(x: float, y: float, radius: float, degrees: float) -> tuple[float, float]:
    """Return the point at a distance and a direction from another; 90 degrees is down."""
    turn = math.radians(degrees)
    return x + radius * math.cos(turn), y + radius * math.sin(turn)


def oval_points(
    x: float, y: float, rx: float, ry: float, turn: float, *, count: int = 28
) -> Points:
    """Return points around an ellipse."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        u, v = rx * math.cos(angle), ry * math.sin(angle)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return tuple(points)


def smooth(points: Points, closed: bool) -> Points:
    """Return points along the Catmull-Rom spline through some points."""
    count = len(points)
    if count < 3:
        return points
    spans = count if closed else count - 1

    def at(index: int) -> tuple[float, float]:
        return points[index % count] if closed else points[min(max(index, 0), count - 1)]

    result: list[tuple[float, float]] = []
    for span in range(spans):
        a, b, c, d = (at(span + offset) for offset in (-1, 0, 1, 2))
        for step in range(_PER_SPAN):
            t = step / _PER_SPAN
            weights = (
                (-t + 2 * t**2 - t**3) / 2,
                (2 - 5 * t**2 + 3 * t**3) / 2,
                (t + 4 * t**2 - 3 * t**3) / 2,
                (-(t**2) + t**3) / 2,
            )
            four = (a, b, c, d)
            result.append(
                (
                    sum(w * p[0] for w, p in zip(weights, four, strict=True)),
                    sum(w * p[1] for w, p in zip(weights, four, strict=True)),
                )
            )
    if not closed:
        result.append(points[-1])
    return tuple(result)


def band(center: Points, start: float, end: float) -> Points:
    """Return the outline of a band along a line, its half-width from `start` to `end`."""
    left, right = [], []
    last = len(center) - 1
    for index, (x, y) in enumerate(center):
        before, after = center[max(index - 1, 0)], center[min(index + 1, last)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = math.hypot(dx, dy) or 1.0
        half = start + (end - start) * index / max(last, 1)
        left.append((x - dy / length * half, y + dx / length * half))
        right.append((x + dy / length * half, y - dx / length * half))
    return tuple(left + right[::-1])


def _pairs(flat: Sequence[float]) -> Points:
    """`x, y, x, y -> (x, y), (x, y)`."""
    assert len(flat) % 2 == 0, flat
    return tuple(zip(flat[::2], flat[1::2], strict=True))
