"""The window a browser shows an SVG through, and the canvas it is put on.

Sizes follow CSS and SVG 2, chapter 8: lengths in CSS pixels, percentages and missing
lengths taken from the viewBox. The original window becomes a nested `<svg>` in the
middle of a canvas, so that the renderer scales and clips as a browser would.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg.tree import SVG, XLINK

# The longer side of the canvas, at least. Renderers scale it; it only has to be a sane
# number for them, whatever the original's units were.
CANVAS = 1024

# CSS pixels (1/96 in); an em is 16 px where no font size is set.
_UNITS = {
    **{"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "mm": 96 / 25.4},
    **{"cm": 96 / 2.54, "q": 96 / 101.6, "em": 16.0, "rem": 16.0, "ex": 8.0},
}
_FLOAT = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_LENGTH = re.compile(rf"({_FLOAT})([a-zA-Z]*)")
_ASPECT = re.compile(r"(?:none|x(?:Min|Mid|Max)Y(?:Min|Mid|Max))(?: (?:meet|slice))?")

# Lengths outside this, in px, are mistakes; within it, sums and ratios stay exact enough.
_SHORTEST, _LONGEST = 1e-3, 1e9


@dataclass(frozen=True)
class Window:
    """The size a browser shows a root at, in px, and what of the drawing it shows there."""

    width: float
    height: float
    viewbox: tuple[float, float, float, float]
    aspect: str

    def put(self, element: Any, x: float, y: float, width: float, height: float) -> None:
        """Make the `<svg>` `element` this window, scaled to a place in its parent."""
        for name, value in (("x", x), ("y", y), ("width", width), ("height", height)):
            element.set(name, _number(value))
        element.set("viewBox", " ".join(map(_number, self.viewbox)))
        element.set("overflow", "hidden")
        if self.aspect:
            element.set("preserveAspectRatio", self.aspect)


def of(root: Any) -> Window | None:
    """Return the window of a root element; None where it does not say how large it is.

    Raises:
        DocumentError: its size is zero, or one that no drawing can have.
    """
    width, height = length(root.get("width")), length(root.get("height"))
    box = _four_numbers(root.get("viewBox"))
    if width == 0 or height == 0 or (box and min(box[2:]) <= 0):
        raise DocumentError("its width or height is zero")
    if box is None and width is not None and height is not None:
        box = (0.0, 0.0, width, height)
    if box is None:
        return None
    _check_range(*box)
    if width is None and height is None:
        width, height = box[2:]
    elif width is None:
        assert height is not None
        width = height * box[2] / box[3]
    elif height is None:
        height = width * box[3] / box[2]
    _check_range(0, 0, width, height)
    return Window(width, height, box, aspect(root))


def around(box: tuple[float, float, float, float]) -> Window:
    """Return the window that shows a drawing with these bounds (x, y, width, height) whole.

    Raises:
        DocumentError: no drawing can be that large or that small.
    """
    x, y, width, height = box
    side = max(width, height)  # a line of no width is given as much room as it is long
    if min(width, height) < side / 1000:
        x, y, width, height = x - (side - width) / 2, y - (side - height) / 2, side, side
    _check_range(x, y, width, height)
    return Window(width, height, (x, y, width, height), "")


def canvas(size: tuple[int, int] = (1, 1)) -> tuple[Any, Any]:
    """Return a canvas as wide and high as `size` (only the ratio matters) and a root in it."""
    unit = math.ceil(CANVAS / max(size))  # whole numbers, so that resvg rounds nothing
    width, height = str(size[0] * unit), str(size[1] * unit)
    outer = etree.Element(f"{{{SVG}}}svg", nsmap={None: SVG, "xlink": XLINK})
    outer.set("width", width)
    outer.set("height", height)
    outer.set("viewBox", f"0 0 {width} {height}")
    return outer, etree.SubElement(outer, f"{{{SVG}}}svg")


def frame(outer: Any, window: Window, margin: float) -> None:
    """Put a window in the middle of its canvas.

    Args:
        outer: what `canvas` returned, with the window's content in its only child.
        window: what the original root shows.
        margin: share of the canvas's shorter side that is left free on each side.
    """
    full = float(outer.get("width")), float(outer.get("height"))
    free = 2 * margin * min(full)
    scale = min((full[0] - free) / window.width, (full[1] - free) / window.height)
    width, height = window.width * scale, window.height * scale
    window.put(outer[0], (full[0] - width) / 2, (full[1] - height) / 2, width, height)


def _check_range(x: float, y: float, width: float, height: float) -> None:
    """Refuse coordinates that a drawing cannot have."""
    if max(abs(x), abs(y), width, height) > _LONGEST or min(width, height) < _SHORTEST:
        raise DocumentError(f"its size is out of reach: {width:g} x {height:g}")


def aspect(element: Any) -> str:
    """Return an element's preserveAspectRatio; "" where it is missing or nonsense."""
    words = element.get("preserveAspectRatio", "").split()
    return " ".join(words) if _ASPECT.fullmatch(" ".join(words)) else ""


def length(text: str | None) -> float | None:
    """Return a length in px; None where it is missing, relative, negative or nonsense."""
    value = signed_length(text)
    return value if value is not None and value >= 0 else None


def shown(root: Any) -> tuple[float, float, float, float] | None:
    """Return the part of the drawing that a root shows, in its units; None if it has no size."""
    try:
        window = of(root)
    except DocumentError:
        return None
    return None if window is None else window.viewbox


def signed_length(text: str | None) -> float | None:
    """Return a coordinate in px; None where it is missing, relative or nonsense."""
    match = _LENGTH.fullmatch((text or "").strip())
    if match is None or match[2].lower() not in _UNITS:
        return None
    return float(match[1]) * _UNITS[match[2].lower()]


def _four_numbers(text: str | None) -> tuple[float, float, float, float] | None:
    """Return the four numbers of a viewBox; None where it is missing or nonsense."""
    parts = re.split(r"\s*,\s*|\s+", (text or "").strip())
    if len(parts) != 4 or not all(re.fullmatch(_FLOAT, part) for part in parts):
        return None
    x, y, width, height = map(float, parts)
    return (x, y, width, height)


def _number(value: float) -> str:
    """Write a number with the digits that matter and no exponent."""
    assert math.isfinite(value)
    return f"{value:.9f}".rstrip("0").rstrip(".")
