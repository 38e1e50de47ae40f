"""Organs and other parts of the body."""

# Coordinates read better in lines than in columns.
# fmt: off

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


@subject("brain")
def _brain(p: Pen) -> None:
    p.limb(66, 72, 64, 82, 60, 94, start=6, end=4, tone=0.5)
    p.blob(62, 66, 82, 66, 86, 76, 74, 82, 62, 78, tone=0.55)
    p.blob(6, 48, 12, 28, 30, 14, 54, 10, 78, 18, 93, 38, 92, 58, 78, 68, 58, 70, 42, 76, 26, 70,
           14, 64, tone=0.2)
    for x, y in (
        (20, 36),
        (36, 24),
        (56, 22),
        (74, 32),
        (28, 54),
        (48, 42),
        (66, 50),
        (82, 48),
        (46, 60),
    ):
        u, v, k = x + p.r(-2, 2), y + p.r(-2, 2), p.r(5, 8)
        p.bend(u - k, v + 3, u - k / 2, v - 4, u + 1, v + 3, u + k, v - 3, weight=1.4)


@subject("lungs", "lung", spin=5)
def _lungs(p: Pen) -> None:
    p.box(45, 4, 55, 36, tone=0.15, corner=2)
    for i in range(4):
        p.line(45, 10 + 6 * i, 55, 10 + 6 * i)
    w = p.r(38, 43)
    for s in (-1, 1):
        p.blob(50 + s * 12, 26, 50 + s * 24, 20, 50 + s * w * 0.9, 46, 50 + s * w, 84, 50 + s *
               28, 90, 50 + s * 10, 78, 50 + s * 9, 50, tone=0.4)
        p.limb(50, 34, 50 + s * 12, 44, 50 + s * 24, 56, start=3, end=1.5, tone=0.1)
        for a, b, c, d in ((24, 56, 34, 70), (24, 56, 22, 76), (16, 48, 28, 42), (20, 52, 15, 66)):
            p.line(50 + s * a, b, 50 + s * c, d, weight=1.3)


@subject("heart", spin=8)
def _heart(p: Pen) -> None:
    p.limb(38, 34, 36, 18, 28, 4, start=5, end=5, tone=0.6)
    p.limb(54, 34, 54, 14, 66, 8, 76, 18, start=6, end=5, tone=0.4)
    p.line(58, 9, 58, 1, weight=3)
    p.limb(64, 36, 80, 32, 94, 36, start=4, end=4, tone=0.6)
    k = p.r(-3, 3)
    p.blob(24, 34, 46, 28, 70, 32, 84 + k, 50, 74, 76, 50, 97, 34, 84, 18, 58, tone=0.35)
    p.blob(24, 34, 44, 28, 46, 44, 30, 54, 18, 50, tone=0.55)
    p.bend(58, 40, 52, 58, 56, 74, 50, 88, weight=1.4)
    p.line(54, 54, 68, 64, weight=1.2)
    p.line(54, 66, 40, 74, weight=1.2)


@subject("kidney", spin=15)
def _kidney(p: Pen) -> None:
    for y, tone in ((42.0, 0.6), (52.0, 0.3)):
        p.limb(56, y, 74, y - 2, 96, y - p.r(0, 5), start=3, end=3, tone=tone)
    p.limb(56, 58, 66, 72, 64, 97, start=3, end=2.4, tone=0.15)
    p.blob(60, 12, 76, 24, 68, 40, 58, 50, 66, 62, 72, 78, 56, 92, 32, 88, 16, 66, 15, 38, 32, 14,
           tone=0.45)
    p.blob(56, 22, 64, 28, 58, 40, 50, 50, 56, 62, 60, 74, 50, 82, 36, 78, 26, 62, 26, 40, 38, 24,
           tone=0.12)
    for turn in (110, 145, 180, 215, 250):
        x, y = polar(50, 50, 18, turn)
        p.oval(x, y, 6.5, 4.5, tone=0.5, turn=turn)


@subject("eye", spin=6)
def _eye(p: Pen) -> None:
    up = p.r(20, 26)
    p.limb(12, 22, 40, 10, 74, 10, 92, 24, start=3, end=1, tone=0.7)
    p.blob(3, 56, 24, 56 - up, 50, 50 - up, 76, 56 - up, 97, 56, 76, 54 + up, 50, 60 + up, 24, 54
           + up, tone=0.0)
    r = p.r(18, 21)
    p.oval(50, 55, r, tone=0.4)
    for i in range(16):
        p.line(*polar(50, 55, r * 0.55, i * 22.5), *polar(50, 55, r * 0.92, i * 22.5), weight=0.7)
    p.dot(50, 55, r * 0.5)
    p.oval(56, 49, 3, tone=0.0)
    for x in (14, 28, 42, 58, 72, 86):
        p.line(x, 36 + abs(x - 50) * 0.32, x + (x - 50) * 0.12, 28 + abs(x - 50) * 0.3, weight=1.2)


@subject("stomach", spin=10)
def _stomach(p: Pen) -> None:
    p.limb(40, 2, 42, 16, 46, 32, start=5, end=6, tone=0.3)
    p.limb(30, 76, 16, 72, 10, 84, 8, 98, start=6, end=5, tone=0.3)
    p.blob(44, 28, 58, 14, 80, 16, 92, 38, 86, 66, 66, 86, 40, 88, 22, 82, 22, 68, 40, 66, 52, 52,
           tone=0.35)
    for k in range(p.n(2, 4)):
        p.bend(76 - 7 * k, 28 + 5 * k, 80 - 8 * k, 50 + 2 * k, 62 - 7 * k, 72 + k, weight=1.2)


@subject("tooth", spin=12)
def _tooth(p: Pen) -> None:
    w = p.r(30, 35)
    p.blob(50, 16, 50 + w * 0.7, 8, 50 + w, 26, 50 + w * 0.8, 50, 50 + w * 0.68, 78, 50 + w * 0.5,
           94, 50 + w * 0.28, 76, 50, 60, 50 - w * 0.28, 76, 50 - w * 0.5, 94, 50 - w * 0.68, 78,
           50 - w * 0.8, 50, 50 - w, 26, 50 - w * 0.7, 8, tone=0.08)
    p.bend(50 - w * 0.8, 46, 50 - w * 0.3, 53, 50, 47, 50 + w * 0.3, 53, 50 + w * 0.8, 46)
    if p.maybe():
        p.bend(36, 20, 32, 28, 34, 36)


@subject("bone", spin=70)
def _bone(p: Pen) -> None:
    h = p.r(6, 9)
    p.blob(24, 50 - h, 76, 50 - h, 84, 30, 97, 36, 93, 50, 97, 64, 84, 70, 76, 50 + h, 24, 50 + h,
           16, 70, 3, 64, 7, 50, 3, 36, 16, 30, tone=0.1)
    p.bend(30, 50 + h * 0.4, 50, 50 + h * 0.5, 68, 50 + h * 0.4)


@subject("skull", spin=6)
def _skull(p: Pen) -> None:
    p.box(34, 68, 66, 92, tone=0.12, corner=5)
    w = p.r(34, 38)
    p.blob(50, 6, 50 + w * 0.8, 16, 50 + w, 42, 50 + w * 0.8, 64, 50 + w * 0.4, 76, 50 - w * 0.4,
           76, 50 - w * 0.8, 64, 50 - w, 42, 50 - w * 0.8, 16, tone=0.12)
    for s in (-1, 1):
        p.oval(50 + s * 15, 46, p.r(8, 10.5), 10, tone=0.95)
    p.poly(50, 56, 55, 67, 45, 67, tone=0.95)
    for x in (42, 50, 58):
        p.line(x, 78, x, 92)


@subject("ear", spin=8)
def _ear(p: Pen) -> None:
    p.blob(34, 20, 52, 6, 74, 14, 82, 36, 72, 58, 62, 74, 52, 92, 36, 92, 32, 76, 36, 60, 30, 40,
           tone=0.15)
    p.bend(42, 34, 48, 20, 62, 20, 70, 36, 62, 54, 54, 66, weight=1.6)
    p.bend(46, 44, 56, 38, 58, 50, 48, 58, 50, 68, 42, 74, weight=1.4)


@subject("hand", spin=12)
def _hand(p: Pen) -> None:
    spread = p.r(0.8, 1.4)
    for i, (x, top) in enumerate(((30, 20), (43, 8), (56, 10), (69, 24))):
        tip = x + (i - 1.5) * 5 * spread
        p.limb(x, 60, (x + tip) / 2, 36, tip, top, start=6.5, end=5, tone=0.15)
    p.limb(72, 74, 84, 60, 94, 50, start=7, end=5, tone=0.15)
    p.blob(22, 54, 48, 48, 78, 56, 80, 74, 68, 90, 66, 99, 36, 99, 34, 90, 22, 74, tone=0.15)
    p.bend(34, 72, 50, 64, 62, 70)


@subject("liver", spin=8)
def _liver(p: Pen) -> None:
    k = p.r(-4, 4)
    p.blob(4, 52, 12, 28, 36, 18 + k, 64, 24, 96, 30, 92, 42, 68, 54, 50, 70, 34, 84, 14, 80,
           tone=0.55)
    p.bend(56, 24, 54, 40, 50, 62, weight=1.5)
    p.blob(44, 68, 54, 66, 56, 82, 48, 90, 42, 82, tone=0.3)
