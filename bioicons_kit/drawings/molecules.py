"""Nucleic acids, proteins and small molecules."""

# Coordinates read better in lines than in columns.
# fmt: off

import math

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


@subject("DNA helix", "DNA", "double helix", spin=40)
def _dna(p: Pen) -> None:
    turns, amplitude = p.r(1.4, 1.9), p.r(15, 19)
    ys = [5 + 90 * i / 30 for i in range(31)]

    def x(y: float, side: int) -> float:
        return 50 + side * amplitude * math.sin(2 * math.pi * turns * (y - 5) / 90 + 0.6)

    for y in ys[1::2]:
        if abs(x(y, 1) - x(y, -1)) > 6:
            p.line(x(y, 1), y, x(y, -1), y, weight=1.3)
    for side in (1, -1):
        flat = [v for y in ys[::3] for v in (x(y, side), y)]
        p.limb(*flat, start=2.8, end=2.8, tone=0.75 if side == 1 else 0.25)


@subject("chromosome", spin=15)
def _chromosome(p: Pen) -> None:
    w, top = p.r(6.5, 8.5), p.r(10, 20)
    for s in (-1, 1):
        p.limb(50 + s * 22, top, 50 + s * 8, 40, 50 + s * 5, 50, 50 + s * 9, 62, 50 + s * 24, 94,
               start=w, end=w, tone=0.4)
        for k in (0.16, 0.3, 0.7, 0.84):
            y = top + (94 - top) * k
            x = 50 + s * (6 + 18 * abs(k - 0.47) / 0.53)
            p.line(x - w * 0.8, y - s * 2, x + w * 0.8, y + s * 2, weight=1.8)
    p.oval(50, 50, 5, tone=0.85)


@subject("plasmid", spin=180)
def _plasmid(p: Pen) -> None:
    r = p.r(33, 37)
    p.oval(50, 50, r + 3, tone=0.1)
    p.oval(50, 50, r - 3, tone=0.0)
    start = 0.0
    for _ in range(p.n(3, 4)):
        span = p.r(40, 68)
        flat: list[float] = []
        for i in range(6):
            flat.extend(polar(50, 50, r, start + span * i / 5))
        p.limb(*flat, start=4.5, end=4.5, tone=p.r(0.35, 0.8))
        tip = start + span
        p.poly(*polar(50, 50, r - 8, tip), *polar(50, 50, r + 8, tip), *polar(50, 50, r, tip +
               15), tone=0.7)
        start += span + p.r(36, 50)
    for turn in (20, 140, 260):
        p.line(*polar(50, 50, r + 3, turn), *polar(50, 50, r + 9, turn), weight=1.4)


@subject("RNA hairpin", "hairpin", spin=30)
def _hairpin(p: Pen) -> None:
    w = p.r(8, 10)
    for i in range(p.n(5, 6)):
        y = 88 - 8 * i
        p.line(50 - w, y, 50 + w, y, weight=1.5)
    for turn in (160, 200, 240, 270, 300, 340, 20):
        p.line(*polar(50, 24, 19, turn), *polar(50, 24, 12, turn), weight=1.5)
    p.limb(50 - w - 16, 96, 50 - w, 94, 50 - w, 70, 50 - w, 44, 50 - 19, 28, 50 - 15, 12, 50, 5,
           50 + 15, 12, 50 + 19, 28, 50 + w, 44, 50 + w, 70, 50 + w, 96, start=2.4, end=2.4,
           tone=0.5)


@subject("antibody", spin=12)
def _antibody(p: Pen) -> None:
    a = p.r(-4, 4)
    for s in (-1, 1):
        p.limb(50 + s * 5, 94, 50 + s * 5, 56, 50 + s * 8, 46, 50 + s * (34 + a), 12, start=3.8,
               end=3.8, tone=0.4)
        p.limb(50 + s * 22, 46, 50 + s * (44 + a), 20, start=3.4, end=3.4, tone=0.15)
    p.line(45, 64, 55, 64, weight=1.4)
    p.line(45, 72, 55, 72, weight=1.4)


@subject("benzene ring", "benzene", spin=180)
def _benzene(p: Pen) -> None:
    corners = [polar(50, 50, 28, 60 * i + 30) for i in range(6)]
    if p.maybe(0.8):
        for i in range(6):
            p.line(*corners[i], *polar(50, 50, 42, 60 * i + 30), weight=1.3)
    p.poly(*[v for corner in corners for v in corner], tone=0.08, weight=1.5)
    if p.maybe():
        p.oval(50, 50, 16, tone=0.0)
    else:
        for i in (0, 2, 4):
            p.line(*polar(50, 50, 22, 60 * i + 33), *polar(50, 50, 22, 60 * i + 87), weight=1.5)
    for i in range(6):
        p.oval(*corners[i], 4.4, tone=0.8)


@subject("water molecule", "water", spin=30)
def _water(p: Pen) -> None:
    r = p.r(21, 25)
    for s in (-1, 1):
        x, y = polar(50, 42, 36, 90 - s * 52)
        p.limb(50, 42, x, y, start=3, end=3, tone=0.3)
        p.oval(x, y, p.r(12, 14), tone=0.08)
    p.oval(50, 42, r, tone=0.6)
    p.bend(38, 34, 42, 28, 49, 26)


@subject("glucose", "sugar", spin=8)
def _glucose(p: Pen) -> None:
    ring = (20, 52, 34, 34, 64, 34, 80, 52, 66, 70, 34, 70)
    for i, (x, y) in enumerate(zip(ring[::2], ring[1::2], strict=True)):
        if i == 2:
            continue
        up = p.r(14, 19)
        p.line(x, y - up, x, y + up, weight=1.2)
        p.oval(x, y - up if i % 2 else y + up, 3.6, tone=0.5)
    p.poly(*ring, tone=0.1, weight=1.6)
    p.oval(64, 34, 5.5, tone=0.8)
    p.line(34, 70, 66, 70, weight=3)


@subject("atom", spin=60)
def _atom(p: Pen) -> None:
    ry = p.r(13, 17)
    for turn in (0, 60, 120):
        ring: list[float] = []
        for i in range(25):
            angle = math.radians(15 * i)
            u, v = 43 * math.cos(angle), ry * math.sin(angle)
            c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            ring.extend((50 + u * c - v * s, 50 + u * s + v * c))
        p.bend(*ring, weight=1.2)
    for turn in (0, 60, 120):
        p.dot(*polar(50, 50, 42, turn + 180 * p.n(0, 1)), 3)
    p.oval(50, 50, 7, tone=0.6)


@subject("protein", "folded protein", spin=60)
def _protein(p: Pen) -> None:
    for x, y, turn in ((28, 34, -20), (40, 70, 30)):
        flat: list[float] = []
        for i in range(9):
            cx = x + (i - 2) * 6
            flat.extend((cx, y + (9 if i % 2 else -9) + i * turn * 0.06))
        p.limb(*flat, start=3.6, end=3.6, tone=0.4)
    p.bend(16, 34, 6, 50, 12, 66, 28, 72, weight=1.8)
    p.bend(76, 34, 92, 40, 90, 56, 78, 74, weight=1.8)
    p.poly(60, 86, 78, 62, 73, 58, 90, 48, 92, 68, 86, 64, 68, 91, tone=0.7)


@subject("nanoparticle", "micelle", spin=180)
def _micelle(p: Pen) -> None:
    count = p.n(14, 18)
    for i in range(count):
        turn = i * 360 / count
        p.bend(*polar(50, 50, 37, turn), *polar(50, 50, 28, turn + 4), *polar(50, 50, 18, turn -
               3), weight=1.1)
        p.oval(*polar(50, 50, 39, turn), p.r(4.6, 5.6), tone=0.45)
    if p.maybe(0.7):
        p.oval(50, 50, 9, tone=0.8)
