"""Segments -> the shortest path data that says the same.

Coordinates are whole numbers of 10^-decimals while they are taken apart into relative
steps, so that steps add up to the absolute positions exactly, however long the path.
Each command is written relative or absolute, whichever is shorter; H and V, S and T where
they say the same; letters, separators and leading zeros only where the grammar of SVG 1.1
needs them. Arc flags keep their separators: not every program reads them without.
"""

from collections.abc import Sequence

import numpy as np

from bioicons_kit.svg.path import ARC, CLOSE, CUBIC, LINE, QUAD, Path

# Beyond this many units of the last decimal, float64 no longer tells neighbors apart.
MAX_UNITS = 2.0**52

_Point = tuple[int, int]


def write(path: Path, decimals: int) -> str:
    """Return path data with coordinates rounded to `decimals` (0 or more) places.

    Arcs keep up to three more places in their radii and rotation, which no other
    coordinate depends on.
    """
    assert decimals >= 0
    units = np.rint(path.points * 10.0**decimals)
    quads = np.rint((3 * path.points[:, 1] - path.points[:, 0]) / 2 * 10.0**decimals)
    assert np.abs(units).max(initial=0) < MAX_UNITS
    writer = _Writer(decimals)
    points = units.astype(np.int64).tolist()
    handles = quads.astype(np.int64).tolist()
    kinds = path.kinds.tolist()
    for subpath in path.subpaths:
        x, y = (round(value * 10**decimals) for value in subpath.move)
        is_line = subpath.start < subpath.stop and kinds[subpath.start] == LINE
        writer.move(x, y, is_line)
        for index in range(subpath.start, subpath.stop):
            _, first, second, end = points[index]
            kind = kinds[index]
            if kind == LINE:
                writer.line(*end)
            elif kind == CUBIC:
                writer.cubic((*first, *second, *end))
            elif kind == QUAD:
                writer.quad((*handles[index], *end))
            elif kind == ARC:
                writer.arc(path, index, (end[0], end[1]))
            assert kind != CLOSE or (subpath.closed and index == subpath.stop - 1)
        if subpath.closed:
            writer.close(x, y)
    return "".join(writer.out)


def points(path: Path, decimals: int) -> str:
    """Return the points of one subpath of lines, as `points` of a polygon or polyline has them.

    Lists of points have no compact form that all programs read: separators stay.
    """
    (subpath,) = path.subpaths
    ends = [subpath.move, *path.points[subpath.start : subpath.stop, 3].tolist()]
    if subpath.stop > subpath.start and path.kinds[subpath.stop - 1] == CLOSE:
        ends.pop()
    units = [round(value * 10**decimals) for end in ends for value in end]
    return " ".join(_decimal(value, decimals) for value in units)


class _Writer:
    """Follows what it has written with a current point, as a reader will."""

    def __init__(self, decimals: int) -> None:
        self.out: list[str] = []
        self.decimals = decimals
        self.texts: dict[int, str] = {}
        self.x = self.y = 0
        self.implied = ""  # the command that numbers without a letter would repeat
        self.last_number = ""
        self.handle: _Point | None = None  # where S or T would put its first handle
        self.handle_of = 0

    def move(self, x: int, y: int, before_line: bool) -> None:
        """Begin a subpath; a relative moveto lets relative lines follow without a letter."""
        if not self.out:
            self._put("m" if before_line else "M", self._numbers([x, y]))
        else:
            self._shorter("M", [x, y], [x - self.x, y - self.y])
        self.implied = "l" if self.implied == "m" else "L"
        self._go(x, y)

    def close(self, x: int, y: int) -> None:
        """End a subpath that began at a point."""
        self.out.append("z")
        self.implied = self.last_number = ""
        self._go(x, y)

    def line(self, x: int, y: int) -> None:
        """Write a line to a point."""
        if y == self.y:
            self._shorter("H", [x], [x - self.x])
        elif x == self.x:
            self._shorter("V", [y], [y - self.y])
        else:
            self._shorter("L", [x, y], [x - self.x, y - self.y])
        self._go(x, y)

    def cubic(self, points: Sequence[int]) -> None:
        """Write a cubic: its two handles and its end, x and y in turn."""
        x1, y1, x2, y2, x, y = points
        smooth = self.handle if self.handle_of == CUBIC else (self.x, self.y)
        said = points[2:] if (x1, y1) == smooth else points
        self._curve("S" if len(said) == 4 else "C", said)
        self._go(x, y)
        self.handle, self.handle_of = (2 * x - x2, 2 * y - y2), CUBIC

    def quad(self, points: Sequence[int]) -> None:
        """Write a quadratic: its handle and its end."""
        x1, y1, x, y = points
        smooth = self.handle if self.handle_of == QUAD else (self.x, self.y)
        said = points[2:] if (x1, y1) == smooth else points
        self._curve("T" if len(said) == 2 else "Q", said)
        self._go(x, y)
        self.handle, self.handle_of = (2 * x - x1, 2 * y - y1), QUAD

    def arc(self, path: Path, index: int, end: _Point) -> None:
        """Write an arc."""
        arc = path.arcs[index]
        places = self.decimals + 3
        shape = [_decimal(round(value * 10**places), places) for value in arc[:3]]
        shape += ["1" if flag else "0" for flag in arc[3:]]
        absolute, relative = (
            " ".join(shape + numbers)
            for numbers in (
                self._numbers(end),
                self._numbers([end[0] - self.x, end[1] - self.y]),
            )
        )
        is_shorter = len(absolute) < len(relative)
        self._put("A" if is_shorter else "a", [absolute if is_shorter else relative])
        self._go(*end)

    def _curve(self, letter: str, points: Sequence[int]) -> None:
        here = (self.x, self.y) * 3
        self._shorter(letter, points, [value - here[i] for i, value in enumerate(points)])

    def _go(self, x: int, y: int) -> None:
        self.x, self.y = x, y
        self.handle, self.handle_of = None, 0

    def _numbers(self, units: Sequence[int]) -> list[str]:
        texts, decimals = self.texts, self.decimals
        return [
            texts.get(value) or texts.setdefault(value, _decimal(value, decimals))
            for value in units
        ]

    def _shorter(self, letter: str, absolute: Sequence[int], relative: Sequence[int]) -> None:
        """Write a command in its shorter form; where both are equal, as the one before."""
        said, alternative = self._numbers(relative), self._numbers(absolute)
        one, other = letter.lower(), letter
        text, other_text = self._joined(one, said), self._joined(other, alternative)
        if len(other_text) < len(text):
            one, said, text = other, alternative, other_text
        self._append(one, text, said[-1])

    def _joined(self, letter: str, numbers: list[str]) -> str:
        """Return a command as it stands after what was written."""
        is_implied = letter == self.implied
        text = "" if is_implied else letter
        last = self.last_number if is_implied else None
        for number in numbers:
            first = number[0]
            if last is not None and first != "-" and not (first == "." and "." in last):
                text += " "
            text += number
            last = number
        return text

    def _put(self, letter: str, numbers: list[str]) -> None:
        self._append(letter, self._joined(letter, numbers), numbers[-1].rpartition(" ")[2])

    def _append(self, letter: str, text: str, last_number: str) -> None:
        self.out.append(text)
        self.implied, self.last_number = letter, last_number


def _decimal(units: int, decimals: int) -> str:
    """Write `units` x 10^-decimals with no digit that says nothing."""
    if not units:
        return "0"
    digits = str(abs(units)).rjust(decimals + 1, "0")
    split = len(digits) - decimals
    whole, fraction = digits[:split].lstrip("0"), digits[split:].rstrip("0")
    return ("-" if units < 0 else "") + whole + (f".{fraction}" if fraction else "")
