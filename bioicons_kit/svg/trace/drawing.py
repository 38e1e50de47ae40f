"""A traced picture -> an SVG file that people can edit: plain SVG 1.1, colors as classes.

Each flat color is one class in the style sheet, named after what it looks like, so that an
icon is recolored in one place. The same color stands in the `fill` attribute, for programs
that do not read style sheets.
"""

from typing import Any

import numpy as np
from lxml import etree

from bioicons_kit.svg import write
from bioicons_kit.svg.trace import color
from bioicons_kit.svg.trace.paints import Flat, Linear, Paint, Radial, Stops
from bioicons_kit.svg.trace.recognize import Ellipse, Rectangle
from bioicons_kit.svg.trace.tracer import Layer, Traced, decimals
from bioicons_kit.svg.tree import SVG

_MAX_TEXT = 2000  # characters of a title or description


def document(traced: Traced, title: str, description: str = "", metadata: Any = None) -> bytes:
    """Return the SVG file of a traced picture.

    Args:
        traced: the picture.
        title: what it shows, for people and screen readers.
        description: more about it, for example the prompt; none if empty.
        metadata: a `<metadata>` element to put in, or None.
    """
    root = etree.Element(f"{{{SVG}}}svg", nsmap={None: SVG})
    root.set("viewBox", f"0 0 {traced.width} {traced.height}")
    _text(root, "title", title)
    if description:
        _text(root, "desc", description)
    if metadata is not None:
        root.append(metadata)
    flat = [each.paint for each in traced.layers if isinstance(each.paint, Flat)]
    names = dict(zip(flat, color.names(np.array([paint.color for paint in flat])), strict=True))
    if names:
        rules = [f".{name}{{fill:{color.hex_color(p.color)}}}" for p, name in names.items()]
        etree.SubElement(root, f"{{{SVG}}}style", type="text/css").text = "".join(rules)
    if len(flat) < len(traced.layers):
        etree.SubElement(root, f"{{{SVG}}}defs")
    for layer in traced.layers:
        name = names[layer.paint] if isinstance(layer.paint, Flat) else None
        _draw(root, layer, name, decimals(traced.width, traced.height))
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=False)) + b"\n"


def _text(root: Any, name: str, text: str) -> None:
    """Add an element that holds text, without characters that XML cannot hold."""
    clean = "".join(char for char in text[:_MAX_TEXT] if char.isprintable() or char in "\n\t")
    etree.SubElement(root, f"{{{SVG}}}{name}").text = clean


def _draw(root: Any, layer: Layer, name: str | None, places: int) -> None:
    """Add one layer: its path and its shapes, in a group if they are several."""
    has_path = len(layer.path.kinds) > 0
    parent = root
    if len(layer.shapes) + has_path > 1:
        parent = etree.SubElement(root, f"{{{SVG}}}g")
    target = parent
    if has_path:
        path = etree.SubElement(parent, f"{{{SVG}}}path", d=write.write(layer.path, places))
        target = path if parent is root else parent
    for shape in layer.shapes:
        element = _shape(parent, shape, places)
        target = element if parent is root else parent
    if name is not None:
        assert isinstance(layer.paint, Flat)
        target.set("class", name)
        target.set("fill", color.hex_color(layer.paint.color))
    else:
        target.set("fill", f"url(#{_gradient(root, layer.paint)})")


def _shape(parent: Any, shape: Ellipse | Rectangle, places: int) -> Any:
    """Add a circle, an ellipse or a rectangle."""

    def number(value: float) -> str:
        return f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"

    if isinstance(shape, Rectangle):
        sizes = {name: number(value) for name, value in shape._asdict().items()}
        return etree.SubElement(parent, f"{{{SVG}}}rect", sizes)
    center = {"cx": number(shape.x), "cy": number(shape.y)}
    if shape.is_circle:
        radius = number((shape.rx + shape.ry) / 2)
        return etree.SubElement(parent, f"{{{SVG}}}circle", {**center, "r": radius})
    radii = {"rx": number(shape.rx), "ry": number(shape.ry)}
    element = etree.SubElement(parent, f"{{{SVG}}}ellipse", {**center, **radii})
    if abs(shape.angle) > 0.05:
        turn = f"rotate({shape.angle:.1f} {center['cx']} {center['cy']})"
        element.set("transform", turn)
    return element


def _gradient(root: Any, paint: Paint) -> str:
    """Add a gradient's definition; return its id."""
    defs = root.find(f"{{{SVG}}}defs")
    name = f"gradient-{len(defs) + 1}"
    common = {"id": name, "gradientUnits": "userSpaceOnUse"}
    if isinstance(paint, Linear):
        (x1, y1), (x2, y2) = paint.start, paint.stop
        ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
        element = etree.SubElement(defs, f"{{{SVG}}}linearGradient", {**common, **ends})
    else:
        assert isinstance(paint, Radial)
        x, y = paint.center
        circle = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{paint.radius:.1f}"}
        element = etree.SubElement(defs, f"{{{SVG}}}radialGradient", {**common, **circle})
    _stops(element, paint.stops)
    return name


def _stops(element: Any, stops: Stops) -> None:
    """Add a gradient's stops."""
    for offset, rgb in zip(stops.offsets, stops.colors, strict=True):
        stop = {"offset": f"{float(offset):.3g}", "stop-color": color.hex_color(rgb)}
        etree.SubElement(element, f"{{{SVG}}}stop", stop)
