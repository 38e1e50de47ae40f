"""Cells, what is in them, and the smallest living things."""

# Coordinates read better in lines than in columns.
# fmt: off

import math

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


def _wavy(p: Pen, x: float, y: float, radius: float, depth: float) -> list[float]:
    """Return points around an uneven round shape, flat."""
    flat: list[float] = []
    for i in range(11):
        flat.extend(polar(x, y, radius * (1 + p.r(-depth, depth)), i * 360 / 11))
    return flat


def _specks(p: Pen, x: float, y: float, reach: float, count: int, *, size: float) -> None:
    """Draw small rounds within reach of a point."""
    for _ in range(count):
        cx, cy = polar(x, y, reach * math.sqrt(p.r(0.05, 1)), p.r(0, 360))
        p.oval(cx, cy, size * p.r(0.7, 1.3), tone=0.6)


def _nucleus(p: Pen, x: float, y: float, radius: float) -> None:
    """Draw a nucleus with its nucleolus."""
    p.oval(x, y, radius, radius * p.r(0.85, 1), tone=0.5)
    p.oval(x + radius * p.r(-0.3, 0.3), y + radius * p.r(-0.3, 0.3), radius * 0.35, tone=0.85)


@subject("neuron", spin=40)
def _neuron(p: Pen) -> None:
    bend = p.r(-6, 6)
    p.limb(36, 36, 56, 52 + bend, 74, 70, 84, 84, start=3, end=1.6, tone=0.3)
    for t in (0.25, 0.5, 0.75):
        x, y = 40 + 42 * t, 40 + 40 * t + bend * math.sin(math.pi * t) * 0.8
        p.oval(x + 2, y + 2, 6, 3.6, tone=0.1, turn=44)
    for turn in (10.0, 45.0, 85.0):
        x, y = polar(84, 84, 13, turn)
        p.line(84, 84, x, y, weight=1.4)
        p.dot(x, y, 2.4)
    for i in range(p.n(6, 7)):
        turn = 100 + 42 * i + p.r(-8, 8)
        a, b = polar(30, 30, 12, turn), polar(30, 30, p.r(24, 29), turn + p.r(-14, 14))
        p.limb(*polar(30, 30, 6, turn), *a, *b, start=4, end=0.8, tone=0.3)
        p.line(*a, *polar(30, 30, 24, turn + 26))
    p.blob(*_wavy(p, 30, 30, 14, 0.12), tone=0.3)
    _nucleus(p, 30, 30, 6)


@subject("T-cell", "T cell", "lymphocyte", spin=180)
def _t_cell(p: Pen) -> None:
    count = p.n(8, 11)
    for i in range(count):
        turn = i * 360 / count + p.r(-5, 5)
        x, y = polar(50, 50, 41, turn)
        p.line(50, 50, x, y, weight=1.8)
        if i % 2:
            for side in (-32, 32):
                p.line(x, y, *polar(x, y, 6.5, turn + side), weight=1.8)
        else:
            p.oval(x, y, 3.2, tone=0.6)
    p.oval(50, 50, p.r(29, 32), tone=0.2)
    p.blob(*_wavy(p, 50, 50, p.r(18, 21), 0.07), tone=0.45)
    _specks(p, 50, 50, 12, p.n(2, 4), size=3)


@subject("plant cell")
def _plant_cell(p: Pen) -> None:
    p.box(7, 8, 93, 92, tone=0.5, corner=p.r(8, 18))
    p.box(14, 15, 86, 85, tone=0.2, corner=p.r(6, 14))
    p.blob(44, 26, 70, 24, 77, 44, 72, 66, 52, 68, 40, 48, tone=0.04)
    _nucleus(p, 28, 66, 11)
    for x, y, turn in ((24, 28, 80), (26, 44, 70), (50, 78, 5), (74, 76, -10)):
        p.oval(x + p.r(-2, 2), y, 7, 4, tone=0.6, turn=turn)
        p.line(x - 3, y, x + 3, y, weight=0.7)


@subject("animal cell", "cell", spin=60)
def _animal_cell(p: Pen) -> None:
    p.blob(*_wavy(p, 50, 50, 40, 0.08), tone=0.12)
    _nucleus(p, 46 + p.r(-4, 4), 50, p.r(14, 17))
    for i in range(p.n(3, 4)):
        turn = 20 + 95 * i + p.r(-10, 10)
        x, y = polar(48, 50, 29, turn)
        p.oval(x, y, 7, 4, tone=0.4, turn=turn + 90)
        p.bend(x - 4, y + 1, x - 1, y - 2, x + 1, y + 2, x + 4, y - 1, weight=0.7)
    _specks(p, 50, 50, 34, p.n(4, 8), size=1.6)


@subject("red blood cells", "red blood cell", "erythrocytes")
def _blood(p: Pen) -> None:
    for x, y, rx, ry in ((24, 34, 20, 15), (70, 28, 22, 17), (56, 70, 30, 20)):
        cx, cy, turn = x + p.r(-3, 3), y + p.r(-3, 3), p.r(-25, 5)
        p.oval(cx, cy, rx, ry, tone=0.4, turn=turn)
        p.oval(cx, cy - 1, rx * 0.52, ry * 0.45, tone=0.7, turn=turn)


@subject("epithelial cells", "epithelium", spin=4)
def _epithelium(p: Pen) -> None:
    count = p.n(4, 6)
    width = 90 / count
    p.box(3, 84, 97, 91, tone=0.15)
    for i in range(count):
        x = 5 + i * width
        p.box(x, 22, x + width, 84, tone=0.25 + 0.2 * (i % 2), corner=2)
        p.oval(x + width / 2, p.r(48, 68), width * 0.24, 8, tone=0.75)
        for k in range(4):
            h = x + width * (k + 0.5) / 4
            p.line(h, 22, h + p.r(-1, 1), 12, weight=1.4)


@subject("muscle fiber", "muscle", spin=30)
def _muscle(p: Pen) -> None:
    h = p.r(19, 24)
    p.blob(10, 50 - h * 0.7, 50, 50 - h, 90, 50 - h * 0.7, 90, 50 + h * 0.7, 50, 50 + h, 10, 50 +
           h * 0.7, tone=0.4)
    for i in range(p.n(7, 9)):
        x = 16 + 9 * i
        p.line(x, 50 - h * 0.86, x, 50 + h * 0.86, weight=1.7)
    for k in (-0.45, 0.0, 0.45):
        p.bend(8, 50 + k * h * 1.4, 50, 50 + k * h * 1.6, 92, 50 + k * h * 1.4, weight=0.8)
    for x in (30, 68):
        p.oval(x, 50 + p.r(-9, 9), 6, 3, tone=0.85)


@subject("bacterium", "bacteria", spin=60)
def _bacterium(p: Pen) -> None:
    for s in (-1, 1):
        for i in range(8):
            x = 20 + 8 * i
            p.line(x, 50 + s * 17, x + p.r(-2, 2), 50 + s * 27, weight=0.8)
    for i in range(p.n(1, 3)):
        p.bend(80, 50 + 5 * i, 88, 42 + 9 * i, 94, 54 + 6 * i, 102, 46 + 9 * i, weight=1.4)
    p.box(10, 31, 84, 69, tone=0.5, corner=18.9)
    p.box(15, 36, 79, 64, tone=0.25, corner=13.9)
    p.bend(28, 52, 36, 42, 44, 58, 50, 44, 56, 58, 64, 44, 68, 54, weight=1.5)
    _specks(p, 46, 50, 13, p.n(2, 5), size=1.5)


@subject("bacteriophage", "phage", spin=8)
def _phage(p: Pen) -> None:
    for s in (-1, 1):
        for k, reach in ((0, p.r(34, 42)), (1, p.r(22, 28))):
            p.line(50 + s * 4, 72 - 2 * k, 50 + s * reach * 0.6, 54 + 6 * k, 50 + s * reach, 96,
                   weight=1.4)
    p.box(44, 44, 56, 72, tone=0.4)
    for i in range(5):
        p.line(44, 48 + 5 * i, 56, 48 + 5 * i, weight=0.8)
    p.box(38, 72, 62, 78, tone=0.6)
    p.box(42, 40, 58, 44, tone=0.7)
    p.poly(50, 3, 69, 13, 69, 31, 50, 41, 31, 31, 31, 13, tone=0.4)
    p.poly(50, 12, 62, 32, 38, 32, tone=0.6)
    for x, y, a, b in (
        (50, 12, 50, 3),
        (50, 12, 69, 13),
        (50, 12, 31, 13),
        (62, 32, 69, 31),
        (38, 32, 31, 31),
        (62, 32, 69, 13),
        (38, 32, 31, 13),
        (62, 32, 50, 41),
        (38, 32, 50, 41),
    ):
        p.line(x, y, a, b, weight=0.8)


@subject("coronavirus", "virus", spin=180)
def _virus(p: Pen) -> None:
    count = p.n(11, 15)
    for i in range(count):
        turn = i * 360 / count
        x, y = polar(50, 50, 42, turn)
        p.line(50, 50, x, y, weight=1.3)
        p.poly(*polar(50, 50, 38, turn), *polar(50, 50, 47, turn - 7), *polar(50, 50, 47, turn +
               7), tone=0.6)
    p.oval(50, 50, p.r(29, 32), tone=0.3)
    for i in range(p.n(6, 9)):
        p.oval(*polar(50, 50, p.r(8, 23), i * 47), p.r(2, 3.6), tone=0.65)


@subject("paramecium", spin=60)
def _paramecium(p: Pen) -> None:
    for i in range(24):
        turn = math.radians(i * 15)
        x, y = 50 + 38 * math.cos(turn), 50 + 19 * math.sin(turn)
        p.line(x, y, 50 + 46 * math.cos(turn) + p.r(-1, 1), 50 + 27 * math.sin(turn), weight=0.8)
    p.blob(10, 50, 24, 34, 50, 30, 78, 36, 91, 52, 76, 66, 50, 69, 24, 64, tone=0.3)
    p.blob(28, 58, 36, 46, 48, 53, 60, 48, 56, 60, 40, 62, tone=0.05)
    _nucleus(p, 64, 46, 7)
    for x, y in ((26, 48), (78, 54), (44, 40)):
        p.oval(x, y, p.r(2.5, 4), tone=0.1)


@subject("amoeba", spin=180)
def _amoeba(p: Pen) -> None:
    flat: list[float] = []
    arms = p.n(5, 7)
    for i in range(arms):
        turn = 360 * i / arms
        flat.extend(polar(50, 50, p.r(40, 46), turn - 6))
        flat.extend(polar(50, 50, p.r(40, 46), turn + 6))
        flat.extend(polar(50, 50, p.r(21, 25), turn + 180 / arms))
    p.blob(*flat, tone=0.2)
    _nucleus(p, 48, 50, 10)
    p.oval(62, 56, 5, tone=0.02)
    _specks(p, 50, 50, 26, p.n(5, 8), size=1.7)


@subject("diatom", spin=70)
def _diatom(p: Pen) -> None:
    h = p.r(13, 18)
    p.blob(4, 50, 26, 50 - h * 0.8, 50, 50 - h, 74, 50 - h * 0.8, 96, 50, 74, 50 + h * 0.8, 50, 50
           + h, 26, 50 + h * 0.8, tone=0.4)
    p.blob(10, 50, 30, 50 - h * 0.6, 50, 50 - h * 0.75, 70, 50 - h * 0.6, 90, 50, 70, 50 + h *
           0.6, 50, 50 + h * 0.75, 30, 50 + h * 0.6, tone=0.1)
    for i in range(p.n(9, 12)):
        x = 20 + 5.6 * i
        k = h * 0.62 * math.sin(math.pi * (x - 6) / 88)
        p.line(x, 50 - k, x, 50 - 2, weight=0.9)
        p.line(x, 50 + 2, x, 50 + k, weight=0.9)
    p.line(12, 50, 88, 50)
    p.oval(50, 50, 4, tone=0.0)


@subject("yeast", spin=60)
def _yeast(p: Pen) -> None:
    p.oval(72, 28, p.r(15, 18), 15, tone=0.25)
    p.oval(40, 60, p.r(27, 31), 26, tone=0.25)
    p.bend(54, 36, 58, 42, 64, 44, weight=1.5)
    _nucleus(p, 40, 62, 8)
    _nucleus(p, 73, 27, 5)
    for x, y in ((12, 20), (22, 12), (86, 78), (92, 66)):
        p.oval(x, y, p.r(2.5, 5), tone=0.1)
    p.oval(26, 50, 6, tone=0.04)


@subject("mitochondrion", "mitochondria", spin=50)
def _mitochondrion(p: Pen) -> None:
    h = p.r(22, 26)
    p.blob(5, 50, 20, 50 - h, 50, 48 - h, 80, 50 - h, 95, 50, 80, 50 + h, 50, 52 + h, 20, 50 + h,
           tone=0.5)
    p.blob(12, 50, 24, 56 - h, 50, 54 - h, 76, 56 - h, 88, 50, 76, 44 + h, 50, 46 + h, 24, 44 + h,
           tone=0.1)
    for i in range(p.n(6, 7)):
        x = 20 + 10 * i
        top = i % 2 == 0
        edge = 50 - h + 9 if top else 50 + h - 9
        p.limb(x, edge, x + p.r(-2, 2), 50, x, 50 + (9 if top else -9), start=2.6, end=2.2,
               tone=0.5)


@subject("chloroplast", spin=40)
def _chloroplast(p: Pen) -> None:
    p.oval(50, 50, 45, p.r(27, 31), tone=0.5)
    p.oval(50, 50, 40, 23, tone=0.15)
    for x, y, count in ((26, 56, 3), (42, 60, 4), (60, 60, 4), (76, 56, 3)):
        for k in range(count):
            p.oval(x, y - 6.5 * k, 7, 2.8, tone=0.65)
    p.line(26, 52, 42, 50, 60, 52, 76, 50)


@subject("golgi apparatus", "golgi", spin=30)
def _golgi(p: Pen) -> None:
    for i in range(p.n(4, 5)):
        w = 36 - 4 * i
        y = 26 + 12 * i
        p.limb(50 - w, y + 10, 50 - w * 0.5, y - 1, 50, y - 4, 50 + w * 0.5, y - 1, 50 + w, y +
               10, start=4, end=4, tone=0.4)
    for x, y in ((10, 60), (90, 62), (82, 76), (24, 84), (60, 90)):
        p.oval(x, y + p.r(-4, 4), p.r(3, 4.5), tone=0.2)


@subject("nucleus", spin=180)
def _cell_nucleus(p: Pen) -> None:
    p.oval(50, 50, 40, 38, tone=0.4)
    p.oval(50, 50, 34, 32, tone=0.12)
    for i in range(p.n(10, 14)):
        p.oval(*polar(50, 50, 37, i * 29), 2.6, tone=0.0)
    p.oval(56, 54, p.r(9, 12), tone=0.75)
    for _ in range(3):
        x, y = polar(50, 48, 18, p.r(90, 330))
        p.bend(x - 9, y, x - 4, y - 6, x + 2, y + 5, x + 7, y - 3, weight=1.6)


@subject("sperm cell", "sperm", spin=60)
def _sperm(p: Pen) -> None:
    a = p.r(7, 13)
    p.limb(34, 50, 46, 50 - a, 58, 50, 70, 50 + a, 82, 50, 97, 50 - a, start=2.6, end=0.6, tone=0.4)
    p.box(28, 46, 42, 54, tone=0.6, corner=2)
    p.blob(4, 50, 12, 40, 26, 40, 32, 50, 26, 60, 12, 60, tone=0.3)
    p.oval(18, 50, 8, 6, tone=0.6)
