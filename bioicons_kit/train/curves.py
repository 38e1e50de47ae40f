"""Curves as SVG in a page: no script, no library, colors of the page's own style.

A chart is a fixed drawing of 720 x 240 units that the page scales. Everything in it is
numbers or escaped text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioicons_kit.icons.folder.page import text

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 10, 26  # margins
_TICKS = 5  # about
_MOST_POINTS = 1200  # of a line; more could not be told apart
# Of the lines that are not faint: blue, orange, green, purple, red, teal, brown, gray.
COLORS = ("#3b6fd4", "#d9822b", "#3f9b58", "#8a5bc7", "#cf4a4a", "#2b9aa3", "#9a6b3f", "#7d8694")

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve: its name, its points `(x, y)` by rising x, and whether it is in the background."""

    name: str
    points: Sequence[Point]
    is_faint: bool = False


def chart(lines: Sequence[Line], about: str) -> str:
    """Return curves over one pair of axes, with a legend where there are several.

    Points that are no finite numbers are left out; without any, a line says so.
    """
    kept = [Line(each.name, _thinned(_finite(each.points)), each.is_faint) for each in lines]
    points = [point for each in kept for point in each.points]
    if not points:
        return f'<p class="note">{text(about)}: no numbers.</p>'
    xs, ys = _axis([x for x, _ in points]), _axis([y for _, y in points])
    drawn, colors = [], iter(COLORS * len(kept))
    legend = []
    for line in kept:
        color = COLORS[0] if line.is_faint else next(colors)
        drawn.append(_path(line, xs, ys, color))
        opacity = ";opacity:.35" if line.is_faint else ""
        legend.append(f'<span style="color:{color}{opacity}">&#9644;</span> {text(line.name)}')
    named = " &ensp; ".join(legend) if len(kept) > 1 else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(about)}" '
        'style="width:100%;height:auto;font-size:11px;display:block">'
        f"<title>{text(about)}</title>{_grid(xs, ys)}{''.join(drawn)}</svg>"
        f"<small>{named}</small>\n"
    )


def smoothed(points: Sequence[Point], window: int) -> list[Point]:
    """Return the mean of the last `window` finite values at each point."""
    kept = _finite(points)
    sums = [0.0]
    for _, y in kept:
        sums.append(sums[-1] + y)
    found = []
    for number, (x, _) in enumerate(kept, 1):
        first = max(0, number - window)
        found.append((x, (sums[number] - sums[first]) / (number - first)))
    return found


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers, about five, of which the first and last enclose `low` and `high`."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * each for each in (1, 2, 5, 10) if power * each * _TICKS >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        first, last = first - 1, last + 1
    return [number * step for number in range(first, last + 1)]


def _axis(values: Sequence[float]) -> list[float]:
    """Return an axis' ticks."""
    return ticks(min(values), max(values))


def _finite(points: Sequence[Point]) -> list[Point]:
    """Return the points that can be drawn."""
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return as many points as can be told apart, of each stretch its lowest and highest."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    size = math.ceil(2 * len(points) / _MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = {min(part, key=lambda each: each[1]), max(part, key=lambda each: each[1])}
        kept.extend(sorted(ends))
    return kept


def _place(value: float, axis: Sequence[float], low: float, high: float) -> float:
    """Return where a value is drawn between `low` and `high`."""
    return low + (value - axis[0]) / (axis[-1] - axis[0]) * (high - low)


def _x(value: float, axis: Sequence[float]) -> float:
    return _place(value, axis, _LEFT, _WIDTH - _RIGHT)


def _y(value: float, axis: Sequence[float]) -> float:
    return _place(value, axis, _HEIGHT - _BOTTOM, _TOP)


def _path(line: Line, xs: Sequence[float], ys: Sequence[float], color: str) -> str:
    """Return a curve; a single point is a dot."""
    places = [(_x(x, xs), _y(y, ys)) for x, y in line.points]
    if len(places) == 1:
        return f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3" fill="{color}"/>'
    d = "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    width, opacity = (1, 0.35) if line.is_faint else (2, 1)
    return (
        f'<path d="{d}" fill="none" stroke="{color}" stroke-width="{width}" '
        f'opacity="{opacity}" stroke-linejoin="round"/>'
    )


def _grid(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return the lines behind the curves, with their numbers."""
    parts = []
    for value in ys:
        y = _y(value, ys)
        parts.append(
            f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" style="stroke:var(--line)"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" '
            f'style="fill:var(--soft)">{number(value)}</text>'
        )
    parts += [
        f'<text x="{_x(value, xs):.1f}" y="{_HEIGHT - 8}" text-anchor="middle" '
        f'style="fill:var(--soft)">{number(value)}</text>'
        for value in xs
        if value >= 0
    ]
    return "".join(parts)


def number(value: float) -> str:
    """Return a number in few characters."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}".replace("e-0", "e-")
    return f"{value:,.4g}"
