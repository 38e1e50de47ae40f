"""What drawing a document costs once `<use>`, patterns, masks and markers are expanded.

A file of a kilobyte can ask for 10^9 shapes: ten `<use>` of a group of ten `<use>`, and
so on; patterns and markers multiply in the same way. The count here is an upper bound,
made in one pass without expanding anything: each element's cost is its own, its
children's, and that of what it refers to, times how often that is drawn. References
made by style sheets are counted on every element whose class, id or name occurs in the
rule's selectors.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg import styles
from bioicons_kit.svg.tree import local

# cairosvg draws some 6,000 elements a second; the largest real icon expands to 33,000.
MAX_DRAWN_ELEMENTS = 150_000
# The largest real icon has 76,700 path segments, which are two to six numbers each.
MAX_DRAWN_NUMBERS = 4_000_000
# cairo takes ever longer for circles from 1e25 on, and never ends near 1e300. Real icons
# stay below 1e8.
MAX_REACH = 1e15
# Renderers recurse through references as through children.
MAX_DRAWN_DEPTH = 120

_HREFS = ("{http://www.w3.org/1999/xlink}href", "href")  # SVG 1.1's, SVG 2's
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_OUTLINES = {"d", "points"}
_LENGTHS = {
    *("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "dx", "dy"),
    *("width", "height", "markerWidth", "markerHeight", "refX", "refY", "font-size"),
    *("stroke-width", "stroke-dashoffset", "stroke-dasharray"),
}
_TRANSFORMS = {"transform", "gradientTransform", "patternTransform"}
_PAINT = {"fill", "stroke"}
_MARKERS = {"marker", "marker-start", "marker-mid", "marker-end"}
_REFERRING = _PAINT | _MARKERS | {"clip-path", "mask", "filter"}
# Their children are colors or steps, not shapes.
_FLAT = {"linearGradient", "radialGradient", "filter"}


class Cost(NamedTuple):
    """What drawing an element comes to, all that it refers to included.

    Elements; numbers in their outlines and letters in their text; levels of nesting; and
    how far from the origin a coordinate may lie, transforms applied.
    """

    elements: int
    numbers: int
    depth: int
    reach: float


class _Reference(NamedTuple):
    """That an element uses another, and how many times it draws it."""

    target: Any
    times: int


def check(root: Any) -> Cost:
    """Return what drawing the tree costs.

    Raises:
        DocumentError: it is over a limit, or an element refers to itself.
    """
    tree = _Tree(root)
    costs: dict[Any, Cost] = {}
    on_path: set[Any] = set()
    stack = [(root, False)]
    while stack:  # depth first, without recursion: reference chains can be long
        element, is_expanded = stack.pop()
        if is_expanded:
            on_path.discard(element)
            costs[element] = _within_limits(_sum(element, tree, costs))
        elif element in on_path:
            raise DocumentError(f"<{local(element)} id={element.get('id')!r}> refers to itself")
        elif element not in costs:
            on_path.add(element)
            stack.append((element, True))
            stack.extend((child, False) for child in element)
            stack.extend((reference.target, False) for reference in tree.references(element))
    return costs[root]


class _Tree:
    """A document with what the count has to look up."""

    def __init__(self, root: Any) -> None:
        # lxml makes a new Python object for an element that nobody holds; the costs are
        # kept by object, so every one is held here.
        self.elements = list(root.iter())
        self._by_id = {element.get("id"): element for element in self.elements}
        self._sheet = _sheet_references(self.elements)
        self.own = {element: _own(element) for element in self.elements}
        self._subtree: dict[Any, Cost] = dict(self.own)
        for element in reversed(self.elements):  # document order: children before parents
            parent = element.getparent()
            if parent is not None and element is not root:
                mine, theirs = self._subtree[element], self._subtree[parent]
                self._subtree[parent] = theirs._replace(
                    elements=mine.elements + theirs.elements, numbers=mine.numbers + theirs.numbers
                )

    def references(self, element: Any) -> list[_Reference]:
        """Return what an element draws besides itself and its children."""
        found = []
        if local(element) not in _FLAT:
            for name, identifier in self._named(element):
                target = self._by_id.get(identifier)
                if target is not None and local(target) not in _FLAT:
                    found.append(_Reference(target, self._times(name, element)))
        return found

    def _named(self, element: Any) -> Iterator[tuple[str, str]]:
        """Yield (property, id) for each reference that an element may make."""
        for key in _HREFS if local(element) != "a" else ():  # a link draws nothing
            if element.get(key, "").startswith("#"):
                yield "href", element.get(key)[1:]
        for name in _REFERRING.intersection(element.attrib):
            for identifier in styles.references(element.get(name)):
                yield name, identifier
        for name, value in styles.declarations(element.get("style", "")):
            for identifier in styles.references(value):
                yield name, identifier
        if self._sheet:
            classes = [f".{name}" for name in element.get("class", "").split()]
            for key in {*classes, f"#{element.get('id')}", local(element), "*"}:
                yield from self._sheet.get(key, ())

    def _times(self, name: str, element: Any) -> int:
        """Return how often a reference is drawn: fills and markers pass to descendants."""
        if name in _PAINT:
            return self._subtree[element].elements
        if name in _MARKERS:
            return max(1, self._subtree[element].numbers)
        return 1


def _sum(element: Any, tree: _Tree, costs: dict[Any, Cost]) -> Cost:
    """Add up an element's own cost, its children's and its references'."""
    elements, numbers, _, reach = tree.own[element]
    depth = 0
    drawn = [_Reference(child, 1) for child in element]
    for target, times in (*drawn, *tree.references(element)):
        part = costs[target]
        elements += times * part.elements
        numbers += times * part.numbers
        depth = max(depth, part.depth)
        reach = max(reach, part.reach)
    factor, shift = _magnification(element)
    return Cost(elements, numbers, depth + 1, reach * factor + shift)


def _own(element: Any) -> Cost:
    """Return what an element costs by itself."""
    numbers = 0 if local(element) == "style" else len(element.text or "") + len(element.tail or "")
    reach = 0.0
    for name, value in _properties(element):
        if name in _OUTLINES or name in _LENGTHS:
            found = [float(number) for number in _NUMBER.findall(value)]
            numbers += len(found) if name in _OUTLINES else 0
            reach = max(reach, *found, 0.0)
    return Cost(1, numbers, 1, reach)


def _properties(element: Any) -> Iterator[tuple[str, str]]:
    """Yield an element's attributes and the declarations of its style attribute."""
    yield from element.attrib.items()
    yield from styles.declarations(element.get("style", ""))


def _magnification(element: Any) -> tuple[float, float]:
    """Return by how much, at most, an element enlarges and shifts what it holds."""
    factor, shift = 1.0, 0.0
    for name, value in _properties(element):
        if name in _TRANSFORMS:
            for kind, arguments in re.findall(r"(\w+)\s*\(([^()]*)\)", value):
                numbers = [float(number) for number in _NUMBER.findall(arguments)]
                linear, offset = _norm(kind.lower(), numbers)
                factor, shift = factor * linear, shift * linear + offset
        elif name == "viewBox":
            sides = [float(number) for number in _NUMBER.findall(value)][2:]
            # The largest thing a viewBox can be fitted to is the canvas, times what is above.
            factor *= max(1.0, *(1024 / side if side else 1.0 for side in sides), 1.0)
    return factor, shift


def _norm(kind: str, numbers: list[float]) -> tuple[float, float]:
    """Return how much a transform function, its numbers unsigned, enlarges and shifts."""
    largest = max(numbers, default=0.0)
    if kind == "matrix" and len(numbers) == 6:
        a, b, c, d, e, f = numbers
        return max(1.0, a + c, b + d), max(e, f)
    if kind.startswith("scale"):
        return max(1.0, largest), 0.0
    if kind.startswith("translate"):
        return 1.0, largest
    if kind.startswith("skew"):
        return 1.0 + abs(math.tan(math.radians(largest % 360))), 0.0
    return 2.0, largest if kind == "rotate" else 0.0


def _within_limits(cost: Cost) -> Cost:
    """Return the cost if it is bearable."""
    for number, limit, what in (
        (cost.elements, MAX_DRAWN_ELEMENTS, "elements"),
        (cost.numbers, MAX_DRAWN_NUMBERS, "coordinates and letters"),
        (cost.depth, MAX_DRAWN_DEPTH, "levels of nesting"),
    ):
        if number > limit:
            raise DocumentError(f"draws more than {limit:,} {what} once references are expanded")
    if not cost.reach <= MAX_REACH:  # or not a number
        raise DocumentError(f"has coordinates beyond {MAX_REACH:g} px")
    return cost


def _sheet_references(elements: list[Any]) -> dict[str, list[tuple[str, str]]]:
    """Map each class, id and name in a style sheet's selectors to what its rule refers to."""
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for element in elements:
        if local(element) == "style":
            for rule in styles.rules(element.text or ""):
                named = [
                    (name, identifier)
                    for name, value in styles.declarations(rule.declarations)
                    for identifier in styles.references(value)
                ]
                for key in _selector_keys(rule.selectors) if named else ():
                    found[key] += named
    return dict(found)


def _selector_keys(selectors: str) -> set[str]:
    """Return the keys of the elements that selectors may match: the last simple ones."""
    keys = set()
    for selector in selectors.split(","):
        parts = re.split(r"[\s>+~]+", selector.strip())
        keys.update(re.findall(r"[.#]?[\w-]+", re.sub(r"\[[^][]*\]|:.*", "", parts[-1])) or ["*"])
    return keys
