"""Plants, mushrooms and fruit."""

# Coordinates read better in lines than in columns.
# fmt: off

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


@subject("tree", spin=4)
def _tree(p: Pen) -> None:
    p.blob(42, 96, 46, 74, 44, 56, 56, 56, 54, 74, 60, 96, tone=0.6)
    flat: list[float] = []
    for i in range(10):
        turn = 36 * i
        x, y = polar(50, 36, 1, turn)
        k = p.r(0.9, 1.1)
        flat.extend((50 + (x - 50) * 43 * k, 36 + (y - 36) * 29 * k))
    p.blob(*flat, tone=0.35)
    p.line(50, 66, 38, 48, weight=1.4)
    p.line(50, 62, 62, 46, weight=1.4)
    for _ in range(p.n(3, 7)):
        p.oval(50 + p.r(-30, 30), 34 + p.r(-18, 16), 2.4, tone=0.7)


@subject("cactus", spin=4)
def _cactus(p: Pen) -> None:
    left, right = p.r(30, 44), p.r(26, 40)
    p.limb(46, 66, 28, 66, 22, 58, 22, left, start=6, end=6, tone=0.35)
    p.limb(54, 56, 74, 56, 79, 48, 79, right, start=5.5, end=5.5, tone=0.35)
    p.box(38, 12, 62, 92, tone=0.35, corner=11.8)
    for x in (44.0, 50.0, 56.0):
        p.line(x, 20, x, 90, weight=0.8)
    for _ in range(p.n(4, 9)):
        x, y = 50 + p.r(-9, 9), p.r(22, 86)
        p.line(x - 2, y - 2, x + 2, y + 2, weight=0.7)
    p.limb(14, 92, 86, 92, start=2.5, end=2.5, tone=0.6)
    if p.maybe():
        for turn in (-130, -90, -50):
            p.oval(*polar(50, 11, 5, turn), 3, tone=0.15)


@subject("leaf", spin=40)
def _leaf(p: Pen) -> None:
    w = p.r(26, 32)
    p.line(8, 92, 26, 74, weight=2.6)
    p.blob(24, 76, 50 - w, 50 - w * 0.2, 52 - w * 0.4, 22, 94, 6, 80, 48, 56 + w * 0.3, 76,
           tone=0.35)
    p.line(24, 76, 88, 12, weight=1.4)
    for i in range(p.n(4, 5)):
        x, y = 36 + 10 * i, 64 - 10 * i
        p.line(x, y, x - 2 + i, y - 18 + i * 2)
        p.line(x, y, x + 18 - i * 2, y + 2 - i)


@subject("flower", spin=6)
def _flower(p: Pen) -> None:
    p.limb(50, 44, 50 + p.r(-3, 3), 70, 50, 97, start=1.8, end=1.8, tone=0.5)
    p.blob(50, 86, 62, 72, 82, 70, 74, 84, tone=0.45)
    p.blob(50, 92, 38, 80, 20, 80, 28, 92, tone=0.45)
    petals = p.n(5, 7)
    for i in range(petals):
        turn = -90 + i * 360 / petals
        p.oval(*polar(50, 30, 16, turn), p.r(11, 13), 8, tone=0.2, turn=turn)
    p.oval(50, 30, 8.5, tone=0.65)


@subject("arabidopsis", spin=4)
def _arabidopsis(p: Pen) -> None:
    for s in (-1, 1):
        p.blob(50, 88, 50 + s * 22, 72, 50 + s * 46, 78, 50 + s * 38, 90, tone=0.5)
        p.blob(50, 92, 50 + s * 18, 86, 50 + s * 34, 93, 50 + s * 18, 97, tone=0.4)
    p.line(50, 90, 50, 16, weight=1.8)
    for x, y, base in ((30, 36, 58), (70, 40, 62), (36, 22, 40), (64, 24, 44)):
        p.bend(50, base, (50 + x) / 2, base - 8, x, y, weight=1.4)
    for x, y in ((30, 35), (70, 39), (36, 21), (64, 23), (50, 13)):
        for turn in (0, 90, 180, 270):
            p.oval(*polar(x, y, 4, turn + 45), 3.4, tone=0.15)
        p.oval(x, y, 2, tone=0.7)
    for x, y in ((38, 64), (62, 70)):
        p.limb(50, y + 6, x, y, start=2.4, end=0.6, tone=0.4)


@subject("mushroom", "fungus", spin=8)
def _mushroom(p: Pen) -> None:
    w = p.r(36, 43)
    p.blob(40, 50, 60, 50, 60, 74, 65, 94, 35, 94, 40, 74, tone=0.08)
    p.blob(50 - w, 52, 50 - w * 0.8, 26, 50, 8, 50 + w * 0.8, 26, 50 + w, 52, 50, 58, tone=0.45)
    for x, y in ((34, 36), (52, 24), (66, 40), (50, 44)):
        p.oval(x + p.r(-4, 4), y + p.r(-3, 3), p.r(3, 6), tone=0.03)
    p.bend(40, 64, 50, 68, 60, 64)


@subject("fern", spin=15)
def _fern(p: Pen) -> None:
    bend = p.r(-8, 8)
    count = p.n(8, 10)
    for i in range(count):
        y = 84 - 8 * i
        size = 30 * (1 - i / (count + 2))
        mid = 50 + bend * (i / count) ** 2
        for s in (-1, 1):
            p.blob(mid, y, mid + s * size * 0.5, y - size * 0.35 - 3, mid + s * size, y - size *
                   0.45, mid + s * size * 0.55, y - size * 0.1, tone=0.45)
    p.bend(50, 98, 50, 60, 50 + bend * 0.4, 30, 50 + bend, 6, weight=1.5)


@subject("seedling", "sprout", spin=8)
def _seedling(p: Pen) -> None:
    p.blob(14, 84, 50, 74, 86, 84, 84, 94, 16, 94, tone=0.65)
    p.limb(50, 84, 50 + p.r(-3, 3), 62, 50, 42, start=2.4, end=1.8, tone=0.4)
    p.blob(50, 44, 62, 22, 90, 14, 84, 36, 64, 46, tone=0.35)
    p.blob(50, 48, 38, 30, 12, 26, 18, 46, 36, 52, tone=0.35)
    p.bend(50, 44, 66, 32, 80, 22)
    p.bend(50, 48, 36, 40, 22, 34)


@subject("apple", spin=8)
def _apple(p: Pen) -> None:
    w = p.r(34, 39)
    p.bend(50, 28, 51, 16, 58, 5, weight=2.4)
    p.blob(54, 16, 68, 4, 84, 8, 74, 20, tone=0.5)
    p.blob(50, 28, 50 + w * 0.6, 22, 50 + w, 42, 50 + w * 0.84, 72, 50 + w * 0.4, 94, 50, 90, 50 -
           w * 0.4, 94, 50 - w * 0.84, 72, 50 - w, 42, 50 - w * 0.6, 22, tone=0.35)
    p.bend(26, 42, 23, 54, 28, 66)


@subject("wheat", spin=12)
def _wheat(p: Pen) -> None:
    p.bend(50, 98, 50, 70, 50, 12, weight=1.6)
    for i in range(p.n(5, 6)):
        y = 66 - 10 * i
        for s in (-1, 1):
            p.oval(50 + s * 8, y - 4, 8, 4, tone=0.3, turn=s * -55)
            p.line(50 + s * 12, y - 11, 50 + s * p.r(18, 24), y - 24, weight=0.7)
    p.oval(50, 10, 4, 7, tone=0.3)
    p.blob(50, 92, 60, 76, 76, 70, 66, 86, tone=0.5)


@subject("carrot", spin=40)
def _carrot(p: Pen) -> None:
    for turn in (-125, -105, -90, -72, -55):
        p.limb(50, 30, *polar(50, 30, 14, turn), *polar(50, 30, p.r(24, 29), turn), start=1.5,
               end=2.5, tone=0.6)
    w = p.r(14, 18)
    p.blob(50, 26, 50 + w, 32, 50 + w * 0.7, 60, 52, 97, 48, 97, 50 - w * 0.7, 60, 50 - w, 32,
           tone=0.35)
    for x, y in ((42, 42), (52, 52), (44, 62), (50, 74)):
        p.line(x, y, x + 8, y + 1)
