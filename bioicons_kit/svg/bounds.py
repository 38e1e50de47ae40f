"""How far a drawing reaches, for the rare root that says neither its size nor its viewBox.

Outlines are followed exactly but for 1/32 of a curve's parameter, strokes are taken at half
their width on every side, text is estimated from its size and number of letters, and
clips, masks and markers are not heeded: the box may be somewhat large, and cuts no shape.
Give it only a document whose cost is known (`cost.check`): it follows `<use>`.
"""

from typing import Any

import numpy as np

from bioicons_kit.svg import computed, geometry, path, shapes
from bioicons_kit.svg.geometry import Affine, Floats
from bioicons_kit.svg.tree import XLINK, local
from bioicons_kit.svg.viewport import length, signed_length

Box = tuple[float, float, float, float]

_GROUPS = {"g", "a", "svg", "symbol", "switch"}
_SHAPES = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon"}
_TIMES = np.linspace(0.0, 1.0, 33)
_LETTER = 0.6  # the width of a letter, in font sizes


def of(root: Any) -> Box | None:
    """Return x, y, width and height of what an element's children draw; None for nothing."""
    walker = _Walker(root)
    for child in root:
        walker.visit(child, Affine(), {})
    if not walker.corners:
        return None
    points = np.concatenate(walker.corners)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = map(float, high - low)
    return (float(low[0]), float(low[1]), width, height)


class _Walker:
    """Collects points that enclose what is drawn, in the root's units."""

    def __init__(self, root: Any) -> None:
        self.corners: list[Floats] = []
        self._rules = computed.sheet(root)
        self._by_id = {element.get("id"): element for element in root.iter()}

    def visit(self, element: Any, above: Affine, inherited: computed.Style) -> None:
        """Add an element and what is in it."""
        style = computed.computed(element, inherited, self._rules)
        own = geometry.transform(element.get("transform", "")) or Affine()
        here, name = above @ own, local(element)
        if style.get("display") == "none":
            return
        if name in _SHAPES:
            self._shape(element, here, style)
        elif name in {"text", "image"}:
            self._box(_text_box(element, style) if name == "text" else _image_box(element), here)
        elif name == "use":
            target = self._by_id.get(element.get(f"{{{XLINK}}}href", "")[1:])
            if target is not None:
                self.visit(target, here @ _shift(element), style)
        elif name in _GROUPS:
            inside = here @ _shift(element) if name == "svg" else here
            for child in element:
                self.visit(child, inside, style)

    def _shape(self, element: Any, here: Affine, style: computed.Style) -> None:
        """Add a shape's outline, and its stroke's width around it."""
        outline = shapes.as_path(element)
        if outline is None or not len(outline.kinds):
            return
        cubics, _ = path.curves(outline)
        points = geometry.at(cubics, np.tile(_TIMES, (len(cubics), 1))).reshape(-1, 2)
        is_stroked = style.get("stroke", "none") != "none"
        width = (length(style.get("stroke-width")) or 0.0) if is_stroked else 0.0
        mapped, half = here.on(points), here.norm * width / 2
        self.corners += [mapped - half, mapped + half]

    def _box(self, box: Box | None, here: Affine) -> None:
        """Add a box, if there is one."""
        if box is not None:
            x, y, width, height = box
            corners = [[x, y], [x + width, y], [x, y + height], [x + width, y + height]]
            self.corners.append(here.on(np.array(corners)))


def _shift(element: Any) -> Affine:
    """Return by how much a <use> or an inner <svg> moves what it holds."""
    x, y = (signed_length(element.get(name, "0")) or 0.0 for name in ("x", "y"))
    return Affine(1, 0, 0, 1, x, y)


def _image_box(element: Any) -> Box | None:
    """Return the box of a picture; None where it does not say how large it is."""
    width, height = length(element.get("width")), length(element.get("height"))
    if not width or not height:
        return None
    return (*_shift(element)[4:], width, height)


def _text_box(element: Any, style: computed.Style) -> Box | None:
    """Return about where a text stands, by its size and number of letters."""
    letters = "".join(element.itertext()).strip()
    size = length(style.get("font-size")) or 16.0
    starts = [_shift(each)[4:] for each in element.iter() if each.get("x") or each.get("y")]
    if not letters:
        return None
    xs, ys = zip(*(starts or [(0.0, 0.0)]), strict=True)
    width = _LETTER * size * len(letters)
    left = {"middle": width / 2, "end": width}.get(style.get("text-anchor", ""), 0.0)
    height = max(ys) - min(ys) + 1.2 * size
    return (min(xs) - left, min(ys) - size, max(xs) - min(xs) + width, height)
