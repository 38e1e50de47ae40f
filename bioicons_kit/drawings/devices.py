"""Devices and other things that scientists draw."""

# Coordinates read better in lines than in columns.
# fmt: off

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


@subject("computer", spin=3)
def _computer(p: Pen) -> None:
    p.box(8, 12, 92, 72, tone=0.4, corner=4)
    p.box(14, 18, 86, 64, tone=0.06)
    p.poly(42, 72, 58, 72, 62, 86, 38, 86, tone=0.5)
    p.box(28, 86, 72, 92, tone=0.4, corner=2)
    if p.maybe():
        p.bend(20, 52, 34, 34, 46, 48, 60, 28, 80, 36, weight=1.6)
    else:
        for i in range(p.n(3, 4)):
            p.line(20, 26 + 9 * i, p.r(44, 78), 26 + 9 * i, weight=1.4)


@subject("light bulb", "bulb", "lamp", spin=15)
def _bulb(p: Pen) -> None:
    r = p.r(26, 30)
    if p.maybe():
        for turn in (-150, -120, -90, -60, -30):
            p.line(*polar(50, 40, r + 6, turn), *polar(50, 40, r + 13, turn), weight=1.6)
    p.blob(50, 40 - r, 50 + r * 0.8, 40 - r * 0.6, 50 + r, 42, 64, 66, 60, 76, 40, 76, 36, 66, 50
           - r, 42, 50 - r * 0.8, 40 - r * 0.6, tone=0.06)
    p.bend(44, 74, 42, 54, 46, 48, 50, 56, 54, 48, 58, 54, 56, 74, weight=1.2)
    p.box(40, 76, 60, 92, tone=0.6, corner=3)
    p.line(40, 82, 60, 80)
    p.line(40, 88, 60, 86)
    p.box(45, 92, 55, 96, tone=0.9)


@subject("battery", spin=25)
def _battery(p: Pen) -> None:
    p.box(43, 4, 57, 14, tone=0.7, corner=2)
    p.box(30, 12, 70, 95, tone=0.12, corner=5)
    level = p.r(32, 62)
    p.box(34, level, 66, 91, tone=0.5, corner=2)
    p.line(50, 18, 50, 28, weight=1.6)
    p.line(45, 23, 55, 23, weight=1.6)
    p.line(45, 84, 55, 84, weight=1.6)


@subject("telescope", spin=8)
def _telescope(p: Pen) -> None:
    p.line(48, 54, 26, 97, weight=2)
    p.line(52, 54, 76, 97, weight=2)
    p.line(50, 54, 50, 95, weight=2)
    up = p.r(-4, 4)
    p.poly(14, 58, 20, 66, 42, 58, 36, 46, tone=0.6)
    p.poly(34, 44, 42, 60, 80, 40 + up, 70, 20 + up, tone=0.3)
    p.poly(68, 16 + up, 82, 44 + up, 94, 36 + up, 80, 8 + up, tone=0.5)
    p.oval(50, 54, 5, tone=0.7)


@subject("gear", "cog", spin=180)
def _gear(p: Pen) -> None:
    teeth, inner = p.n(7, 10), p.r(29, 32)
    step = 360 / teeth
    flat: list[float] = []
    for i in range(teeth):
        for radius, part in ((inner, 0.0), (inner, 0.42), (42.0, 0.52), (42.0, 0.9)):
            flat.extend(polar(50, 50, radius, step * (i + part)))
    p.poly(*flat, tone=0.4)
    p.oval(50, 50, p.r(11, 16), tone=0.0)


@subject("rocket", spin=25)
def _rocket(p: Pen) -> None:
    p.blob(42, 78, 58, 78, 55, 92, 50, 99, 45, 92, tone=0.2)
    for s in (-1, 1):
        p.poly(50 + s * 14, 54, 50 + s * 30, 76, 50 + s * 28, 86, 50 + s * 12, 76, tone=0.6)
    w = p.r(15, 18)
    p.blob(50, 2, 50 + w * 0.7, 20, 50 + w, 46, 50 + w * 0.7, 78, 50 - w * 0.7, 78, 50 - w, 46, 50
           - w * 0.7, 20, tone=0.1)
    p.oval(50, 36, 7, tone=0.5)
    p.oval(50, 36, 4, tone=0.05)
    p.line(50 - w * 0.9, 64, 50 + w * 0.9, 64)
    p.line(50 - w * 0.7, 20, 50 + w * 0.7, 20)


@subject("satellite", spin=40)
def _satellite(p: Pen) -> None:
    p.line(10, 50, 90, 50, weight=2)
    for left, right in ((3, 33), (67, 97)):
        p.box(left, 36, right, 64, tone=0.5)
        p.line(left, 50, right, 50)
        for k in (1, 2):
            p.line(left + 10 * k, 36, left + 10 * k, 64)
    p.box(40, 36, 60, 64, tone=0.2)
    p.line(50, 64, 50, 76, weight=1.6)
    p.blob(34, 76, 50, 84 + p.r(-2, 2), 66, 76, 58, 90, 42, 90, tone=0.1)
    p.line(50, 36, 50, 22, weight=1.4)
    p.dot(50, 21, 2.4)


@subject("magnifying glass", "magnifier", spin=40)
def _magnifier(p: Pen) -> None:
    r = p.r(27, 31)
    p.limb(62, 62, 78, 78, 95, 95, start=4, end=5.5, tone=0.7)
    p.oval(42, 42, r + 4, tone=0.5)
    p.oval(42, 42, r - 2, tone=0.03)
    p.bend(26, 44, 28, 32, 38, 26, weight=1.3)


@subject("camera", spin=6)
def _camera(p: Pen) -> None:
    p.poly(34, 30, 40, 18, 62, 18, 68, 30, tone=0.4)
    p.box(6, 28, 94, 84, tone=0.4, corner=6)
    p.oval(50, 56, p.r(21, 24), tone=0.7)
    p.oval(50, 56, 15, tone=0.15)
    p.oval(50, 56, 7, tone=0.9)
    p.box(76, 34, 88, 42, tone=0.05)
    p.box(14, 22, 26, 28, tone=0.8)


@subject("robot", spin=4)
def _robot(p: Pen) -> None:
    p.line(50, 18, 50, 8, weight=1.6)
    p.dot(50, 7, 3)
    p.box(28, 18, 72, 48, tone=0.2, corner=5)
    for s in (-1, 1):
        p.oval(50 + s * 10, 31, 5, tone=0.05)
        p.dot(50 + s * 10, 31, 2.4)
        p.limb(50 + s * 24, 58, 50 + s * 36, 64, 50 + s * 38, p.r(74, 84), start=3.4, end=3.4,
               tone=0.4)
        p.box(50 + s * 12 - 6, 82, 50 + s * 12 + 6, 96, tone=0.5)
    p.line(41, 42, 59, 42, weight=1.6)
    p.box(26, 52, 74, 84, tone=0.35, corner=4)
    p.box(38, 58, 62, 72, tone=0.05)


@subject("clock", spin=20)
def _clock(p: Pen) -> None:
    r = p.r(37, 42)
    p.oval(50, 50, r, tone=0.4)
    p.oval(50, 50, r - 6, tone=0.02)
    for i in range(12):
        p.line(*polar(50, 50, r - 8, 30 * i), *polar(50, 50, r - 12, 30 * i), weight=1.3)
    p.line(50, 50, *polar(50, 50, r * 0.45, p.r(0, 360)), weight=2.2)
    p.line(50, 50, *polar(50, 50, r * 0.68, p.r(0, 360)), weight=1.5)
    p.dot(50, 50, 2.4)


@subject("planet", "saturn", spin=25)
def _planet(p: Pen) -> None:
    r = p.r(24, 28)
    p.limb(4, 60, 30, 58, 70, 46, 96, 38, start=3, end=3, tone=0.2)
    p.oval(50, 50, r, tone=0.45)
    p.bend(50 - r * 0.9, 42, 50, 40, 50 + r * 0.85, 36, weight=1.2)
    p.limb(4, 60, 10, 67, 36, 66, 68, 56, 94, 44, 96, 38, start=2.4, end=2.4, tone=0.1)
    p.oval(42, 38, 4, tone=0.6)


@subject("notebook", "book", spin=12)
def _book(p: Pen) -> None:
    p.box(20, 8, 82, 94, tone=0.45, corner=3)
    p.box(32, 18, 74, 40, tone=0.04)
    p.line(38, 26, 68, 26)
    p.line(38, 32, 60, 32)
    p.line(28, 8, 28, 94)
    for i in range(p.n(6, 8)):
        p.line(15, 15 + 11 * i, 24, 15 + 11 * i, weight=1.8)
