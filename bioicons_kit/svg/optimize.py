"""An SVG file -> the same picture in fewer bytes and nodes, with a report of how.

    parse -> strip editors' notes -> drop what does not draw -> simplify outlines
          -> shorten attributes and structure -> serialize -> check

The tolerance is a share of the longest side of the view box. Whatever the outcome, the
result is never longer and never has more nodes than the input: else the input is returned.

Not done: text, embedded pictures, filters, and the stops of gradients stay as they are;
shapes other than paths and polygons keep their numbers.
"""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg import computed, cost, credit, path, shapes, simplify, tree, viewport, write
from bioicons_kit.svg.cleaning import attributes, cleanup, contexts, structure
from bioicons_kit.svg.cleaning.contexts import Context
from bioicons_kit.svg.credit import Credit
from bioicons_kit.svg.curves.stroke import Stroke
from bioicons_kit.svg.path import Path
from bioicons_kit.svg.simplify import Left, Task
from bioicons_kit.svg.tree import SVG, XLINK, local

# Raise it when what comes out changes: drawings made of it are kept under a key.
VERSION = "1"
# Of the longest side of the view box: a quarter of a pixel where that has 1024.
TOLERANCE = 0.00025
# What a browser shows of a drawing without a size: 300 x 150 px.
_DEFAULT_SIDE = 150.0
# Every element is held against every style rule; 2.6 million in the worst real icon.
_MAX_MATCHES = 20_000_000
_TEXT = {"text", "tspan", "textPath", "title", "desc", "style", "script", "foreignObject"}


@dataclass(frozen=True)
class Report:
    """What became of a file.

    `tolerance` is what was allowed, and `error` the largest proven distance of any outline
    from its original, as shares of the view box's longest side; `left` counts outlines that
    stayed as they were, by reason; `removed` the elements that drew nothing.
    """

    bytes_before: int
    bytes_after: int
    nodes_before: int
    nodes_after: int
    tolerance: float
    error: float
    left: dict[str, int]
    removed: int


class _Outline(NamedTuple):
    """A shape's place among the elements, its path and stroke, the view box's side in its units."""

    place: int
    path: Path
    stroke: Stroke | None
    side: float


@dataclass(frozen=True)
class Simplified:
    """A simplified document and the report on it."""

    svg: bytes
    report: Report


def simplify_document(
    data: bytes,
    tolerance: float = TOLERANCE,
    keep_structure: bool = False,
    about: Credit | None = None,
) -> Simplified:
    """Simplify a document.

    Args:
        data: the file.
        tolerance: how far outlines may move, as a share of the view box's longest side.
        keep_structure: leave ids, groups, titles, layers, and what does not draw.
        about: license and attribution to write if the file does not have its own.

    Raises:
        DocumentError: not an SVG, damaged, or beyond the limits of what is drawn.
    """
    return Document(data, keep_structure, about).simplified(tolerance)


class Document:
    """A document, cleaned and ready to be simplified at one tolerance or several.

    Raises:
        DocumentError: as `simplify_document`.
    """

    def __init__(self, data: bytes, keep_structure: bool = False, about: Credit | None = None):
        self._data, self._has_new_credit = data, bool(about)
        root = tree.parse(data)
        cost.check(root)
        self._known: dict[str, Path] = {}
        self._nodes = count_nodes(root, self._known)
        self._metadata = credit.kept(root)
        if self._metadata is None and about:
            self._metadata = credit.written(about)
        cleanup.strip(root, keep_layers=keep_structure)
        self._rules = rules = computed.sheet(root)
        if len(rules.rules) * sum(1 for _ in root.iter()) > _MAX_MATCHES:
            raise DocumentError(f"its {len(rules.rules):,} style rules are too many")
        is_still = not any(local(one) in contexts.MOVING for one in root.iter(etree.Element))
        self._may_restructure = is_still and rules.plain and not keep_structure
        self._removed = _dropped(root, rules, self._known) if self._may_restructure else 0
        self._left: Counter[str] = Counter()
        self._outlines = _outlines(root, rules, self._known, self._left)
        self._root = root

    def simplified(self, tolerance: float) -> Simplified:
        """Return the document with outlines that move by at most a share of the view box."""
        root, known = copy.deepcopy(self._root), self._known
        left = self._left.copy()
        error = _replace_outlines(root, self._outlines, tolerance, known, left)
        if self._may_restructure:
            attributes.shorten(root, self._rules)
            cleanup.tidy_sheets(root)
            cleanup.drop_ids(root)
            structure.tidy(root, self._rules, cleanup.used_ids(root))
        if self._metadata is not None:
            root.insert(0, copy.deepcopy(self._metadata))
        svg = serialized(root)
        after = count_nodes(tree.parse(svg), known)
        if (len(svg) > len(self._data) and not self._has_new_credit) or after > self._nodes:
            return unchanged(self._data, "the whole file: nothing could be gained")
        sizes = (len(self._data), len(svg), self._nodes, after)
        return Simplified(svg, Report(*sizes, tolerance, error, dict(left), self._removed))


def unchanged(data: bytes, reason: str) -> Simplified:
    """Return a document as it is, and why."""
    nodes = count_nodes(tree.parse(data))
    report = Report(len(data), len(data), nodes, nodes, 0.0, 0.0, {reason: 1}, 0)
    return Simplified(data, report)


def count_nodes(root: Any, known: dict[str, Path] | None = None) -> int:
    """Return the nodes of all paths, polygons and polylines of a document.

    `known` holds path data that have been read already, and gets those that are read now.
    """
    total = 0
    known = {} if known is None else known
    for element in root.iter(etree.Element):
        name = local(element)
        if name == "path":
            outline = shapes.as_path(element, known)
            total += outline.nodes if outline is not None else 0
        elif name in {"polygon", "polyline"}:
            total += len(element.get("points", "").replace(",", " ").split()) // 2
    return total


def _dropped(root: Any, rules: computed.Sheet, known: dict[str, Path]) -> int:
    """Take out what does not draw; return how many elements went, with all that was in them."""
    before = sum(1 for _ in root.iter(etree.Element))
    cleanup.decide_switches(root)
    cleanup.drop_names(root)
    cleanup.drop_invisible(root, rules, known)
    cleanup.drop_unused(root)
    cleanup.merge_duplicates(root)
    return before - sum(1 for _ in root.iter(etree.Element))


def _outlines(
    root: Any, rules: computed.Sheet, known: dict[str, Path], left: Counter[str]
) -> list[_Outline]:
    """Return the outlines that may be simplified; count in `left` why others may not."""
    box = viewport.shown(root)
    side = max(box[2:]) if box else _DEFAULT_SIDE
    places = {element: place for place, element in enumerate(root.iter(etree.Element))}
    found = []
    for element, context in contexts.find(root, rules).items():
        if local(element) not in {"path", "polygon", "polyline"}:
            continue
        reason = _reason(context)
        outline = None if reason else shapes.as_path(element, known)
        if outline is None:
            left[reason or "its points are not valid"] += 1
            continue
        stroke = next(iter(context.strokes), None)
        found.append(_Outline(places[element], outline, stroke, side / context.scale))
    return found


def _replace_outlines(
    root: Any,
    outlines: list[_Outline],
    tolerance: float,
    known: dict[str, Path],
    left: Counter[str],
) -> float:
    """Simplify outlines; return the largest error, and count in `left` why some stayed."""
    elements = list(root.iter(etree.Element))
    tasks = [Task(one.path, tolerance * one.side, one.stroke) for one in outlines]
    worst = 0.0
    for one, task, outcome in zip(outlines, tasks, simplify.simplify(tasks), strict=True):
        if isinstance(outcome, Left):
            left[outcome.reason] += 1
        elif _replaced(elements[one.place], task, outcome):
            known[outcome.data] = outcome.path
            worst = max(worst, outcome.error / one.side)
        else:
            left["nothing could be gained"] += 1
    return worst


def _reason(context: Context) -> str:
    """Say why an outline has to stay as it is; "" if it does not."""
    if context.reasons:
        return min(context.reasons)
    if len(context.strokes) > 1:
        return "it is drawn with several strokes"
    if not context.scale > 0:
        return "it is drawn at no size"
    return ""


def _replaced(element: Any, task: Task, outcome: simplify.Simplified) -> bool:
    """Write a new outline into its element, if it is shorter and has no more nodes."""
    if outcome.path.nodes > task.path.nodes:
        return False
    name, text = "d", outcome.data
    if local(element) != "path":
        if np.isin(outcome.path.kinds, (path.LINE, path.CLOSE)).all():
            name, text = "points", write.points(outcome.path, outcome.decimals)
        else:
            return False
    if len(text) >= len(element.get(name, "")):
        return False
    element.set(name, text)
    return True


def serialized(root: Any) -> bytes:
    """Return a document as bytes: UTF-8, no white space that does not show, no idle namespaces."""
    for element in root.iter(etree.Element):
        if tree.namespace(element) == "":
            element.tag = f"{{{SVG}}}{element.tag}"
    top = etree.Element(f"{{{SVG}}}svg", nsmap={None: SVG})
    top.attrib.update(root.attrib)
    top.text = root.text
    top.extend(list(root))
    _drop_space(top)
    etree.cleanup_namespaces(top, top_nsmap={None: SVG, "xlink": XLINK})
    return bytes(etree.tostring(top, encoding="unicode").encode("utf-8"))


def _drop_space(top: Any) -> None:
    """Take out the white space between elements, but not that between words."""
    stack = [top]
    while stack:
        element = stack.pop()
        if local(element) in _TEXT:
            continue
        if not (element.text or "").strip():
            element.text = None
        for child in element:
            if not (child.tail or "").strip():
                child.tail = None
            if isinstance(child.tag, str):
                stack.append(child)
