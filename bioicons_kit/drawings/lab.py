"""What stands on a laboratory's bench."""

# Coordinates read better in lines than in columns.
# fmt: off

from bioicons_kit.drawings.pen import Pen
from bioicons_kit.drawings.registry import subject


def _scale(p: Pen, x: float, top: float, bottom: float) -> None:
    """Draw a vessel's marks of volume."""
    count = p.n(3, 5)
    for i in range(count):
        y = top + (bottom - top) * i / count
        p.line(x, y, x + (7 if i % 2 else 4.5), y)


@subject("microscope", spin=6)
def _microscope(p: Pen) -> None:
    p.box(18, 86, 84, 95, tone=0.8, corner=3)
    p.blob(52, 22, 74, 32, 82, 56, 74, 80, 62, 88, 56, 82, 68, 68, 70, 52, 62, 38, 48, 36,
           tone=0.35)
    p.box(18, 66, 60, 72, tone=0.7)
    p.line(40, 72, 40, 86, weight=2)
    p.oval(68, 54, p.r(5, 7.5), tone=0.15)
    lean = p.r(4, 8)
    p.poly(30 - lean, 6, 46 - lean, 2, 52, 26, 36, 30, tone=0.5)
    p.poly(33, 28, 56, 22, 60, 42, 40, 47, tone=0.3)
    p.poly(42, 46, 54, 43, 55, 58, 48, 60, tone=0.8)


@subject("bunsen burner", "burner", spin=4)
def _burner(p: Pen) -> None:
    p.bend(58, 84, 76, 74, 86, 88, 99, 80, weight=2.4)
    p.blob(50, 2, 62, 20, 62, 34, 50, 41, 38, 34, 38, 20, tone=0.3)
    p.blob(50, 16, 56, 28, 50, 38, 44, 28, tone=0.02)
    p.box(44, 41, 56, 82, tone=0.2)
    p.box(41, p.r(66, 70), 59, 76, tone=0.6, corner=1)
    p.poly(40, 82, 60, 82, 70, 94, 30, 94, tone=0.7)


@subject("test tube", spin=30)
def _tube(p: Pen) -> None:
    w = p.r(10, 14)
    p.box(50 - w, 8, 50 + w, 95, tone=0.03, corner=w * 0.98)
    level = p.r(40, 62)
    p.blob(50 - w + 2, level, 50, level - 1, 50 + w - 2, level, 50 + w - 2, 80, 50 + w * 0.5, 91,
           50, 93, 50 - w * 0.5, 91, 50 - w + 2, 80, tone=0.45)
    p.box(50 - w - 4, 4, 50 + w + 4, 12, tone=0.5, corner=2)
    _scale(p, 50, 20, level)
    for _ in range(p.n(0, 4)):
        p.oval(50 + p.r(-w, w) * 0.5, p.r(level + 8, 84), p.r(1.5, 2.8), tone=0.1)


@subject("erlenmeyer flask", "flask", "conical flask", spin=6)
def _erlenmeyer(p: Pen) -> None:
    w, level = p.r(36, 42), p.r(52, 72)
    p.poly(41, 10, 59, 10, 59, 36, 50 + w, 88, 50 + w - 6, 94, 50 - w + 6, 94, 50 - w, 88, 41, 36,
           tone=0.03)
    at = 9 + (w - 9) * (level - 36) / 52 - 3
    p.poly(50 - at, level, 50 + at, level, 50 + w - 4, 86, 50 + w - 8, 91, 50 - w + 8, 91, 50 - w
           + 4, 86, tone=0.45)
    p.box(37, 4, 63, 11, tone=0.5, corner=2)
    _scale(p, 50, 34, level)
    for _ in range(p.n(1, 4)):
        p.oval(50 + p.r(-20, 20), p.r(level + 6, 86), p.r(2, 4), tone=0.15)


@subject("round bottom flask", "round flask", spin=8)
def _round_flask(p: Pen) -> None:
    r = p.r(28, 32)
    p.oval(50, 64, r, tone=0.03)
    p.box(41, 10, 59, 40, tone=0.03)
    level = p.r(54, 68)
    half = (r**2 - (level - 64) ** 2) ** 0.5 - 3
    p.blob(50 - half, level, 50 + half, level, 50 + r * 0.72, 64 + r * 0.52, 50, 61 + r, 50 - r *
           0.72, 64 + r * 0.52, tone=0.5)
    p.box(37, 4, 63, 11, tone=0.5, corner=2)
    for _ in range(p.n(1, 4)):
        p.oval(50 + p.r(-14, 14), p.r(level + 5, 86), p.r(2, 4), tone=0.15)


@subject("beaker", spin=5)
def _beaker(p: Pen) -> None:
    w, level = p.r(28, 34), p.r(40, 66)
    p.poly(50 - w - 7, 10, 50 + w, 10, 50 + w, 90, 50 + w - 4, 94, 50 - w + 4, 94, 50 - w, 90, 50
           - w, 18, tone=0.03)
    p.poly(50 - w + 3, level, 50 + w - 3, level, 50 + w - 3, 90, 50 - w + 3, 90, tone=0.4)
    _scale(p, 50 + w * 0.3, 24, 84)
    p.line(50 - w - 7, 10, 50 + w + 3, 10, weight=1.8)


@subject("micropipette", "pipette", spin=35)
def _pipette(p: Pen) -> None:
    p.box(46, 2, 54, 14, tone=0.5, corner=2)
    p.poly(54, 18, 68, 14, 70, 30, 64, 30, 60, 24, 54, 28, tone=0.5)
    w = p.r(8, 10)
    p.box(50 - w, 13, 50 + w, 48, tone=0.6, corner=4)
    p.box(46, 24, 54, 40, tone=0.05)
    for i in range(3):
        p.line(47, 28 + 4 * i, 53, 28 + 4 * i)
    p.poly(50 - w * 0.7, 48, 50 + w * 0.7, 48, 53, 72, 47, 72, tone=0.4)
    p.poly(46.5, 72, 53.5, 72, 51, 92, 49, 92, tone=0.1)
    if p.maybe(0.6):
        p.oval(50, 96, 2.2, 3, tone=0.4)


@subject("petri dish", spin=5)
def _petri(p: Pen) -> None:
    h = p.r(22, 28)
    p.oval(50, 58, 46, h, tone=0.4)
    p.oval(50, 50, 46, h, tone=0.05)
    p.oval(50, 50, 39, h * 0.8, tone=0.25)
    for _ in range(p.n(6, 10)):
        p.oval(50 + p.r(-28, 28), 50 + p.r(-0.5, 0.5) * h, p.r(2, 5), p.r(1.5, 3.4), tone=p.r(0.5,
               0.8))


@subject("well plate", spin=4)
def _wells(p: Pen) -> None:
    columns, rows = p.n(5, 7), 4
    p.box(4, 20, 96, 82, tone=0.35, corner=4)
    p.line(4, 76, 96, 76)
    for i in range(columns):
        for k in range(rows):
            x, y = 12 + 76 * (i + 0.5) / columns, 23 + 50 * (k + 0.5) / rows
            p.oval(x, y, min(76 / columns, 50 / rows) * 0.4, tone=p.rng.choice((0.05, 0.6, 0.8)))


@subject("centrifuge", spin=3)
def _centrifuge(p: Pen) -> None:
    p.blob(18, 54, 20, 18, 50, 8 + p.r(-3, 3), 80, 18, 82, 54, tone=0.06)
    for x in (22, 78):
        p.box(x - 6, 90, x + 6, 96, tone=0.9)
    p.box(8, 54, 92, 91, tone=0.4, corner=6)
    p.oval(50, 52, 40, 9, tone=0.7)
    p.oval(50, 50, 22, 5, tone=0.2)
    for x in (34, 42, 50, 58, 66):
        p.line(x, 49, x, 43, weight=2)
    p.box(18, 68, 46, 84, tone=0.9, corner=2)
    p.bend(21, 77, 27, 73, 32, 79, 38, 73, 43, 77)
    p.oval(66, 76, 7, tone=0.05)
    p.line(66, 76, 69, 71)
    p.oval(82, 71, 2.4, tone=0.7)


@subject("balance", "scales", spin=3)
def _balance(p: Pen) -> None:
    tilt = p.r(-8, 8)
    p.box(28, 90, 72, 96, tone=0.8, corner=2)
    p.limb(50, 14, 50, 90, start=1.6, end=3.4, tone=0.4)
    p.limb(12, 24 + tilt, 50, 18, 88, 24 - tilt, start=2, end=2, tone=0.7)
    p.oval(50, 14, 4, tone=0.5)
    for x, y in ((16, 24 + tilt), (84, 24 - tilt)):
        p.line(x, y, x - 12, y + 34)
        p.line(x, y, x + 12, y + 34)
        p.poly(x - 14, y + 34, x + 14, y + 34, x + 8, y + 43, x - 8, y + 43, tone=0.5)
        if p.maybe(0.7):
            p.oval(x + p.r(-3, 3), y + 30, 4, tone=0.3)


@subject("syringe", spin=50)
def _syringe(p: Pen) -> None:
    push = p.r(0, 12)
    p.line(50, 76, 50, 98, weight=1.4)
    p.poly(46, 68, 54, 68, 52, 77, 48, 77, tone=0.6)
    p.box(47.5, 4 + push, 52.5, 40, tone=0.5)
    p.box(38, 2 + push, 62, 6 + push, tone=0.6)
    p.box(40, 26, 60, 68, tone=0.03)
    p.box(41, 40 + push, 59, 67, tone=0.4)
    p.box(41, 36 + push, 59, 40 + push, tone=0.9)
    p.box(33, 23, 67, 27, tone=0.6)
    for i in range(5):
        p.line(60, 34 + 7 * i, 55, 34 + 7 * i)


@subject("thermometer", spin=25)
def _thermometer(p: Pen) -> None:
    level = p.r(24, 60)
    p.box(43, 4, 57, 84, tone=0.03, corner=6.9)
    p.oval(50, 84, p.r(11, 13), tone=0.5)
    p.box(47, level, 53, 84, tone=0.6)
    for i in range(p.n(6, 8)):
        p.line(58, 12 + 8 * i, 65 if i % 2 else 70, 12 + 8 * i)


@subject("funnel", spin=10)
def _funnel(p: Pen) -> None:
    w = p.r(34, 40)
    p.poly(50 - w, 16, 50 + w, 16, 55, 58, 54, 94, 46, 88, 45, 58, tone=0.2)
    p.oval(50, 16, w, 7, tone=0.05)
    p.line(45, 58, 55, 58)


@subject("magnet", spin=40)
def _magnet(p: Pen) -> None:
    t = p.r(9, 11)
    p.limb(22, 16, 22, 54, 34, 76, 50, 82, 66, 76, 78, 54, 78, 16, start=t, end=t, tone=0.5)
    for x in (22, 78):
        p.box(x - t, 8, x + t, 24, tone=0.05)


@subject("mortar", "mortar and pestle", spin=6)
def _mortar(p: Pen) -> None:
    p.limb(62, 34, 72, 18, 80, 4, start=4, end=6, tone=0.3)
    p.blob(10, 38, 90, 38, 86, 62, 70, 82, 50, 86, 30, 82, 14, 62, tone=0.35)
    p.oval(50, 38, 41, p.r(6, 8.5), tone=0.1)
    p.limb(58, 42, 62, 34, start=5, end=4, tone=0.3)
    p.box(32, 84, 68, 93, tone=0.5, corner=2)
