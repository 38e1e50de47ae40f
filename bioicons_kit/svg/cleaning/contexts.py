"""Where and how each shape of a document is drawn: how large, with which stroke.

A shape may be drawn many times: by `<use>`, in clip paths and masks, each under other
transforms and styles. The document is walked as it is drawn, references followed, and for
every shape the largest stretch and the strokes are noted, and whatever makes its outline
mean more than an outline: dashes and markers depend on lengths and directions, patterns
and gradients in units of the bounding box on its extent, text on a path on its length.
Such shapes, and those whose style or scale is not known here, are to be left alone.

`cost.check` has bounded the walk before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg import computed, cost, geometry, styles, viewport
from bioicons_kit.svg.computed import Sheet, Style
from bioicons_kit.svg.curves.stroke import Stroke
from bioicons_kit.svg.geometry import Affine
from bioicons_kit.svg.tree import XLINK, local

SHAPES = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon"}
_CONTAINERS = {"svg", "g", "a", "switch", "symbol"}
# What changes while it is looked at, or may change anything.
MOVING = {"script", "animate", "animateTransform", "animateMotion", "animateColor", "set"}
_HREF = f"{{{XLINK}}}href"
MARKERS = ("marker", "marker-start", "marker-mid", "marker-end")


@dataclass
class Context:
    """How one shape is drawn, all its appearances together.

    `scale` is the largest stretch from its units to the root's; `strokes` are in its own
    units; `reasons` say why its outline has to stay as it is.
    """

    scale: float = 0.0
    strokes: set[Stroke] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)
    style: Style = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """Where the walk is: transform to the root, what styles inherit, what is not allowed."""

    to_root: Affine
    style: Style
    reasons: frozenset[str] = frozenset()
    in_clip: bool = False


def find(root: Any, rules: Sheet) -> dict[Any, Context]:
    """Return the context of every shape that is drawn.

    Raises:
        DocumentError: it refers to itself, or draws more than anything could show.
    """
    walker = _Walker(root, rules)
    walker.root(root)
    return walker.found


class _Walker:
    """Walks a document as a renderer would."""

    def __init__(self, root: Any, rules: Sheet) -> None:
        self.rules = rules
        self.by_id: dict[str, Any] = {}
        for element in root.iter():
            self.by_id.setdefault(element.get("id"), element)  # the first of equals counts
        self.found: dict[Any, Context] = {}
        self.steps = 0
        self.on_path: set[Any] = set()
        reasons = set()
        if any(isinstance(one.tag, str) and local(one) in MOVING for one in root.iter()):
            reasons.add("the document moves")
        if not rules.plain:
            reasons.add("the style sheet selects by structure")
        if rules.properties & {"transform", "d", "x", "y", "r", "rx", "ry", "cx", "cy"}:
            reasons.add("the style sheet sets geometry")
        self.everywhere = frozenset(reasons)

    def root(self, root: Any) -> None:
        """Walk the whole document."""
        start = _Place(Affine(), {})
        style = computed.computed(root, {}, self.rules)
        self.children(root, _Place(*self._transformed(root, style, start)))

    def children(self, element: Any, place: _Place) -> None:
        """Walk what is in a container."""
        for child in element:
            if isinstance(child.tag, str):
                self.element(child, place)

    def element(self, element: Any, place: _Place) -> None:
        """Walk one element and all that it refers to."""
        name = local(element)
        if name not in SHAPES and name not in _CONTAINERS and name not in {"use", "text"}:
            return
        self.steps += 1
        if self.steps > cost.MAX_DRAWN_ELEMENTS:
            raise DocumentError(f"draws more than {cost.MAX_DRAWN_ELEMENTS:,} elements")
        if element in self.on_path or len(self.on_path) > cost.MAX_DRAWN_DEPTH:
            raise DocumentError(f"<{name} id={element.get('id')!r}> refers to itself or too far")
        self.on_path.add(element)
        style = computed.computed(element, place.style, self.rules)
        inner = _Place(*self._transformed(element, style, place), place.in_clip)
        self._references(style, inner)
        if name in SHAPES:
            self._shape(element, inner)
        elif name == "use":
            self._use(element, inner)
        elif name == "text":
            self._text_paths(element)
        else:
            self.children(element, _nested(element, inner) if name == "svg" else inner)
        self.on_path.discard(element)

    def _transformed(
        self, element: Any, style: Style, place: _Place
    ) -> tuple[Affine, Style, frozenset[str]]:
        """Return the transform to the root, the style, and the reasons inside an element."""
        own = geometry.transform(element.get("transform", ""))
        reasons = place.reasons
        in_style = "transform" in dict(styles.declarations(element.get("style", "")))
        if own is None or in_style or style["transform-origin"] or style["transform-box"]:
            reasons |= {"its transform is not understood"}
        return place.to_root @ (own or Affine()), style, reasons

    def _shape(self, element: Any, place: _Place) -> None:
        """Note an appearance of a shape."""
        context = self.found.setdefault(element, Context())
        context.scale = max(context.scale, place.to_root.norm)
        context.style = place.style
        context.reasons |= place.reasons | self.everywhere
        if place.in_clip:
            return
        style = place.style
        if any(style[name] not in {"none", ""} for name in MARKERS):
            context.reasons.add("it has markers")
        if any(self._needs_box(style[name]) for name in ("fill", "stroke")):
            context.reasons.add("its paint depends on its bounding box")
        if style["stroke"] != "none":
            self._stroked(element, style, context)

    def _stroked(self, element: Any, style: Style, context: Context) -> None:
        """Note the stroke of an appearance."""
        width = viewport.length(style["stroke-width"])
        if style["stroke-dasharray"] != "none" or element.get("pathLength") is not None:
            context.reasons.add("it is dashed")
        if style["vector-effect"] != "none":
            context.reasons.add("its stroke does not scale")
        try:
            limit = float(style["stroke-miterlimit"])
        except ValueError:
            width = limit = None
        if width is None or limit is None:
            context.reasons.add("its stroke is not understood")
        elif width > 0:
            context.strokes.add(
                Stroke(width / 2, style["stroke-linejoin"], limit, style["stroke-linecap"])
            )

    def _needs_box(self, paint: str) -> bool:
        """Tell whether a paint is a pattern, or a gradient in units of the bounding box."""
        server = self.by_id.get(next(iter(styles.references(paint)), ""))
        if server is None:
            return False
        if not local(server).endswith("Gradient"):
            return True
        for _ in range(cost.MAX_DRAWN_DEPTH):  # units may come from the gradient it refers to
            units = server.get("gradientUnits")
            if units is not None:
                return bool(units != "userSpaceOnUse")
            server = self.by_id.get(reference(server))
            if server is None:
                break
        return True

    def _use(self, element: Any, place: _Place) -> None:
        """Walk what a <use> draws."""
        target = self.by_id.get(reference(element))
        if target is None:
            return
        if local(target) in {"svg", "symbol"}:
            place = _nested(target, place, element)
            self.children(target, place)
        else:
            self.element(target, place)

    def _references(self, style: Style, place: _Place) -> None:
        """Walk the clip paths and masks of an element, in its own units."""
        for name in ("clip-path", "mask"):
            for identifier in styles.references(style[name]):
                target = self.by_id.get(identifier)
                if target is None or target in self.on_path:
                    continue
                units = target.get("clipPathUnits" if name == "clip-path" else "maskContentUnits")
                inner = _Place(place.to_root, {}, place.reasons, name == "clip-path")
                if units == "objectBoundingBox":
                    inner = _with_reason(inner, "its units are those of a bounding box")
                style = self._style_of(target)
                own = _Place(*self._transformed(target, style, inner), inner.in_clip)
                self.on_path.add(target)
                self._references(own.style, own)
                self.children(target, own)
                self.on_path.discard(target)

    def _style_of(self, element: Any) -> Style:
        """Return the style of an element where it stands, which is not where it is drawn."""
        parent = element.getparent()
        inherited = {} if parent is None else self._style_of(parent)
        return computed.computed(element, inherited, self.rules)

    def _text_paths(self, element: Any) -> None:
        """Note the paths that text runs along."""
        for child in element.iter("{*}textPath"):
            target = self.by_id.get(reference(child))
            if target is not None:
                self.found.setdefault(target, Context()).reasons.add("text runs along it")


def reference(element: Any) -> str:
    """Return the id that an element's href refers to; "" if it has none in this file."""
    href = str(element.get("href", element.get(_HREF, ""))).strip()
    return href[1:] if href.startswith("#") else ""


def _with_reason(place: _Place, reason: str) -> _Place:
    """Return a place in which nothing may be changed."""
    return _Place(place.to_root, place.style, place.reasons | {reason}, place.in_clip)


def _nested(element: Any, place: _Place, use: Any | None = None) -> _Place:
    """Return the place inside a nested viewport, which scales what it shows."""
    if element.get("viewBox") is None:
        return place
    sizes = [
        viewport.length((use if use is not None else element).get(name, element.get(name)))
        for name in ("width", "height")
    ]
    try:
        box = [float(number) for number in element.get("viewBox").replace(",", " ").split()]
    except ValueError:
        box = []
    if len(box) != 4 or not min(box[2:]) > 0 or not all(sizes):
        return _with_reason(place, "its viewport is not understood")
    width, height = (float(size) / side for size, side in zip(sizes, box[2:], strict=True) if size)
    to_root = place.to_root @ Affine(a=width, d=height)
    return _Place(to_root, place.style, place.reasons, place.in_clip)


def walk_shapes(root: Any) -> Iterator[Any]:
    """Yield every shape of a document, drawn or not."""
    for element in root.iter():
        if isinstance(element.tag, str) and local(element) in SHAPES:
            yield element
