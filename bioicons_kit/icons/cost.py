"""What drawing a document costs once `<use>`, patterns, masks and markers are expanded.

A file of a kilobyte can ask for 10^9 shapes: ten `<use>` of a group of ten `<use>`, and
so on; patterns and markers multiply in the same way. The count here is an upper bound,
made in one pass without expanding anything: each element's cost is its own, its
children's, and that of what it refers to, times how often that is drawn. References
made by style sheets are counted on every element whose class, id or name occurs in the
rule's selectors.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import styles

# cairosvg draws some 6,000 elements a second; the largest real icon expands to 33,000.
MAX_DRAWN_ELEMENTS = 150_000
# The largest real icon has 76,700 path segments, which are two to six numbers each.
MAX_DRAWN_NUMBERS = 4_000_000
# Renderers recurse through references as through children.
MAX_DRAWN_DEPTH = 120

_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_PAINT = {"fill", "stroke"}
_MARKERS = {"marker", "marker-start", "marker-mid", "marker-end"}
_REFERRING = _PAINT | _MARKERS | {"clip-path", "mask", "filter"}
# Their children are colors or steps, not shapes.
_FLAT = {"linearGradient", "radialGradient", "filter"}


class Cost(NamedTuple):
    """Elements drawn, numbers in their outlines and letters in their text, and nesting."""

    elements: int
    numbers: int
    depth: int


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
            raise DocumentError(f"<{_local(element)} id={element.get('id')!r}> refers to itself")
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
        self._subtree = {element: _own(element) for element in self.elements}
        for element in reversed(self.elements):  # document order: children before parents
            parent = element.getparent()
            if parent is not None and element is not root:
                mine, theirs = self._subtree[element], self._subtree[parent]
                total = Cost(mine.elements + theirs.elements, mine.numbers + theirs.numbers, 1)
                self._subtree[parent] = total

    def references(self, element: Any) -> list[_Reference]:
        """Return what an element draws besides itself and its children."""
        found = []
        if _local(element) not in _FLAT:
            for name, identifier in self._named(element):
                target = self._by_id.get(identifier)
                if target is not None and _local(target) not in _FLAT:
                    found.append(_Reference(target, self._times(name, element)))
        return found

    def _named(self, element: Any) -> Iterator[tuple[str, str]]:
        """Yield (property, id) for each reference that an element may make."""
        if element.get(_XLINK_HREF, "").startswith("#"):
            yield "href", element.get(_XLINK_HREF)[1:]
        for name in _REFERRING:
            for identifier in styles.references(element.get(name, "")):
                yield name, identifier
        for name, value in styles.declarations(element.get("style", "")):
            for identifier in styles.references(value):
                yield name, identifier
        if self._sheet:
            classes = [f".{name}" for name in element.get("class", "").split()]
            for key in {*classes, f"#{element.get('id')}", _local(element), "*"}:
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
    elements, numbers, _ = _own(element)
    depth = 0
    for child in element:
        elements += costs[child].elements
        numbers += costs[child].numbers
        depth = max(depth, costs[child].depth)
    for target, times in tree.references(element):
        elements += times * costs[target].elements
        numbers += times * costs[target].numbers
        depth = max(depth, costs[target].depth)
    return Cost(elements, numbers, depth + 1)


def _own(element: Any) -> Cost:
    """Return what an element costs by itself."""
    outline = element.get("d") or element.get("points") or ""
    letters = 0 if _local(element) == "style" else len(element.text or "") + len(element.tail or "")
    return Cost(1, len(_NUMBER.findall(outline)) + letters, 1)


def _within_limits(cost: Cost) -> Cost:
    """Return the cost if it is bearable."""
    for number, limit, what in (
        (cost.elements, MAX_DRAWN_ELEMENTS, "elements"),
        (cost.numbers, MAX_DRAWN_NUMBERS, "coordinates and letters"),
        (cost.depth, MAX_DRAWN_DEPTH, "levels of nesting"),
    ):
        if number > limit:
            raise DocumentError(f"draws more than {limit:,} {what} once references are expanded")
    return cost


def _sheet_references(elements: list[Any]) -> dict[str, list[tuple[str, str]]]:
    """Map each class, id and name in a style sheet's selectors to what its rule refers to."""
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for element in elements:
        if _local(element) == "style":
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


def _local(element: Any) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)
