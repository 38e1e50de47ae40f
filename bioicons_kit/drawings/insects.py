"""Insects and other small animals without a backbone."""

# Coordinates read better in lines than in columns.
# fmt: off

import math

from bioicons_kit.drawings.pen import Pen, oval_points, polar
from bioicons_kit.drawings.registry import subject


def _legs(p: Pen, x: float, y: float, out: float, rows: tuple[float, ...]) -> None:
    """Draw a pair of bent legs for each row's slope."""
    for s in (-1, 1):
        for i, slope in enumerate(rows):
            top = y + 7 * (i - (len(rows) - 1) / 2)
            knee = x + s * out * 0.6
            p.line(x, top, knee, top + slope * 0.5 - 4, x + s * out, top + slope, weight=1.3)


@subject("honey bee", "bee")
def _bee(p: Pen) -> None:
    up = p.r(-4, 4)
    p.blob(46, 44, 52, 14 + up, 68, 4, 78, 14, 66, 36, 50, 46, tone=0.06)
    p.blob(42, 44, 38, 22 + up, 48, 10, 58, 20, 50, 42, tone=0.06)
    for x in (34, 42, 52):
        p.line(x, 58, x - 2, 74, x - 8, 84, weight=1.4)
    p.blob(50, 44, 66, 38, 84, 50, 94, 70, 74, 74, 56, 66, tone=0.2)
    for i in range(3):
        x = 60 + 9 * i
        p.limb(x + 3, 41 + 4 * i, x + 1, 54 + 3 * i, x - 2, 69 + i, start=2.6, end=2.6, tone=0.9)
    p.oval(42, 50, p.r(12, 14), tone=0.3)
    p.oval(22, 50, 11, 13, tone=0.5)
    p.oval(20, 50, 4, 7, tone=0.9)
    p.bend(18, 39, 12, 28, 4, 26)
    p.bend(24, 37, 20, 26, 13, 20)


@subject("butterfly", spin=20)
def _butterfly(p: Pen) -> None:
    a, b = p.r(-4, 4), p.r(-4, 4)
    for s in (-1, 1):
        p.blob(50 + s * 3, 44, 50 + s * 20, 16 + a, 50 + s * 44, 10 + a, 50 + s * 46, 30, 50 + s *
               30, 50, 50 + s * 6, 54, tone=0.4)
        p.blob(50 + s * 4, 54, 50 + s * 26, 54, 50 + s * 40, 66 + b, 50 + s * 32, 88, 50 + s * 18,
               86, 50 + s * 4, 62, tone=0.55)
        p.oval(50 + s * 29, 29 + a, p.r(6, 9), 7, tone=0.1)
        p.oval(50 + s * 24, 70, p.r(4, 7), tone=0.1)
        p.bend(50 + s, 34, 50 + s * 6, 20, 50 + s * 12, 12)
        p.dot(50 + s * 12, 12, 1.6)
    p.oval(50, 56, 3.6, 24, tone=0.9)
    p.oval(50, 32, 4.4, tone=0.9)


@subject("crab")
def _crab(p: Pen) -> None:
    for s in (-1, 1):
        for i in range(p.n(3, 4)):
            p.line(50 + s * 24, 58 + 4 * i, 50 + s * (38 + 2 * i), 56 + 8 * i, 50 + s * (42 - 2 *
                   i), 70 + 7 * i, weight=2)
        p.limb(50 + s * 26, 54, 50 + s * 40, 50, 50 + s * 40, 36, start=3.5, end=3.5, tone=0.4)
        p.blob(50 + s * 40, 38, 50 + s * 26, 28, 50 + s * 27, 10, 50 + s * 37, 22, 50 + s * 46, 8,
               50 + s * 50, 26, tone=0.45)
        p.line(50 + s * 8, 46, 50 + s * 9, 33)
        p.dot(50 + s * 9, 31, 3)
    w = p.r(28, 33)
    p.blob(50, 42, 50 + w * 0.8, 46, 50 + w, 58, 50 + w * 0.6, 74, 50, 78, 50 - w * 0.6, 74, 50 -
           w, 58, 50 - w * 0.8, 46, tone=0.35)
    p.bend(43, 64, 50, 68, 57, 64)


@subject("fruit fly", "fly", "drosophila", spin=20)
def _fly(p: Pen) -> None:
    _legs(p, 50, 42, p.r(34, 42), (-14, 2, 20))
    p.blob(44, 50, 56, 50, 60, 72, 50, 94, 40, 72, tone=0.4)
    for i in range(3):
        p.line(42, 66 + 8 * i, 58, 66 + 8 * i, weight=1.7)
    for s in (-1, 1):
        p.blob(50 + s * 6, 42, 50 + s * 24, 58, 50 + s * p.r(30, 38), 88, 50 + s * 22, 94, 50 + s
               * 8, 66, tone=0.06)
        p.line(50 + s * 8, 50, 50 + s * 26, 86, weight=0.7)
    p.oval(50, 40, 12, 13, tone=0.4)
    p.oval(50, 22, 10, 8, tone=0.5)
    for s in (-1, 1):
        p.oval(50 + s * 9, 20, 6, 8, tone=0.75)
        p.line(50 + s * 3, 15, 50 + s * 6, 8)


@subject("ladybird beetle", "ladybird", "beetle", spin=25)
def _ladybird(p: Pen) -> None:
    _legs(p, 50, 58, p.r(42, 46), (-14, 2, 18))
    p.bend(46, 12, 40, 5, 33, 4)
    p.bend(54, 12, 60, 5, 67, 4)
    p.oval(50, 22, 16, 13, tone=0.95)
    for s in (-1, 1):
        p.oval(50 + s * 9, 19, 3.4, tone=0.0)
    p.oval(50, 60, p.r(30, 34), 34, tone=0.4)
    p.line(50, 27, 50, 94, weight=1.5)
    size = p.r(3.5, 5.5)
    for s in (-1, 1):
        for x, y in ((12, 42), (22, 56), (11, 66), (20, 78)):
            p.dot(50 + s * x, y, size)


@subject("c elegans", "nematode", "worm", spin=60)
def _worm(p: Pen) -> None:
    a, pace = p.r(16, 26), p.r(0.85, 1.05)
    wave = [(8 + 6 * i, 50 + a * math.sin(i / 2 * pace)) for i in range(15)]
    flat = [value for point in wave for value in point]
    p.limb(*flat, start=p.r(4.5, 6), end=1, tone=0.3)
    for x, y in wave[2:11:2]:
        p.oval(x, y, 1.8, tone=0.7)


@subject("garden snail", "snail")
def _snail(p: Pen) -> None:
    p.blob(8, 40, 16, 36, 24, 44, 28, 64, 44, 74, 96, 84, 70, 90, 24, 90, 12, 72, tone=0.2)
    p.bend(12, 40, 10, 26, 5, 18)
    p.bend(18, 40, 20, 26, 24, 18)
    p.dot(5, 18, 2.2)
    p.dot(24, 18, 2.2)
    r = p.r(26, 31)
    p.oval(60, 52, r, tone=0.4)
    turns = p.r(2.0, 2.8)
    spiral: list[float] = []
    for i in range(24):
        spiral.extend(polar(60, 52, r * (1 - i / 25), i * 360 * turns / 24 + 60))
    p.bend(*spiral, weight=1.4)
    p.bend(10, 54, 14, 58, 20, 56)


@subject("spider", spin=20)
def _spider(p: Pen) -> None:
    for s in (-1, 1):
        for i, (knee, foot) in enumerate(((14, 4), (32, 34), (50, 66), (66, 94))):
            p.line(50, 40 + 3 * i, 50 + s * p.r(24, 30), knee + 6, 50 + s * (38 + 3 * (i % 3)),
                   foot, weight=1.5)
    p.oval(50, 66, p.r(15, 20), 21, tone=0.7)
    p.oval(50, 38, 11, 12, tone=0.6)
    for s in (-1, 1):
        p.oval(50 + s * 4, 33, 2, tone=0.0)
    if p.maybe():
        p.line(50, 56, 50, 76, weight=1.4)


@subject("ant")
def _ant(p: Pen) -> None:
    for i, x in enumerate((44, 50, 56)):
        p.line(x, 54, x - 10 + 10 * i, 68, x - 18 + 18 * i, 88, weight=1.4)
        p.line(x, 50, x - 8 + 8 * i, 36, x - 16 + 18 * i, 28, weight=1.2)
    p.oval(76, 52, p.r(16, 20), 13, tone=0.7, turn=p.r(-10, 10))
    p.oval(50, 52, 10, 7, tone=0.6)
    p.oval(60, 52, 3.5, tone=0.6)
    p.oval(26, 48, 13, 11, tone=0.6)
    p.line(18, 40, 8, 28, 2, 32)
    p.line(24, 38, 18, 24, 10, 22)
    p.oval(21, 46, 2.4, tone=0.0)
    p.line(15, 54, 6, 58)


@subject("dragonfly", spin=40)
def _dragonfly(p: Pen) -> None:
    for s in (-1, 1):
        p.oval(50 + s * 25, 30 + p.r(-3, 3), 23, 5.5, tone=0.06, turn=s * p.r(-16, -4))
        p.oval(50 + s * 23, 43 + p.r(-3, 3), 21, 5.5, tone=0.06, turn=s * p.r(6, 18))
    p.limb(50, 40, 50 + p.r(-3, 3), 68, 50, 97, start=4, end=2, tone=0.6)
    for i in range(5):
        p.line(47, 56 + 8 * i, 53, 56 + 8 * i)
    p.oval(50, 33, 6, 11, tone=0.5)
    for s in (-1, 1):
        p.oval(50 + s * 5, 18, 5, 6, tone=0.8)


@subject("caterpillar")
def _caterpillar(p: Pen) -> None:
    count, bend = p.n(6, 8), p.r(4, 16)
    r = 44 / count + 3
    for i in reversed(range(count)):
        x = 16 + 70 * i / (count - 1)
        y = 58 - bend * math.sin(math.pi * i / (count - 1))
        for k in (-3, 3):
            p.line(x + k, y + r - 1, x + k, y + r + 6)
        p.oval(x, y, r, tone=0.25 + 0.2 * (i % 2))
    p.oval(14, 54, r + 3, tone=0.3)
    p.eye(10, 51, 2)
    p.bend(10, 43, 7, 34, 2, 30)
    p.bend(17, 43, 18, 33, 22, 29)


@subject("coral", spin=5)
def _coral(p: Pen) -> None:
    def branch(x: float, y: float, turn: float, size: float, depth: int) -> None:
        x2, y2 = polar(x, y, size, turn)
        p.limb(x, y, x2, y2, start=1.6 + depth * 1.3, end=1.4 + depth, tone=0.35)
        if depth == 0:
            p.oval(x2, y2, 3, tone=0.15)
            return
        for side in (-1, 1):
            branch(x2, y2, turn + side * p.r(18, 38), size * p.r(0.7, 0.85), depth - 1)

    branch(50, 92, -90 + p.r(-6, 6), 27, 3)
    p.blob(*[v for pt in oval_points(50, 94, 24, 5, 0, count=10) for v in pt], tone=0.5)
