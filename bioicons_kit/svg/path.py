"""Path data -> segments in arrays.

The grammar is that of SVG 2, chapter 9.3 (which takes all that SVG 1.1 takes): implicit
repetition, compact numbers and arc flags, exponents. What follows an error is not drawn,
what comes before it is (9.5.4); `Path.error` tells where it is.

Every segment has a cubic. A line has its thirds as control points, a quadratic is raised
in degree. An arc's cubic holds only its ends: `curves` gives cubics that follow it. The
line that a `z` draws is a segment of the kind `CLOSE`; a `z` at the start point draws none.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioicons_kit.svg import geometry
from bioicons_kit.svg.geometry import Arc, Floats

LINE, QUAD, CUBIC, ARC, CLOSE = range(5)

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SPACE = r"[ \t\r\n\f]"
_GAP = rf"{_SPACE}*+,?{_SPACE}*+"
_COMMANDS = re.compile(r"([MmZzLlHhVvCcSsQqTtAa])")
_ONE = re.compile(_NUMBER)
_LIST = re.compile(rf"{_SPACE}*+(?:(?>{_NUMBER})(?:{_GAP}(?>{_NUMBER}))*+)?+{_SPACE}*+")
_ARC = re.compile(
    rf"({_NUMBER}){_GAP}({_NUMBER}){_GAP}({_NUMBER}){_GAP}([01]){_GAP}([01]){_GAP}"
    rf"({_NUMBER}){_GAP}({_NUMBER})(?:{_GAP}(?=[-+.\d]))?"
)
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
_THIRD = 1 / 3
# Of the coordinates, what 10^5 relative steps may miss their aim by, in floating point.
_ROUNDING = 1e-10


class Subpath(NamedTuple):
    """Segments `start` to `stop` (excluded) of a path, where they begin, whether closed."""

    start: int
    stop: int
    closed: bool
    move: tuple[float, float]


@dataclass(frozen=True)
class Path:
    """Segments: `kinds` [n], control points [n, 4, 2], the arcs by segment, subpaths.

    `error` is the offset at which the data stop being valid; None where they do not.
    """

    kinds: NDArray[np.int8]
    points: Floats
    arcs: dict[int, Arc]
    subpaths: tuple[Subpath, ...]
    error: int | None = None

    @property
    def nodes(self) -> int:
        """The points a person sees in an editor: every move and every segment's end."""
        return len(self.subpaths) + int((self.kinds != CLOSE).sum())


def parse(data: str) -> Path:
    """Parse path data; never raises."""
    reader = _Reader()
    parts = _COMMANDS.split(data)
    position = len(parts[0])
    error = 0 if parts[0].strip(" \t\r\n\f") else None
    for command, text in zip(parts[1::2], parts[2::2], strict=True):
        if error is not None:
            break
        fault = reader.command(command, text)
        error = None if fault is None else position + 1 + fault
        position += 1 + len(text)
    return reader.finish(error)


def curves(path: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Return cubics [m, 4, 2] that follow the path, and each one's segment [m].

    They are exact but for arcs, which are within `geometry.ARC_ERROR` x their radius.
    """
    if not path.arcs:
        return path.points, np.arange(len(path.kinds))
    parts: list[Floats] = []
    owners: list[NDArray[np.int64]] = []
    last = 0
    for index, arc in sorted(path.arcs.items()):
        cubics = geometry.arc_cubics(path.points[index, ::3], arc)
        parts += [path.points[last:index], cubics]
        owners += [np.arange(last, index), np.full(len(cubics), index)]
        last = index + 1
    parts.append(path.points[last:])
    owners.append(np.arange(last, len(path.kinds)))
    return np.concatenate(parts), np.concatenate(owners)


class _Reader:
    """Follows the commands with a current point, as a renderer does."""

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.points: list[tuple[float, ...]] = []
        self.arcs: dict[int, Arc] = {}
        self.subpaths: list[Subpath] = []
        self.first = 0  # segment at which the open subpath starts
        self.start: tuple[float, float] | None = None
        self.x = self.y = 0.0
        self.handle_x = self.handle_y = 0.0  # the last curve's, for S and T
        self.last = ""
        self.is_open = False

    def command(self, letter: str, text: str) -> int | None:
        """Take one command with all its repetitions; return the offset of an error."""
        upper = letter.upper()
        if self.start is None and upper != "M":
            return 0
        if upper == "Z":
            self._close()
            return None if not text.strip(" \t\r\n\f") else 0
        if upper == "A":
            return self._arc_list(letter, text)
        valid = _LIST.match(text)
        assert valid is not None  # it matches the empty string
        numbers = [float(number) for number in _ONE.findall(text, 0, valid.end())]
        size = _ARGUMENTS[upper]
        usable = len(numbers) - len(numbers) % size
        if not all(map(math.isfinite, numbers)):
            return 0
        draw = getattr(self, f"_draw_{upper.lower()}")
        self.last = "" if upper == "M" else self.last
        relative = letter != upper
        for offset in range(0, usable, size):
            draw(relative, *numbers[offset : offset + size])
        is_whole = valid.end() == len(text) and usable == len(numbers) > 0
        return None if is_whole else valid.end()

    def finish(self, error: int | None) -> Path:
        """Return what was read."""
        self._end(closed=False)
        points = np.array(self.points, dtype=np.float64).reshape(-1, 4, 2)
        kinds = np.array(self.kinds, dtype=np.int8)
        return Path(kinds, points, self.arcs, tuple(self.subpaths), error)

    def _end(self, closed: bool) -> None:
        """End the open subpath."""
        if self.is_open:
            assert self.start is not None
            self.subpaths.append(Subpath(self.first, len(self.kinds), closed, self.start))
        self.first = len(self.kinds)
        self.is_open = False

    def _add(self, kind: int, *points: float) -> None:
        """Add a segment from the current point: x, y of two handles and the end."""
        if not self.is_open:  # drawing goes on after a z: a new subpath at its start
            self.start, self.is_open = (self.x, self.y), True
        self.kinds.append(kind)
        self.points.append((self.x, self.y, *points))
        self.x, self.y = points[4:]

    def _line(self, kind: int, x: float, y: float) -> None:
        dx, dy = (x - self.x) * _THIRD, (y - self.y) * _THIRD
        self._add(kind, self.x + dx, self.y + dy, x - dx, y - dy, x, y)
        self.last = ""

    def _close(self) -> None:
        """Draw the closing line, if there is any way to go, and end the subpath."""
        assert self.start is not None
        if math.dist((self.x, self.y), self.start) > _ROUNDING * max(map(abs, self.start)):
            self._line(CLOSE, *self.start)
        elif self.is_open and len(self.points) > self.first:  # where many small steps ended
            self.points[-1] = (*self.points[-1][:6], *self.start)
        if not self.is_open and self.last == "z":
            return  # z z closes nothing
        self.is_open = True
        self._end(closed=True)
        self.x, self.y = self.start
        self.last = "z"

    def _draw_m(self, relative: bool, x: float, y: float) -> None:
        if self.last == "m":  # further pairs after a moveto are lines
            self._draw_l(relative, x, y)
            self.last = "m"
            return
        self._end(closed=False)
        self.x, self.y = (self.x + x, self.y + y) if relative else (x, y)
        self.start, self.is_open = (self.x, self.y), True
        self.last = "m"

    def _draw_l(self, relative: bool, x: float, y: float) -> None:
        self._line(LINE, *((self.x + x, self.y + y) if relative else (x, y)))

    def _draw_h(self, relative: bool, x: float) -> None:
        self._line(LINE, self.x + x if relative else x, self.y)

    def _draw_v(self, relative: bool, y: float) -> None:
        self._line(LINE, self.x, self.y + y if relative else y)

    def _draw_c(self, relative: bool, *numbers: float) -> None:
        x1, y1, x2, y2, x, y = numbers
        if relative:
            x1, x2, x = x1 + self.x, x2 + self.x, x + self.x
            y1, y2, y = y1 + self.y, y2 + self.y, y + self.y
        self._add(CUBIC, x1, y1, x2, y2, x, y)
        self.handle_x, self.handle_y, self.last = x2, y2, "c"

    def _draw_s(self, relative: bool, x2: float, y2: float, x: float, y: float) -> None:
        x1, y1 = self._reflected("c")
        dx, dy = (self.x, self.y) if relative else (0.0, 0.0)
        self._draw_c(False, x1, y1, x2 + dx, y2 + dy, x + dx, y + dy)

    def _draw_q(self, relative: bool, x1: float, y1: float, x: float, y: float) -> None:
        dx, dy = (self.x, self.y) if relative else (0.0, 0.0)
        self._quad(x1 + dx, y1 + dy, x + dx, y + dy)

    def _draw_t(self, relative: bool, x: float, y: float) -> None:
        dx, dy = (self.x, self.y) if relative else (0.0, 0.0)
        self._quad(*self._reflected("q"), x + dx, y + dy)

    def _quad(self, x1: float, y1: float, x: float, y: float) -> None:
        two = 2 * _THIRD
        self._add(
            QUAD, self.x + (x1 - self.x) * two, self.y + (y1 - self.y) * two,
            x + (x1 - x) * two, y + (y1 - y) * two, x, y,
        )  # fmt: skip
        self.handle_x, self.handle_y, self.last = x1, y1, "q"

    def _reflected(self, after: str) -> tuple[float, float]:
        """Return the handle that a smooth command implies."""
        if self.last != after:
            return self.x, self.y
        return 2 * self.x - self.handle_x, 2 * self.y - self.handle_y

    def _arc_list(self, letter: str, text: str) -> int | None:
        position = len(text) - len(text.lstrip(" \t\r\n\f"))
        count = 0
        while match := _ARC.match(text, position):
            values = [float(group) for group in match.groups()]
            if not all(map(math.isfinite, values)):
                return position
            self._draw_a(letter == "a", values)
            position, count = match.end(), count + 1
        is_whole = count > 0 and not text[position:].strip(" \t\r\n\f")
        return None if is_whole else position

    def _draw_a(self, relative: bool, values: list[float]) -> None:
        rx, ry, rotation, large, sweep, x, y = values
        if relative:
            x, y = self.x + x, self.y + y
        if (x, y) == (self.x, self.y):
            return  # the specification: as if it were not there
        if rx == 0 or ry == 0:
            self._line(LINE, x, y)
            return
        self.arcs[len(self.kinds)] = Arc(abs(rx), abs(ry), rotation, bool(large), bool(sweep))
        self._line(ARC, x, y)
