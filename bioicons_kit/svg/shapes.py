"""Basic shapes -> the paths that they are, by the equivalents of SVG 2, chapter 10.

Lengths in `%` depend on the viewport and are not resolved: such shapes have no path here.
"""

import re
from typing import Any

from bioicons_kit.svg import path
from bioicons_kit.svg.path import Path
from bioicons_kit.svg.tree import local
from bioicons_kit.svg.viewport import signed_length

_POINT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def as_path(element: Any, known: dict[str, Path] | None = None) -> Path | None:
    """Return the outline of a shape element; None where it has none, or none that is sure.

    `known` holds path data that have been read already, and gets those that are read now.
    """
    name = local(element)
    if name == "path":
        data = element.get("d", "")
        if known is None:
            return path.parse(data)
        if data not in known:
            known[data] = path.parse(data)
        return known[data]
    if name in {"polygon", "polyline"}:
        return _poly(element.get("points", ""), closed=name == "polygon")
    build = {"rect": _rect, "circle": _circle, "ellipse": _ellipse, "line": _line}[name]
    data = build(element)
    return None if data is None else path.parse(data)


def _poly(points: str, closed: bool) -> Path | None:
    """Return the path of a list of points; None where the list is not valid."""
    numbers = _POINT.findall(points)
    rest = re.sub(r"[\s,]+", "", _POINT.sub("", points))
    if rest or len(numbers) % 2 or len(numbers) < 4:
        return None
    return path.parse("M" + " ".join(numbers) + ("z" if closed else ""))


def _lengths(element: Any, *names: str) -> list[float] | None:
    """Return lengths in px, 0 where they are missing; None if one of them is not known."""
    found = [signed_length(element.get(name, "0")) for name in names]
    return None if None in found else [value for value in found if value is not None]


def _line(element: Any) -> str | None:
    ends = _lengths(element, "x1", "y1", "x2", "y2")
    return None if ends is None else "M{!r} {!r}L{!r} {!r}".format(*ends)


def _rect(element: Any) -> str | None:
    box = _lengths(element, "x", "y", "width", "height")
    radii = _lengths(element, "rx", "ry")
    if box is None or radii is None or min(box[2:]) <= 0 or min(radii) < 0:
        return None
    x, y, width, height = box
    rx = radii[0] if element.get("rx") else radii[1]
    ry = radii[1] if element.get("ry") else radii[0]
    rx, ry = min(rx, width / 2), min(ry, height / 2)
    if rx == 0 or ry == 0:
        return f"M{x!r} {y!r}H{x + width!r}V{y + height!r}H{x!r}z"
    turn = f"a{rx!r} {ry!r} 0 0 1 "
    return (
        f"M{x + rx!r} {y!r}H{x + width - rx!r}{turn}{rx!r} {ry!r}V{y + height - ry!r}"
        f"{turn}{-rx!r} {ry!r}H{x + rx!r}{turn}{-rx!r} {-ry!r}V{y + ry!r}{turn}{rx!r} {-ry!r}z"
    )


def _circle(element: Any) -> str | None:
    numbers = _lengths(element, "cx", "cy", "r")
    return None if numbers is None else _around(numbers[0], numbers[1], numbers[2], numbers[2])


def _ellipse(element: Any) -> str | None:
    numbers = _lengths(element, "cx", "cy", "rx", "ry")
    return None if numbers is None else _around(numbers[0], numbers[1], numbers[2], numbers[3])


def _around(x: float, y: float, rx: float, ry: float) -> str | None:
    """Return an ellipse as two arcs; None if it has no size."""
    if rx <= 0 or ry <= 0:
        return None
    arc = f"a{rx!r} {ry!r} 0 0 1 "
    return f"M{x + rx!r} {y!r}{arc}{-2 * rx!r} 0{arc}{2 * rx!r} 0z"
