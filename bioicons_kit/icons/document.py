"""Untrusted SVG -> a small, safe SVG of the wanted shape that draws the same picture.

The input is parsed without network, DTD or external entities (libxml2 caps what internal
ones may expand to), and is not edited but copied: into the output go only elements that
draw, in the SVG namespace, with attributes that neither run nor reach out. What a copy
cannot hold is left out and reported: scripts, event handlers, animations, foreignObject,
references that are neither `#id` nor an embedded picture (`embedded`), and CSS that
imports or loads (`styles`). A `<switch>` is decided as by a browser without extensions.

The drawing then stands in the middle of a canvas: the original viewport becomes a nested
`<svg>`, which scales and clips as the original root did in a browser. Where a root says
neither its size nor its viewBox, the drawing's bounds are its window (`bounds`).

A document whose drawing would cost too much, references expanded, is refused (`cost`).
"""

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons.draw import embedded
from bioicons_kit.svg import bounds, cost, modern, references, styles, tree, viewport
from bioicons_kit.svg.tree import SVG, XLINK

# The largest real icon has 9,000 elements, unexpanded.
MAX_ELEMENTS = 50_000
# cairosvg recurses on elements, several Python frames each; real icons go 14 deep.
MAX_DEPTH = 100
# Renderers try every style rule on every element; 2.6 million in the worst real icon.
MAX_MATCHES = 20_000_000
# Of what was taken out; a file could have thousands of scripts.
MAX_TOLD = 100
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
# What may clip (SVG 1.1, 14.3.5); browsers take no notice of anything else in a clipPath.
_CLIPPING = _TEXT | {
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use", "style"),
}
# Dropped without a word: they never draw in a browser.
_SILENT = {"metadata", "title", "desc", "font", "font-face", "color-profile", "flowRoot", "view"}
_PICTURES = {"image", "feImage"}
_CONDITIONS = {"requiredFeatures", "requiredExtensions", "systemLanguage"}
# What the frame decides, not the original root.
_FRAME_ATTRIBUTES = {"x", "y", "width", "height", "viewBox", "preserveAspectRatio", "overflow"}
_FRAME_PROPERTIES = {"x", "y", "width", "height", "overflow", "position", "display", "margin"}


@dataclass(frozen=True)
class Document:
    """A safe, square SVG; what was taken out; the original's size in CSS pixels."""

    svg: bytes
    removed: tuple[str, ...]
    width: float
    height: float


def sanitize(data: bytes, margin: float, size: tuple[int, int] = (1, 1)) -> Document:
    """Copy what draws into an SVG with `margin` (a share of its shorter side) left free.

    Args:
        data: the untrusted file's content.
        margin: share of the canvas's shorter side to leave free on each side.
        size: width and height of the picture to come, in any unit; square by default.

    Raises:
        DocumentError: not an SVG, damaged, of no size, or over one of the limits.
    """
    root = tree.parse(data)
    window = viewport.of(root)
    canvas, frame = viewport.canvas(size)
    copier = _Copier()
    copier.attributes(root, frame, _FRAME_ATTRIBUTES, _FRAME_PROPERTIES)
    copier.children(root, frame, depth=2)
    if copier.rules * copier.elements > MAX_MATCHES:
        raise DocumentError(f"its {copier.rules:,} style rules are too many for its elements")
    references.settle(canvas)
    window = window or _drawing(canvas)
    viewport.frame(canvas, window, margin)
    cost.check(canvas)
    svg = etree.tostring(canvas, method="c14n")
    return Document(svg, _told(copier.removed), window.width, window.height)


def _told(removed: Collection[str]) -> tuple[str, ...]:
    """Return what was taken out in order, of very much the first and how much more."""
    listed = tuple(sorted(removed))
    more = len(listed) - MAX_TOLD
    return listed if more <= 0 else (*listed[:MAX_TOLD], f"and {more:,} more")


def _drawing(canvas: Any) -> viewport.Window:
    """Return the window that shows a whole drawing whose root does not say how large it is."""
    cost.check(canvas)  # before its references are followed
    box = bounds.of(canvas[0])
    if box is None:
        raise DocumentError("it has neither a viewBox nor a size, and nothing drawn to tell it")
    return viewport.around(box)


@dataclass
class _Copier:
    """Copies what may stay, and remembers what may not."""

    removed: set[str] = field(default_factory=set)
    elements: int = 0
    rules: int = 0
    inlined: int = 0
    budget: embedded.Budget = field(default_factory=embedded.Budget)

    def children(self, source: Any, target: Any, depth: int) -> None:
        """Copy the children of `source` that draw, with theirs, under `target`."""
        if depth > MAX_DEPTH:
            raise DocumentError(f"its elements are nested more than {MAX_DEPTH} deep")
        in_text = tree.local(target) in _TEXT
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
        if tree.local(source) != "switch":
            yield from children
            return
        for child in children:
            if _conditions_hold(child) and tree.local(child) != "foreignObject":
                yield child
                return

    def _is_wanted(self, child: Any) -> bool:
        """Tell whether a node is an SVG element."""
        if not isinstance(child.tag, str):
            if isinstance(child, etree._Entity):
                self.removed.add(f"entity {child.text[:40]}")
            return False
        return tree.namespace(child) in {SVG, ""}

    def _copy(self, source: Any, parent: Any, depth: int) -> Any | None:
        """Copy one element and what is in it; return the copy, or None if it stays out."""
        name = tree.local(source)
        if name not in _DRAWN:
            if name not in _SILENT:
                self.removed.add(f"<{name[:40]}>")
            return None
        in_clip = tree.local(parent) == "clipPath"
        if not _conditions_hold(source) or (in_clip and name not in _CLIPPING):
            return None
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise DocumentError(f"it has more than {MAX_ELEMENTS:,} elements")
        if name == "style":
            return self._style_sheet(source, parent)
        if name == "image" and embedded.is_svg(_href(source)):
            return self._inlined(source, parent, depth)
        copy = etree.SubElement(parent, f"{{{SVG}}}{_plain_name(name, parent)}")
        reference = self._reference(name, _href(source))
        if reference:
            copy.set(_XLINK_HREF, reference)
        elif name in _PICTURES:
            parent.remove(copy)
            return None
        self.attributes(source, copy)
        self.children(source, copy, depth + 1)
        return copy

    def attributes(
        self,
        source: Any,
        target: Any,
        without: Collection[str] = (),
        without_properties: Collection[str] = (),
    ) -> None:
        """Copy the attributes that describe the drawing, references apart."""
        for name, value in source.attrib.items():
            if name == "style":
                cleaned = styles.clean_declarations(value, without_properties)
                self.removed.update(cleaned.removed)
                if cleaned.text:
                    target.set("style", cleaned.text)
            elif name not in without and self._is_plain(name, value):
                target.set(name, modern.plain(value))
        _move_transform(target)

    def _is_plain(self, name: str, value: str) -> bool:
        """Tell whether an attribute is one that describes the drawing."""
        if name.lower().startswith("on"):
            self.removed.add(f"event handler {name[:40]}")
            return False
        if name == _XML_SPACE:
            return True
        if (
            name.startswith(("{", "data-", "aria-"))
            or name in _CONDITIONS
            or name in {"href", "content"}
        ):
            return False
        if not styles.is_local(value) and name not in {"id", "class"}:
            self.removed.add(f"{name[:40]}={value[:60]}")
            return False
        return True

    def _reference(self, name: str, href: str) -> str | None:
        """Return a reference that stays in the file, or None."""
        if not href or name == "a":  # a link loads nothing, and says nothing in a picture
            return None
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

    def _inlined(self, source: Any, parent: Any, depth: int) -> Any | None:
        """Copy an SVG inside a data URL as a nested <svg>, under ids of its own."""
        try:
            root = tree.parse(embedded.svg_bytes(_href(source)))
            if next(root.iter("{*}style"), None) is not None:
                raise DocumentError("an SVG with a style sheet, which would leave it")
            window = viewport.of(root)
            if window is None:
                raise DocumentError("an SVG with neither a viewBox nor a size")
        except DocumentError as error:
            self.removed.add(f"picture: {error}")
            return None
        group = etree.SubElement(parent, f"{{{SVG}}}g")
        self.attributes(source, group, _FRAME_ATTRIBUTES)
        nested = etree.SubElement(group, f"{{{SVG}}}svg")
        x, y, width, height = (
            viewport.length(source.get(name)) for name in ("x", "y", "width", "height")
        )
        fitted = dataclasses.replace(window, aspect=viewport.aspect(source))
        fitted.put(nested, x or 0, y or 0, width or window.width, height or window.height)
        self.inlined += 1
        self.attributes(root, nested, _FRAME_ATTRIBUTES, _FRAME_PROPERTIES)
        self.children(root, nested, depth + 2)
        embedded.isolate(nested, f"inlined{self.inlined}-")
        return group

    def _style_sheet(self, source: Any, parent: Any) -> Any | None:
        """Copy a style sheet's harmless rules."""
        if source.get("type", "text/css").strip().lower() not in {"", "text/css"}:
            self.removed.add("style sheet that is no CSS")
            return None
        cleaned = styles.clean_sheet("".join(source.itertext()))
        self.removed.update(cleaned.removed)
        self.rules += cleaned.text.count("{")
        copy = etree.SubElement(parent, f"{{{SVG}}}style")
        copy.text = cleaned.text
        return copy


def _move_transform(element: Any) -> None:
    """Make a transform in a style attribute, which has precedence, the transform attribute."""
    found = dict(styles.declarations(element.get("style", "")))
    moved = modern.transform(found.pop("transform", "?"))
    if moved is not None:
        element.set("style", ";".join(f"{name}:{value}" for name, value in found.items()))
        element.set("transform", moved)


def _plain_name(name: str, parent: Any) -> str:
    """Return what a <switch>, once decided, and a link, no longer one, are to be."""
    if name == "a" and tree.local(parent) in _TEXT:
        return "tspan"
    return "g" if name in {"a", "switch"} else name


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


def _href(element: Any) -> str:
    """Return what an element refers to; SVG 2 puts href before xlink:href."""
    return str(element.get("href", element.get(_XLINK_HREF, ""))).strip()
