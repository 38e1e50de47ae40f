"""Animals with a backbone, and those of the sea."""

# Coordinates read better in lines than in columns.
# fmt: off

from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.registry import subject


@subject("blue whale", "whale")
def _whale(p: Pen) -> None:
    h = p.r(-4, 4)
    p.blob(78, 48, 88, 36, 96, 30, 92, 38, 99, 42, 88, 46, 84, 56, tone=0.5)
    p.blob(6, 55, 14, 38 + h, 36, 32 + h, 62, 38, 84, 46, 84, 56, 66, 70, 40, 78, 16, 74, tone=0.45)
    p.blob(7, 62, 26, 66, 50, 68, 62, 70, 40, 78, 16, 74, tone=0.08)
    for i in range(p.n(2, 4)):
        p.bend(14 + 4 * i, 70 + 2 * i, 30 + 5 * i, 71 + i, 44 + 5 * i, 71)
    p.blob(42, 66, 52, 68, 50, 84, 40, 86, tone=0.7)
    p.eye(24, 54)
    if p.maybe(0.8):
        p.bend(32, 32 + h, 31, 20, 22, 14, 17, 19)
        p.bend(32, 32 + h, 33, 20, 42, 14, 47, 19)


@subject("zebrafish", "fish")
def _fish(p: Pen) -> None:
    d = p.r(-3, 4)
    p.blob(78, 50, 96, 34, 91, 50, 96, 66, tone=0.5)
    p.blob(44, 38 - d, 58, 22, 70, 30, 66, 42, tone=0.5)
    p.blob(46, 62, 54, 76, 64, 74, 62, 60, tone=0.5)
    p.blob(5, 51, 22, 37 - d, 46, 34 - d, 68, 42, 82, 50, 68, 58, 46, 66 + d, 22, 63 + d, tone=0.2)
    for i in range(p.n(3, 4)):
        p.bend(34, 42 + 5 * i, 52, 41 + 5 * i, 78, 47 + 2 * i, weight=1.6)
    p.bend(29, 39, 33, 50, 29, 61)
    p.eye(18, 47)
    p.bend(6, 53, 11, 56, 15, 55)


@subject("octopus")
def _octopus(p: Pen) -> None:
    arms = 8 if p.maybe(0.7) else 6
    for i in range(arms):
        s = -1 if i < arms / 2 else 1
        k = i % (arms // 2)
        x = 50 + s * (8 + 5 * k)
        far = 50 + s * (14 + 11 * k)
        p.limb(x, 58, far, 74 - 7 * k, far + s * 6, 88 - 11 * k, far + s * p.r(9, 13), 80 - 12 *
               k, start=5, end=1.5, tone=0.4)
    w = p.r(19, 24)
    p.blob(50, 10, 50 + w, 24, 50 + w * 0.9, 44, 66, 62, 50, 66, 34, 62, 50 - w * 0.9, 44, 50 - w,
           24, tone=0.35)
    for s in (-1, 1):
        p.eye(50 + s * 9, 46, 3)
    p.bend(44, 54, 50, 57, 56, 54)


@subject("rabbit")
def _rabbit(p: Pen) -> None:
    lean = p.r(-5, 5)
    p.oval(86, 66, 6, tone=0.05)
    p.blob(26 + lean, 30, 20 + lean, 12, 24 + lean, 4, 32 + lean, 12, 35, 30, tone=0.4)
    p.blob(34 + lean, 30, 36 + lean, 10, 43 + lean, 3, 46 + lean, 14, 42, 32, tone=0.4)
    p.blob(36, 48, 56, 46, 76, 54, 86, 70, 82, 86, 60, 88, 40, 86, 34, 66, tone=0.4)
    p.blob(60, 66, 74, 62, 82, 74, 76, 86, 60, 84, tone=0.45)
    p.oval(70, 88, 13, 4.5, tone=0.1)
    p.oval(40, 88, 9, 4, tone=0.1)
    p.blob(14, 46, 22, 32, 36, 29, 46, 40, 44, 54, 30, 60, 17, 56, tone=0.35)
    p.eye(27, 42, 2.4)
    p.dot(14, 48, 1.8)
    for i in range(p.n(0, 3)):
        p.line(18, 52, 6, 49 + 4 * i)


@subject("mouse")
def _mouse(p: Pen) -> None:
    p.bend(84, 70, 94, 66, 95, 50, p.r(84, 92), p.r(34, 46), weight=1.6)
    p.blob(8, 64, 20, 50, 36, 44, 56, 34 + p.r(-4, 4), 78, 42, 88, 62, 84, 76, 60, 80, 30, 78,
           tone=0.3)
    p.oval(44, 80, 7, 3.5, tone=0.1)
    p.oval(72, 80, 9, 3.5, tone=0.1)
    p.oval(40, 40, p.r(9, 13), tone=0.35)
    p.oval(40, 41, 6, tone=0.1)
    p.eye(24, 57, 2.2)
    p.dot(8, 64, 2.4)
    for i in range(p.n(0, 3)):
        p.line(14, 66, 2, 60 + 6 * i, weight=0.6)
    p.bend(62, 74, 58, 62, 70, 56, weight=0.8)


@subject("frog")
def _frog(p: Pen) -> None:
    w = p.r(-3, 3)
    for s in (-1, 1):
        p.blob(50 + s * 20, 62, 50 + s * (40 + w), 60, 50 + s * 42, 82, 50 + s * 22, 86, tone=0.5)
        p.blob(50 + s * 18, 84, 50 + s * 46, 84, 50 + s * 46, 92, 50 + s * 20, 91, tone=0.4)
    p.blob(28, 50, 72, 50, 76, 74, 62, 88, 38, 88, 24, 74, tone=0.35)
    p.blob(38, 56, 62, 56, 62, 82, 38, 82, tone=0.05)
    for s in (-1, 1):
        p.limb(50 + s * 14, 66, 50 + s * 12, 80, 50 + s * 12, 90, start=4.5, end=4, tone=0.4)
        p.oval(50 + s * 19, 20, p.r(9, 11), tone=0.4)
    p.blob(50, 20, 70, 26, 80 + w, 40, 70, 54, 50, 58, 30, 54, 20 - w, 40, 30, 26, tone=0.4)
    for s in (-1, 1):
        p.oval(50 + s * 19, 20, 6, tone=0.0)
        p.dot(50 + s * 19, 20, 3)
    p.bend(28, 40, 40, 46, 50, 47, 60, 46, 72, 40)


@subject("songbird", "bird", "robin")
def _bird(p: Pen) -> None:
    p.blob(60, 62, 92, 70, 97, 80, 84, 78, 58, 74, tone=0.6)
    for x in (44, 52):
        p.line(x, 76, x + 1, 92, x - 5, 94)
        p.line(x + 1, 92, x + 6, 94)
    p.blob(18, 28, 30, 14, 46, 18, 56, 34, 74, 52, 70, 70, 52, 80, 32, 76, 22, 58, 22, 42, tone=0.3)
    p.blob(24, 46, 34, 50, 42, 66, 38, 76, 26, 68, tone=0.1)
    p.blob(44, 42, 60, 46, 84, 68, 62, 68, 46, 60, tone=0.55)
    p.bend(52, 60, 64, 62, 72, 62)
    p.poly(20, 26, 6, 30 + p.r(-3, 3), 20, 35, tone=0.6)
    p.eye(29, 27, 2.2)


@subject("chick")
def _chick(p: Pen) -> None:
    for x in (46, 56):
        p.line(x, 84, x, 94, x - 5, 96)
        p.line(x, 94, x + 5, 96)
    p.blob(74, 58, 94, 46, 92, 62, 80, 74, tone=0.2)
    p.oval(54, 64, p.r(27, 31), 23, tone=0.2)
    p.oval(38, 34, p.r(17, 20), tone=0.2)
    p.poly(21, 30, 8, 36, 22, 41, tone=0.6)
    p.eye(33, 30, 2.2)
    p.blob(52, 58, 76, 58, 70, 74, 56, 72, tone=0.4)
    for x in range(p.n(1, 3)):
        p.bend(38, 16, 36 + 3 * x, 10, 34 + 5 * x, 6)


@subject("sea turtle", "turtle", spin=25)
def _turtle(p: Pen) -> None:
    p.blob(44, 24, 44, 8, 50, 3, 56, 8, 56, 24, tone=0.35)
    for s in (-1, 1):
        p.blob(50 + s * 18, 28, 50 + s * 36, 22, 50 + s * 48, 40, 50 + s * 40, 50, 50 + s * 32,
               40, 50 + s * 20, 40, tone=0.4)
        p.blob(50 + s * 16, 72, 50 + s * 30, 80, 50 + s * 28, 94, 50 + s * 16, 86, tone=0.4)
        p.dot(50 + s * 3.5, 10, 1.4)
    w = p.r(24, 28)
    p.poly(46, 84, 54, 84, 50, 96, tone=0.4)
    p.blob(50, 18, 50 + w * 0.8, 30, 50 + w, 54, 50 + w * 0.6, 78, 50, 88, 50 - w * 0.6, 78, 50 -
           w, 54, 50 - w * 0.8, 30, tone=0.55)
    p.poly(42, 34, 58, 34, 63, 46, 58, 58, 42, 58, 37, 46, tone=0.3)
    p.poly(42, 62, 58, 62, 60, 72, 50, 80, 40, 72, tone=0.3)
    for s in (-1, 1):
        p.line(50 + s * 13, 46, 50 + s * w * 0.98, 48)
        p.line(50 + s * 9, 60, 50 + s * w * 0.75, 68)
        p.line(50 + s * 8, 34, 50 + s * 14, 24)


@subject("axolotl")
def _axolotl(p: Pen) -> None:
    for s in (-1, 1):
        for i in range(3):
            p.limb(50 + s * 22, 24 + 5 * i, 50 + s * 36, 14 + 12 * i, 50 + s * 45, 8 + 15 * i,
                   start=2.5, end=1, tone=0.6)
        p.limb(50 + s * 10, 54, 50 + s * 28, 56, 50 + s * 33, p.r(62, 70), start=4, end=2,
               tone=0.15)
        p.limb(50 + s * 10, 74, 50 + s * 24, 78, 50 + s * 29, p.r(84, 90), start=4, end=2,
               tone=0.15)
    p.blob(40, 44, 60, 44, 62, 66, 56, 82, 50, 98, 44, 82, 38, 66, tone=0.15)
    p.blob(50, 8, 70, 13, 77, 28, 66, 42, 50, 46, 34, 42, 23, 28, 30, 13, tone=0.12)
    for s in (-1, 1):
        p.dot(50 + s * 16, 26, 3)
    p.bend(38, 32, 50, 38, 62, 32)
    for i in range(p.n(0, 3)):
        p.oval(50, 54 + 10 * i, 2, tone=0.5)


@subject("cat")
def _cat(p: Pen) -> None:
    p.limb(72, 84, 90, 80, 92, 62, p.r(82, 94), 50, start=4, end=2.5, tone=0.5)
    p.blob(38, 46, 62, 46, 76, 70, 76, 92, 28, 92, 30, 66, tone=0.4)
    p.line(44, 92, 45, 74)
    p.line(57, 92, 56, 74)
    p.poly(26, 28, 27, 6, 44, 17, tone=0.5)
    p.poly(74, 28, 73, 6, 56, 17, tone=0.5)
    p.oval(50, 32, p.r(25, 28), 20, tone=0.4)
    for s in (-1, 1):
        p.eye(50 + s * 10, 29, 2.4)
        for i in range(3):
            p.line(50 + s * 8, 39, 50 + s * 32, 34 + 5 * i, weight=0.6)
    p.poly(47, 36, 53, 36, 50, 40, tone=0.8)
    p.bend(44, 43, 48, 44, 50, 40, 52, 44, 56, 43)


@subject("snake")
def _snake(p: Pen) -> None:
    a = p.r(-4, 4)
    p.limb(20, 20, 40, 16 + a, 62, 22, 70, 36, 50, 46 + a, 28, 52, 24, 68, 44, 78 + a, 66, 76, 90,
           84, start=6.5, end=1, tone=0.4)
    for i in range(4):
        p.line(36 + 8 * i, 12 + a * 0.6 + i, 38 + 8 * i, 24, weight=0.7)
    p.oval(17, 22, 11, 8, tone=0.4, turn=p.r(-20, 10))
    p.line(7, 24, 0, 25)
    p.line(0, 25, -4, 22)
    p.line(0, 25, -4, 29)
    p.eye(15, 20, 1.8)


@subject("elephant")
def _elephant(p: Pen) -> None:
    p.bend(91, 46, 96, 56, 94, 68)
    for x in (46, 58, 72, 82):
        p.box(x - 6, 62, x + 6, 92, tone=0.4, corner=2)
    p.blob(36, 36, 58, 26 + p.r(-3, 3), 84, 34, 93, 52, 88, 72, 64, 76, 42, 72, tone=0.35)
    p.limb(24, 44, 12, 58, 10, 76, p.r(12, 20), 88, start=8, end=3, tone=0.35)
    p.oval(30, 38, 18, 17, tone=0.35)
    p.blob(34, 24, 50, 26, 56, 42, 48, 58, 36, 52, tone=0.5)
    p.bend(20, 54, 26, 66, 16, 72, weight=1.8)
    p.eye(22, 35, 2)


@subject("jellyfish")
def _jellyfish(p: Pen) -> None:
    w = p.r(30, 37)
    for i in range(p.n(5, 8)):
        x = 50 + (i - 3) * 9
        p.bend(x, 46, x + p.r(-6, 6), 60, x + p.r(-6, 6), 76, x + p.r(-6, 6), p.r(84, 97),
               weight=1.3)
    for s in (-1, 1):
        p.limb(50 + s * 6, 46, 50 + s * 11, 62, 50 + s * 4, 78, start=4, end=1, tone=0.3)
    p.blob(50, 8, 50 + w * 0.8, 18, 50 + w, 44, 50 + w * 0.5, 50, 50, 46, 50 - w * 0.5, 50, 50 -
           w, 44, 50 - w * 0.8, 18, tone=0.2)
    p.bend(50 - w * 0.7, 36, 50, 31, 50 + w * 0.7, 36)
    for s in (-1, 0, 1):
        p.oval(50 + s * 13, 24, 4, 5, tone=0.5)


@subject("starfish", spin=180)
def _starfish(p: Pen) -> None:
    inner = p.r(16, 21)
    flat: list[float] = []
    for i in range(5):
        for radius, turn in ((43.0, 0), (39.0, 7), (inner, 36), (39.0, 65)):
            flat.extend(polar(50, 52, radius, -90 + 72 * i + turn))
    p.blob(*flat, tone=0.35)
    for i in range(5):
        for k in range(p.n(2, 4)):
            x, y = polar(50, 52, 9 + 9 * k, -90 + 72 * i)
            p.oval(x, y, 2.4 - 0.3 * k, tone=0.7)


@subject("squid", spin=30)
def _squid(p: Pen) -> None:
    for i in range(6):
        x = 38 + 5 * i
        p.limb(x, 66, x + (i - 2.5) * 3, 80, x + (i - 2.5) * 5, p.r(86, 96), start=2.2, end=1,
               tone=0.4)
    for s in (-1, 1):
        p.bend(50 + s * 10, 66, 50 + s * 26, 80, 50 + s * 24, 95)
        p.poly(50 + s * 8, 8, 50 + s * 32, 30, 50 + s * 12, 36, tone=0.5)
    p.blob(50, 2, 62, 18, 65, 44, 60, 56, 40, 56, 35, 44, 38, 18, tone=0.3)
    p.oval(50, 62, 13, 8, tone=0.3)
    for s in (-1, 1):
        p.eye(50 + s * 9, 61, 2.6)


@subject("bat")
def _bat(p: Pen) -> None:
    up = p.r(-6, 6)
    for s in (-1, 1):
        p.poly(50 + s * 6, 42, 50 + s * 26, 24 + up, 50 + s * 49, 34 + up, 50 + s * 44, 62, 50 + s
               * 36, 52, 50 + s * 28, 66, 50 + s * 20, 55, 50 + s * 12, 68, 50 + s * 6, 60,
               tone=0.6)
        p.line(50 + s * 26, 24 + up, 50 + s * 28, 66)
        p.line(50 + s * 26, 24 + up, 50 + s * 44, 62)
        p.poly(50 + s * 2, 28, 50 + s * 10, 14, 50 + s * 10, 32, tone=0.7)
    p.oval(50, 56, 9, 18, tone=0.5)
    p.oval(50, 35, 10, tone=0.5)
    for s in (-1, 1):
        p.eye(50 + s * 4, 34, 1.7)
