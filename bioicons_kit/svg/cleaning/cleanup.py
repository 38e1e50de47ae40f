"""What a document can lose without its picture changing.

First what never draws: editors' elements and attributes, metadata (but see `credit`).
Then, where no script, animation or involved style sheet could bring it back, what happens
not to draw: unused and duplicate definitions, hidden, fully transparent, unpainted and
off-canvas shapes, empty groups, rules and fonts for text that is not there, ids that
nothing names. What is inside `foreignObject` is HTML and stays as it is.
"""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from bioicons_kit.svg import computed, geometry, shapes, styles, viewport
from bioicons_kit.svg.cleaning import contexts
from bioicons_kit.svg.cleaning.contexts import SHAPES, reference
from bioicons_kit.svg.computed import Sheet, Style
from bioicons_kit.svg.path import Path
from bioicons_kit.svg.tree import SVG, XLINK, local, namespace

_XML = "http://www.w3.org/XML/1998/namespace"
_INKSCAPE = "http://www.inkscape.org/namespaces/inkscape"
_OURS = {SVG, XLINK, _XML, ""}
_XLINK_HREF = f"{{{XLINK}}}href"
# What people who edit a file see of an editor's own attributes: layers and their names.
_LAYERS = {f"{{{_INKSCAPE}}}{name}" for name in ("label", "groupmode")}
# Never drawn where they stand.
_SERVERS = {
    *("linearGradient", "radialGradient", "pattern", "clipPath", "mask", "marker", "filter"),
    *("symbol", "color-profile", "cursor"),
}
_CONDITIONS = {"requiredFeatures", "requiredExtensions", "systemLanguage"}
# A shape counts as outside when it is farther from the view box than this share of its
# longest side: a page may show a picture in a frame of another shape.
_MARGIN = 0.5


def strip(root: Any, keep_layers: bool = False) -> None:
    """Take out metadata and what belongs to other vocabularies: editors' own notes."""
    for element in list(_outside_html(root)):
        if namespace(element) not in {SVG, ""} or local(element) == "metadata":
            remove(element)
            continue
        for name in element.attrib:
            is_layer = keep_layers and name in _LAYERS
            if etree.QName(name).namespace not in {*_OURS, None} and not is_layer:
                del element.attrib[name]


def _outside_html(root: Any) -> Iterator[Any]:
    """Yield the elements of a document but those in a foreignObject or a foreign element."""
    stack = [root]
    while stack:
        element = stack.pop()
        yield element
        if local(element) != "foreignObject" and namespace(element) in {SVG, ""}:
            stack.extend(child for child in element if isinstance(child.tag, str))


def remove(element: Any) -> None:
    """Take an element out; text after it stays."""
    parent, before = element.getparent(), element.getprevious()
    if element.tail and before is not None:
        before.tail = (before.tail or "") + element.tail
    elif element.tail:
        parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def used_ids(root: Any) -> set[str]:
    """Return the ids that anything in the document may refer to."""
    used: set[str] = set()
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        used.add(reference(element))
        for name, value in element.attrib.items():
            if "url(" in value:
                used.update(styles.references(value))
            elif name.startswith("aria-"):
                used.update(value.split())
        if local(element) == "style":
            text = "".join(element.itertext())
            used.update(styles.references(text))
            used.update(re.findall(r"#([\w-]+)", text))
    return used


def drop_unused(root: Any) -> None:
    """Take out definitions that nothing refers to, and those only they referred to."""
    while True:
        used = used_ids(root)
        idle = [
            element
            for element in root.iter(etree.Element)
            if _is_definition(element)
            and not any(one.get("id") in used for one in element.iter(etree.Element))
            and not any(one.tag.endswith("}style") for one in element.iter(etree.Element))
        ]
        if not idle:
            return
        for element in idle:
            if element.getparent() is not None:
                remove(element)


def _is_definition(element: Any) -> bool:
    """Tell whether an element draws only where something refers to it."""
    parent = element.getparent()
    if parent is None or local(element) in {"title", "desc", "style", "metadata", "script"}:
        return False
    return local(element) in _SERVERS or local(parent) == "defs"


def decide_switches(root: Any) -> None:
    """Take out what asks for extensions, which no viewer has, and switches left with no choice."""
    for switch in list(root.iter(f"{{{SVG}}}switch")):
        for child in switch.findall("*"):
            if (child.get("requiredExtensions") or "").strip():
                remove(child)
        left = switch.findall("*")
        if len(left) == 1 and not _CONDITIONS & set(left[0].attrib):
            switch.tag = f"{{{SVG}}}g"


def drop_names(root: Any) -> None:
    """Take out the titles and descriptions of parts; those of the whole stay."""
    for element in list(root.iter(f"{{{SVG}}}title", f"{{{SVG}}}desc")):
        if element.getparent() is not root:
            remove(element)


def merge_duplicates(root: Any) -> None:
    """Keep one of all definitions that are the same but for their ids and refer to no other."""
    while True:
        known: dict[bytes, str] = {}
        renamed: dict[str, str] = {}
        for element in root.iter(*(f"{{{SVG}}}{name}" for name in _SERVERS)):
            identifier = element.get("id")
            # cairosvg loses what a gradient takes from another when it is used a second time
            if identifier and identifier not in renamed and not reference(element):
                del element.attrib["id"]
                key = etree.tostring(element, method="c14n", with_tail=False)
                element.set("id", identifier)
                if known.setdefault(key, identifier) != identifier:
                    renamed[identifier] = known[key]
                    remove(element)
        if not renamed:
            return
        _rename(root, renamed)


def _rename(root: Any, renamed: dict[str, str]) -> None:
    """Let all references to old ids lead to new ones."""
    for element in root.iter(etree.Element):
        target = reference(element)
        if target in renamed:
            name = "href" if element.get("href") is not None else _XLINK_HREF
            element.set(name, f"#{renamed[target]}")
        for name, value in element.attrib.items():
            if "url(" in value:
                element.set(name, styles.renamed(value, lambda old: renamed.get(old, old)))


def drop_ids(root: Any) -> None:
    """Take out ids that nothing refers to."""
    used = used_ids(root)
    for element in _outside_html(root):
        if element.get("id") is not None and element.get("id") not in used:
            del element.attrib["id"]


def tidy_sheets(root: Any) -> None:
    """Keep of plain style sheets what selects something, and fonts only where there is text."""
    elements = list(_outside_html(root))
    has_text = any(local(one) in {"text", "foreignObject"} for one in elements)
    there = {local(one) for one in elements} | {"*"}
    there.update(f"#{one.get('id')}" for one in elements)
    there.update(f".{name}" for one in elements for name in one.get("class", "").split())
    selected: set[str] = set()
    for sheet in [one for one in elements if local(one) == "style"]:
        kept = []
        for rule in styles.all_rules("".join(sheet.itertext())):
            declared = ";".join(":".join(pair) for pair in styles.declarations(rule.declarations))
            chosen = [one for one in rule.selectors.split(",") if _parts(one) <= there]
            if rule.selectors.startswith("@"):
                kept += [f"{rule.selectors}{{{declared}}}"] if has_text and declared else []
            elif chosen and declared:
                kept.append(f"{','.join(one.strip() for one in chosen)}{{{declared}}}")
                selected.update(*map(_parts, chosen))
        sheet.text = "".join(kept)
        del sheet[:]
        if not kept:
            remove(sheet)
    for element in elements:
        names = [one for one in element.get("class", "").split() if f".{one}" in selected]
        if names:
            element.set("class", " ".join(names))
        else:
            element.attrib.pop("class", None)


def _parts(selector: str) -> set[str]:
    """Return the name, id and classes that a compound selector asks for."""
    return set(re.findall(r"[.#]?[\w-]+|\*", selector))


def drop_invisible(root: Any, rules: Sheet, known: dict[str, Path] | None = None) -> int:
    """Take out what does not draw; return how many elements that were.

    Looked at are elements that are drawn where they stand, under groups without filters,
    masks and clip paths, which depend on all that is in the group. `known` holds outlines
    by their data.
    """
    used = used_ids(root)
    frame = _frame(root)
    gone = 0
    stack = [(root, computed.computed(root, {}, rules), geometry.Affine())]
    while stack:
        parent, style, to_root = stack.pop()
        for child in parent.findall("*"):
            name = local(child)
            if namespace(child) != SVG or name not in SHAPES | {"g", "a"}:
                continue
            own = computed.computed(child, style, rules)
            step = geometry.transform(child.get("transform", ""))
            if any(own[key] != "none" for key in ("filter", "mask", "clip-path")) or step is None:
                continue
            inside = to_root @ step
            named = any(one.get("id") in used for one in child.iter(etree.Element))
            outline = shapes.as_path(child, known) if name in SHAPES and frame else None
            if not named and (_is_hidden(name, own) or _is_outside(outline, own, inside, frame)):
                remove(child)
                gone += 1
            elif name in {"g", "a"}:
                stack.append((child, own, inside))
    return gone


def _is_hidden(name: str, style: Style) -> bool:
    """Tell whether an element of this style draws nothing, and nothing in it does."""
    if style["display"] == "none" or _is_zero(style["opacity"]):
        return True
    if name not in SHAPES:
        return False
    if style["visibility"] in {"hidden", "collapse"}:
        return True
    if any(style[key] not in {"none", ""} for key in contexts.MARKERS):
        return False
    is_filled = style["fill"] != "none" and not _is_zero(style["fill-opacity"])
    is_stroked = style["stroke"] != "none" and not (
        _is_zero(style["stroke-opacity"]) or _is_zero(style["stroke-width"])
    )
    return not is_filled and not is_stroked


def _is_zero(value: str) -> bool:
    """Tell whether a number or length is plainly zero."""
    return re.fullmatch(r"0*\.?0+(?:px|%)?|0+\.?", value) is not None


def _is_outside(
    outline: Path | None, style: Style, to_root: geometry.Affine, frame: tuple[float, ...] | None
) -> bool:
    """Tell whether a shape lies outside the canvas, its stroke included."""
    if outline is None or outline.error is not None or not len(outline.kinds):
        return False
    if any(style[key] not in {"none", ""} for key in contexts.MARKERS):
        return False
    width = viewport.length(style["stroke-width"]) if style["stroke"] != "none" else 0.0
    limit = viewport.length(style["stroke-miterlimit"])
    if width is None or limit is None or style["vector-effect"] != "none" or outline.arcs:
        return False
    assert frame is not None
    spread = width / 2 * max(limit, 2) * to_root.norm  # as far as tips and square caps reach
    points = to_root.on(outline.points.reshape(-1, 2))
    low, high = points.min(0) - spread, points.max(0) + spread
    left, top, right, bottom = frame
    return bool(high[0] < left or low[0] > right or high[1] < top or low[1] > bottom)


def _frame(root: Any) -> tuple[float, ...] | None:
    """Return left, top, right and bottom of what may be seen; None where that is not known."""
    box = viewport.shown(root)
    if box is None or root.get("overflow") or "overflow" in root.get("style", ""):
        return None
    left, top, width, height = box
    margin = _MARGIN * max(width, height)
    return left - margin, top - margin, left + width + margin, top + height + margin
