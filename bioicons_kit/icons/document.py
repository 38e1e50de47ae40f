"""Untrusted SVG -> a small, safe, square SVG that draws the same picture.

The input is parsed without network, DTD or external entities (libxml2 caps what internal
ones may expand to), and is not edited but copied: into the output go only elements that
draw, in the SVG namespace, with attributes that neither run nor reach out. What a copy
cannot hold is left out and reported: scripts, event handlers, animations, foreignObject,
references that are neither `#id` nor an embedded picture (`embedded`), and CSS that
imports or loads (`styles`). A `<switch>` is decided as by a browser without extensions.

The drawing then stands in the middle of a square canvas: the original viewport becomes a
nested `<svg>`, which scales and clips as the original root did in a browser.

A document whose drawing would cost too much, references expanded, is refused (`cost`).
So is a root with neither a usable viewBox nor a size: its bounds are not computed.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import cost, embedded, styles

# The largest of 1,451 real icons has 3.7 MB, most of it pictures inside.
MAX_BYTES = 16 * 2**20
# The largest real icon has 9,000 elements, unexpanded.
MAX_ELEMENTS = 50_000
# cairosvg recurses on elements, several Python frames each; real icons go 14 deep.
MAX_DEPTH = 100
# The side of the canvas. Renderers scale it; it only has to be a sane number for them,
# whatever the original's units were.
CANVAS = 1024

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
_XLINK_HREF = f"{{{XLINK}}}href"
_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"

_TEXT = {"text", "tspan", "textPath"}
_DRAWN = _TEXT | {
    *("svg", "g", "defs", "symbol", "use", "image", "switch", "a", "style"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
    *("linearGradient", "radialGradient", "stop", "pattern", "clipPath", "mask", "marker"),
    *("filter", "feBlend", "feColorMatrix", "feComponentTransfer", "feComposite"),
    *("feConvolveMatrix", "feDiffuseLighting", "feDisplacementMap", "feDistantLight"),
    *("feDropShadow", "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR", "feGaussianBlur"),
    *("feImage", "feMerge", "feMergeNode", "feMorphology", "feOffset", "fePointLight"),
    *("feSpecularLighting", "feSpotLight", "feTile", "feTurbulence"),
}
# Dropped without a word: they never draw in a browser.
_SILENT = {"metadata", "title", "desc", "font", "font-face", "color-profile", "flowRoot", "view"}
_PICTURES = {"image", "feImage"}
_CONDITIONS = {"requiredFeatures", "requiredExtensions", "systemLanguage"}
# What the frame decides, not the original root.
_FRAME_ATTRIBUTES = {"x", "y", "width", "height", "viewBox", "preserveAspectRatio", "overflow"}
_FRAME_PROPERTIES = {"x", "y", "width", "height", "overflow", "position", "display", "margin"}

# CSS pixels (1/96 in); an em is 16 px where no font size is set.
_UNITS = {
    **{"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "mm": 96 / 25.4},
    **{"cm": 96 / 2.54, "q": 96 / 101.6, "em": 16.0, "rem": 16.0, "ex": 8.0},
}
_FLOAT = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LENGTH = re.compile(rf"\s*({_FLOAT})\s*([a-zA-Z]*)\s*")


@dataclass(frozen=True)
class Document:
    """A safe, square SVG; what was taken out; the original's size in CSS pixels."""

    svg: bytes
    removed: tuple[str, ...]
    width: float
    height: float


def sanitize(data: bytes, margin: float) -> Document:
    """Copy what draws into a square SVG with `margin` (a share of its side) left free.

    Raises:
        DocumentError: not an SVG, damaged, of no size, or over one of the limits.
    """
    root = _parse(data)
    width, height, viewbox = _viewport(root)
    copier = _Copier()
    canvas, frame = _frame(root, width, height, viewbox, margin)
    copier.attributes(root, frame, _FRAME_ATTRIBUTES, _FRAME_PROPERTIES)
    copier.children(root, frame, depth=2)
    cost.check(canvas)
    svg = etree.tostring(canvas, method="c14n")
    return Document(svg, tuple(sorted(copier.removed)), width, height)


def _parse(data: bytes) -> Any:
    """Parse without touching anything but `data`; return the root, an SVG element."""
    if not data.strip():
        raise DocumentError("the file is empty")
    if len(data) > MAX_BYTES:
        raise DocumentError(
            f"the file has {len(data) / 2**20:.1f} MiB; the limit is {MAX_BYTES >> 20}"
        )
    parser = etree.XMLParser(
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,  # keeps libxml2's own limits on entities, depth and text
        remove_comments=True,
        remove_pis=True,
        strip_cdata=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DocumentError(f"not readable as XML: {reason[:200]}") from error
    if _local(root) != "svg" or _namespace(root) not in {SVG, ""}:
        raise DocumentError(f"not an SVG: the root element is <{_local(root)[:40]}>")
    return root


def _viewport(root: Any) -> tuple[float, float, str]:
    """Return the width and height a browser shows the root at, in px, and its viewBox."""
    width, height = _length(root.get("width")), _length(root.get("height"))
    box = _numbers(root.get("viewBox"))
    if width == 0 or height == 0 or (box and min(box[2:]) <= 0):
        raise DocumentError("its width or height is zero")
    if box:
        ratio = box[2] / box[3]
        if width is None and height is None:
            width, height = box[2], box[3]
        width = width if width is not None else (height or 0) * ratio
        height = height if height is not None else width / ratio
    elif width is not None and height is not None:
        box = (0.0, 0.0, width, height)
    else:
        raise DocumentError("it has neither a viewBox nor a width and height")
    values = (width, height, *box)
    if not all(abs(value) < 1e9 for value in values) or min(width, height, *box[2:]) < 1e-6:
        raise DocumentError(f"its size is out of reach: {width:g} x {height:g} px")
    return width, height, " ".join(map(_number, box))


def _frame(root: Any, width: float, height: float, viewbox: str, margin: float) -> tuple[Any, Any]:
    """Return the square canvas and, within it, the element for the root's content."""
    scale = CANVAS * (1 - 2 * margin) / max(width, height)
    canvas = etree.Element(f"{{{SVG}}}svg", nsmap={None: SVG, "xlink": XLINK})
    canvas.set("width", str(CANVAS))
    canvas.set("height", str(CANVAS))
    canvas.set("viewBox", f"0 0 {CANVAS} {CANVAS}")
    frame = etree.SubElement(canvas, f"{{{SVG}}}svg")
    frame.set("x", _number((CANVAS - width * scale) / 2))
    frame.set("y", _number((CANVAS - height * scale) / 2))
    frame.set("width", _number(width * scale))
    frame.set("height", _number(height * scale))
    frame.set("viewBox", viewbox)
    frame.set("overflow", "hidden")
    aspect = root.get("preserveAspectRatio", "").split()
    if aspect and re.fullmatch(r"none|x(Min|Mid|Max)Y(Min|Mid|Max)", aspect[0]):
        frame.set("preserveAspectRatio", " ".join(aspect[:2]))
    return canvas, frame


@dataclass
class _Copier:
    """Copies what may stay, and remembers what may not."""

    removed: set[str] = field(default_factory=set)
    elements: int = 0
    budget: embedded.Budget = field(default_factory=embedded.Budget)

    def children(self, source: Any, target: Any, depth: int) -> None:
        """Copy the children of `source` that draw, with theirs, under `target`."""
        if depth > MAX_DEPTH:
            raise DocumentError(f"its elements are nested more than {MAX_DEPTH} deep")
        in_text = _local(source) in _TEXT
        if in_text:
            target.text = source.text
        last = None
        for child in self._chosen(source):
            copy = self._copy(child, target, depth)
            last = copy if copy is not None else last
            if in_text and child.tail:
                _append_text(target, last, child.tail)

    def _chosen(self, source: Any) -> Iterator[Any]:
        """Yield the children to look at: of a <switch>, the first that can be drawn."""
        children = (child for child in source if self._is_wanted(child))
        if _local(source) != "switch":
            yield from children
            return
        for child in children:
            if _conditions_hold(child) and _local(child) != "foreignObject":
                yield child
                return

    def _is_wanted(self, child: Any) -> bool:
        """Tell whether a node is an SVG element."""
        if not isinstance(child.tag, str):
            if isinstance(child, etree._Entity):
                self.removed.add(f"entity {child.text[:40]}")
            return False
        return _namespace(child) in {SVG, ""}

    def _copy(self, source: Any, parent: Any, depth: int) -> Any | None:
        """Copy one element and what is in it; return the copy, or None if it stays out."""
        name = _local(source)
        if name not in _DRAWN:
            if name not in _SILENT:
                self.removed.add(f"<{name[:40]}>")
            return None
        if not _conditions_hold(source):
            return None
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise DocumentError(f"it has more than {MAX_ELEMENTS:,} elements")
        if name == "style":
            return self._style_sheet(source, parent)
        copy = etree.SubElement(parent, f"{{{SVG}}}{'g' if name == 'switch' else name}")
        self.attributes(source, copy)
        if name in _PICTURES and copy.get(_XLINK_HREF) is None:
            parent.remove(copy)
            return None
        self.children(source, copy, depth + 1)
        return copy

    def attributes(
        self,
        source: Any,
        target: Any,
        without: set[str] = frozenset(),  # type: ignore[assignment]
        without_properties: set[str] = frozenset(),  # type: ignore[assignment]
    ) -> None:
        """Copy the attributes that neither run nor reach out."""
        for name, value in source.attrib.items():
            if name == "style":
                cleaned = styles.clean_declarations(value, without_properties)
                self.removed.update(cleaned.removed)
                if cleaned.text:
                    target.set("style", cleaned.text)
            elif self._is_plain(name, value) and name not in without:
                target.set(name, styles.simplified(value))
        href = source.get("href", source.get(_XLINK_HREF))
        if href and _local(source) != "a":  # a link loads nothing, and says nothing here
            href = self._reference(_local(source), href.strip())
            if href:
                target.set(_XLINK_HREF, href)

    def _is_plain(self, name: str, value: str) -> bool:
        """Tell whether an attribute is one that describes the drawing."""
        if name.lower().startswith("on"):
            self.removed.add(f"event handler {name[:40]}")
            return False
        if name == _XML_SPACE:
            return True
        if name.startswith(("{", "data-")) or name in _CONDITIONS or name in {"href", "content"}:
            return False
        if not styles.is_local(value) and name not in {"id", "class"}:
            self.removed.add(f"{name[:40]}={value[:60]}")
            return False
        return True

    def _reference(self, name: str, href: str) -> str | None:
        """Return a reference that stays in the file, or None."""
        if href.startswith("#"):
            return None if name == "image" else href
        if name in _PICTURES and href[:5].lower() == "data:":
            try:
                return embedded.checked(href, self.budget)
            except DocumentError as error:
                self.removed.add(f"picture: {error}")
                return None
        self.removed.add(f"reference to {href[:60]}")
        return None

    def _style_sheet(self, source: Any, parent: Any) -> Any | None:
        """Copy a style sheet's harmless rules."""
        if source.get("type", "text/css").strip().lower() not in {"", "text/css"}:
            self.removed.add("style sheet that is no CSS")
            return None
        cleaned = styles.clean_sheet("".join(source.itertext()))
        self.removed.update(cleaned.removed)
        copy = etree.SubElement(parent, f"{{{SVG}}}style")
        copy.text = cleaned.text
        return copy


def _conditions_hold(element: Any) -> bool:
    """Tell whether a browser that speaks English and has no extensions draws it."""
    if element.get("requiredExtensions") is not None:
        return False
    languages = element.get("systemLanguage")
    if languages is None:
        return True
    return any(text.strip().lower().split("-")[0] == "en" for text in languages.split(","))


def _append_text(target: Any, last: Any | None, text: str) -> None:
    """Add character data after the last copied child, or to the start of `target`."""
    if last is None:
        target.text = (target.text or "") + text
    else:
        last.tail = (last.tail or "") + text


def _length(text: str | None) -> float | None:
    """Return a length in px; None where it is missing, relative or nonsense."""
    match = _LENGTH.fullmatch(text or "")
    if match is None or match[2].lower() not in _UNITS:
        return None
    value = float(match[1]) * _UNITS[match[2].lower()]
    return value if value >= 0 else None


def _numbers(text: str | None) -> tuple[float, float, float, float] | None:
    """Return the four numbers of a viewBox; None where it is missing or nonsense."""
    parts = re.split(r"\s*,\s*|\s+", (text or "").strip())
    if len(parts) != 4 or not all(re.fullmatch(_FLOAT, part) for part in parts):
        return None
    x, y, width, height = map(float, parts)
    return (x, y, width, height)


def _number(value: float) -> str:
    """Write a number with the digits that matter and no exponent."""
    assert math.isfinite(value)
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _local(element: Any) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)


def _namespace(element: Any) -> str:
    """Return an element's namespace, "" for none."""
    return etree.QName(element).namespace or ""
