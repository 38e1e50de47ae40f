"""Turn, mirror, stretch and bend a drawing, and put it in its place on the sheet."""

import dataclasses
import math
import random
from collections.abc import Callable, Sequence

from bioicons_kit.drawings.pen import Mark

_SIZE = (74.0, 90.0)  # of the drawing's larger side, on the sheet of 100
_LOPSIDED = 1.1  # most by which one side is stretched over the other
_SHEAR = 0.06
_WARP = 1.2  # on the sheet: how far a slow wave moves a point
_WANDER = 3.0  # on the sheet: how far from the middle
_TURN = 25.0  # most degrees, of a subject that may be turned any way
_MIRRORED = 0.2  # share of drawings that look the other way

Move = Callable[[float, float], tuple[float, float]]


def posed(marks: Sequence[Mark], spin: float, rng: random.Random) -> list[Mark]:
    """Return the marks in a pose of chance; everything stays on the sheet.

    Args:
        marks: on a sheet of 100 x 100.
        spin: how far they may be turned, degrees either way.
        rng: chooses.
    """
    turned = _moved(marks, _turn(spin, rng))
    xs = [x for mark in turned for x, _ in mark.points]
    ys = [y for mark in turned for _, y in mark.points]
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    scale = rng.uniform(*_SIZE) / max(width, height)
    room = [(98 - side * scale) / 2 for side in (width, height)]
    middle = [50 + rng.uniform(-1, 1) * min(_WANDER, max(each, 0)) for each in room]
    center = ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)

    def place(x: float, y: float) -> tuple[float, float]:
        return middle[0] + (x - center[0]) * scale, middle[1] + (y - center[1]) * scale

    return _moved(turned, place)


def _turn(spin: float, rng: random.Random) -> Move:
    """Return a move that mirrors, bends, stretches, shears and turns about the middle."""
    flip = -1.0 if rng.random() < _MIRRORED else 1.0
    angle = math.radians(min(spin, _TURN) * rng.uniform(-1, 1))
    cos, sin = math.cos(angle), math.sin(angle)
    stretch = _LOPSIDED ** rng.uniform(-1, 1)
    shear = rng.uniform(-_SHEAR, _SHEAR)
    waves = [(rng.uniform(0.02, 0.07), rng.uniform(0, 7), rng.uniform(0, _WARP)) for _ in range(2)]

    def move(x: float, y: float) -> tuple[float, float]:
        (f, a, k), (g, b, m) = waves
        u = (x + k * math.sin(f * y + a) - 50) * flip * stretch
        v = y + m * math.sin(g * x + b) - 50
        u += shear * v
        return 50 + u * cos - v * sin, 50 + u * sin + v * cos

    return move


def _moved(marks: Sequence[Mark], move: Move) -> list[Mark]:
    """Return the marks with every point moved."""
    return [
        dataclasses.replace(mark, points=tuple(move(x, y) for x, y in mark.points))
        for mark in marks
    ]
