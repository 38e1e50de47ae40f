"""What a file uses that cairosvg draws otherwise than browsers do, so that resvg draws it.

Found by reading cairosvg 2.9's source and by measuring both engines against Chromium
(`benchmarks/fidelity.py`). cairosvg leaves out paint-order, blend modes, what a mask owes to
brightness, and all but the simplest filters; sets text letter by letter, without kerning;
draws a translucent shape's fill through its stroke; loses clips of clips, and gradients of
what a `<use>` draws; takes colors it does not know for black, and a path with an error for
none. A file is judged by what stands in it, used or not: resvg is right about the rest, too.
"""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from bioicons_kit.svg import styles
from bioicons_kit.svg.tree import local

_ELEMENTS = {"text", "mask", "pattern", "marker", "use"}
_GRAPHICS = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use", "image"}
_REFERENCES = {"filter", "mask", "marker", "marker-start", "marker-mid", "marker-end"}
# Of a path with an error the part before it is to be drawn.
_PATH = re.compile(r"\s*(?:[mM][-+\d.eE,\smMzZlLhHvVcCsSqQtTaA]*)?")
_PAINTS = {"fill", "stroke", "stop-color", "color"}
# Hexadecimal with alpha, and functions other than rgb() and rgba() with commas.
_NEW_COLOR = re.compile(r"#(?:[0-9a-f]{4}|[0-9a-f]{8})|(?!url|rgba?\()[a-z-]+\(.*|rgba?\([^,]*\)")
# Attributes, and the values, in lower case, with which cairosvg cannot be trusted.
_VALUES = {
    "clip-rule": re.compile("evenodd"),
    "clipPathUnits": re.compile("objectboundingbox"),
    "vector-effect": re.compile("non-scaling-.*"),
    "mix-blend-mode": re.compile("(?!normal).*"),
    "paint-order": re.compile(r"(?!normal|fill\s+stroke|fill$|fill\s+markers).*"),
    "transform-origin": re.compile(".*"),
    "transform-box": re.compile(".*"),
    "fr": re.compile(".*[1-9].*"),
}


def of(svg: bytes) -> str | None:
    """Return the first thing in a sanitized document that cairosvg would draw wrong, or None."""
    root = etree.fromstring(svg, etree.XMLParser(huge_tree=True))
    for element in root.iter():
        if local(element) in _ELEMENTS:
            return f"<{local(element)}>"
        for name, value in _properties(element):
            if _is_beyond(element, name, value.strip().lower()):
                return f"{name}: {value[:40]}"
    return None


def _properties(element: Any) -> Iterator[tuple[str, str]]:
    """Yield what an element's attributes and its style, or a style sheet's rules, set."""
    yield from element.attrib.items()
    yield from styles.declarations(element.get("style", ""))
    if local(element) == "style":
        for rule in styles.rules(element.text or ""):
            yield from styles.declarations(rule.declarations)


def _is_beyond(element: Any, name: str, value: str) -> bool:
    """Tell whether cairosvg draws a property's value otherwise than browsers."""
    if name in _REFERENCES:
        return value != "none"
    if name == "clip-path":
        return local(element) == "clipPath"
    if name == "d":
        return _PATH.fullmatch(value) is None
    if name == "opacity":
        return value not in {"1", "1.0", "0"} and local(element) in {*_GRAPHICS, "style"}
    if name in _PAINTS:
        return _NEW_COLOR.fullmatch(value) is not None
    return name in _VALUES and _VALUES[name].fullmatch(value) is not None
