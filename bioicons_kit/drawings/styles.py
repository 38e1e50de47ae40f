"""Marks -> SVG, in one of five generic styles.

None of them is the shipped icons' own, flat areas of color without lines on white: that one is
what a LoRA is to learn.
"""

import math
import random
from collections.abc import Callable, Sequence

from bioicons_kit.drawings.pen import Mark, Points

Style = Callable[[Sequence[Mark], random.Random], str]

_CRAYONS = (
    "#d2342f",
    "#e8822b",
    "#e3b81f",
    "#4f9d45",
    "#2f7fc1",
    "#3c4fa8",
    "#7d4b9e",
    "#a0623a",
    "#d05a93",
    "#444444",
    "#2a9a94",
)
_BLUES = ("#123f7c", "#1b4f95", "#1d5aa8", "#17487f", "#0f3a6e", "#22609f")


def outline(marks: Sequence[Mark], rng: random.Random) -> str:
    """Black lines of one width on white."""
    width, ink = rng.uniform(1.9, 3.0), _gray(rng.uniform(0.88, 1))
    cap = rng.choice(("round", "round", "butt"))
    shapes = [
        _path(
            mark,
            ink if mark.solid else "#fff" if mark.closed else "none",
            ink,
            width * min(mark.weight, 1.6),
        )
        for mark in marks
    ]
    return _svg(shapes, "#ffffff", cap)


def hatched(marks: Sequence[Mark], rng: random.Random) -> str:
    """Thin lines; areas are darkened by parallel strokes, the closer the darker."""
    width, ink = rng.uniform(1.2, 1.8), _gray(rng.uniform(0.88, 1))
    angle, cross = rng.uniform(35, 55), rng.random() < 0.2
    patterns, shapes = [], []
    for index, mark in enumerate(marks):
        fill = ink if mark.solid else "#fff" if mark.closed else "none"
        if mark.tone is not None and not mark.solid and mark.tone > 0.04:
            gap = 6.4 - 2.4 * mark.tone + rng.uniform(-0.3, 0.3)
            turn = angle + (90 if cross and mark.tone > 0.25 else 0)
            stroke = 1.1 + 0.7 * mark.tone
            patterns.append(
                f'<pattern id="h{index}" width="{gap:.2f}" height="{gap:.2f}" '
                f'patternUnits="userSpaceOnUse" patternTransform="rotate({turn:.0f})">'
                f'<rect width="{gap:.2f}" height="{gap:.2f}" fill="#fff"/>'
                f'<rect width="{gap:.2f}" height="{stroke:.2f}" fill="{ink}"/></pattern>'
            )
            fill = f"url(#h{index})"
        shapes.append(_path(mark, fill, ink, width * min(mark.weight, 1.5)))
    return _svg([f"<defs>{''.join(patterns)}</defs>", *shapes], "#ffffff")


def shaded(marks: Sequence[Mark], rng: random.Random) -> str:
    """Soft grays with light from one side, hardly a line."""
    light = rng.choice(((0, 0, 1, 1), (0, 0, 0, 1)))
    line, soft = rng.uniform(0.5, 1.1), rng.uniform(0.16, 0.3)
    gradients, shapes = [], []
    x1, y1, x2, y2 = light
    for index, mark in enumerate(marks):
        if mark.tone is None:
            shapes.append(_path(mark, "none", _gray(rng.uniform(0.5, 0.66)), 1.5 * mark.weight))
            continue
        tone = 0.1 + 0.68 * mark.tone
        first, last = _gray(max(tone - soft, 0.02)), _gray(min(tone + soft, 0.95))
        gradients.append(
            f'<linearGradient id="g{index}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}">'
            f'<stop offset="0" stop-color="{first}"/><stop offset="1" stop-color="{last}"/>'
            "</linearGradient>"
        )
        fill = _gray(0.9) if mark.solid else f"url(#g{index})"
        shapes.append(_path(mark, fill, _gray(min(tone + 0.25, 0.9)), line))
    return _svg([f"<defs>{''.join(gradients)}</defs>", *shapes], "#ffffff")


def childlike(marks: Sequence[Mark], rng: random.Random) -> str:
    """Unsteady crayon lines, a few colors, areas scribbled over."""
    colors = rng.sample(_CRAYONS, rng.randint(2, 3))
    width, shake, shapes = rng.uniform(2.2, 3.2), rng.uniform(0.4, 0.8), []
    for index, mark in enumerate(marks):
        color = rng.choice(colors)
        wobbly = _shaken(mark.points, shake, rng)
        drawn = Mark(wobbly, mark.closed, mark.tone, mark.weight, mark.solid)
        if mark.closed and not mark.solid:
            shapes.append(_path(drawn, "#fff", "none", 0))
            if mark.tone is not None and mark.tone > 0.12 and rng.random() < 0.85:
                scribble = _scribble(wobbly, rng.uniform(3.0, 4.6), rng)
                shapes.append(f'<clipPath id="c{index}"><path d="{_d(wobbly, True)}"/></clipPath>')
                shapes.append(
                    f'<path clip-path="url(#c{index})" d="{_d(scribble, False)}" fill="none" '
                    f'stroke="{color}" stroke-width="{rng.uniform(1.3, 2.1):.2f}" '
                    'stroke-opacity="0.75"/>'
                )
        shapes.append(
            _path(drawn, color if mark.solid else "none", color, width * min(mark.weight, 1.4))
        )
    return _svg(shapes, "#ffffff")


def blueprint(marks: Sequence[Mark], rng: random.Random) -> str:
    """Pale lines on blue, over a grid, with the measures of the whole."""
    ground, ink = rng.choice(_BLUES), rng.choice(("#ffffff", "#e6f0ff", "#cfe2fb"))
    step, width = rng.choice((12.5, 20.0)), rng.uniform(1.5, 2.3)
    at = [step * i for i in range(1, int(100 / step) + 1)]
    grid = "".join(f"M{v} 0V100M0 {v}H100" for v in at)
    shapes = [f'<path d="{grid}" stroke="{ink}" stroke-opacity="0.22" stroke-width="0.5"/>']
    for mark in marks:
        fill = ink if mark.solid else ground if mark.closed else "none"
        shapes.append(_path(mark, fill, ink, width * min(mark.weight, 1.5)))
    if rng.random() < 0.7:
        xs = [x for mark in marks for x, _ in mark.points]
        low, high, y = max(min(xs), 1), min(max(xs), 99), 97.5
        shapes.append(
            f'<path d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 2}v4M{high:.1f} {y - 2}v4"'
            f" "
            f'stroke="{ink}" stroke-width="0.8"/>'
        )
    return _svg(shapes, ground)


STYLES: dict[str, Style] = {
    "outline": outline,
    "hatched": hatched,
    "shaded": shaded,
    "child-like": childlike,
    "blueprint": blueprint,
}


def _svg(shapes: Sequence[str], ground: str, cap: str = "round") -> str:
    """Return the document of 100 x 100."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="100" height="100" '
        f'stroke-linejoin="round" stroke-linecap="{cap}" fill="none">'
        f'<rect width="100" height="100" fill="{ground}"/>{"".join(shapes)}</svg>'
    )


def _path(mark: Mark, fill: str, stroke: str, width: float) -> str:
    """Return a mark as a path element."""
    d = _d(mark.points, mark.closed)
    return f'<path d="{d}" fill="{fill}" stroke="{stroke}" stroke-width="{width:.2f}"/>'


def _d(points: Points, closed: bool) -> str:
    """Return path data."""
    body = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{body}{'Z' if closed else ''}"


def _gray(tone: float) -> str:
    """Return a gray, 0 white to 1 black."""
    level = round(255 * (1 - tone))
    return f"#{level:02x}{level:02x}{level:02x}"


def _shaken(points: Points, amount: float, rng: random.Random) -> Points:
    """Return every second or third point, moved a little: a hand that is not steady."""
    step = 2 if len(points) > 14 else 1
    return tuple((x + rng.gauss(0, amount), y + rng.gauss(0, amount)) for x, y in points[::step])


def _scribble(points: Points, gap: float, rng: random.Random) -> Points:
    """Return a zigzag over the box around some points."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    slope, y, side, result = rng.uniform(-0.5, 0.5), top - 5.0, 0, []
    while y < bottom + 5:
        x = (left - 1, right + 1)[side] + rng.uniform(-1.5, 1.5)
        result.append((x, y + slope * (x - (left + right) / 2)))
        side, y = 1 - side, y + gap / 2 * rng.uniform(0.8, 1.2)
    return tuple(result) if math.isfinite(slope) else ()
