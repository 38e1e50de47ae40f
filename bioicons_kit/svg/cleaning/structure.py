"""Fewer elements and shorter transforms for the same drawing.

Groups that say nothing give way to what is in them; a group of one hands its attributes
to that one. Transforms are only ever joined or spelled more shortly, never computed: their
numbers stay those of the file, digit by digit.
"""

import re
from typing import Any

from lxml import etree

from bioicons_kit.svg.cleaning.contexts import SHAPES
from bioicons_kit.svg.computed import INHERITED, Sheet
from bioicons_kit.svg.tree import SVG, local

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_FUNCTION = re.compile(r"\s*,?\s*(\w+)\s*\(([^()]*)\)")
# What a group may hand on to its only child: what the child would inherit, and where it is.
_HANDED_ON = {*INHERITED, "transform"}
_EMPTY = {"g", "defs", "switch", "a"}


def tidy(root: Any, rules: Sheet, used: set[str]) -> None:
    """Take out needless groups, innermost first; shorten transforms."""
    for element in list(root.iter(etree.Element))[::-1]:
        if "transform" in element.attrib:
            _set_transform(element, element.get("transform"))
        for name in ("gradientTransform", "patternTransform"):
            if name in element.attrib:
                _set_transform(element, element.get(name), name)
        parent = element.getparent()
        if parent is None or element.tag not in {f"{{{SVG}}}{name}" for name in _EMPTY}:
            continue
        _tidy_group(element, parent, rules, used)


def _tidy_group(group: Any, parent: Any, rules: Sheet, used: set[str]) -> None:
    """Take out one group if nothing is in it, or nothing is said by it."""
    if not len(group) and not (group.text or "").strip():
        if group.get("id") not in used and not _is_filtered(group, rules):
            _drop(group)
        return
    if local(group) != "g" or local(parent) in {"switch", "clipPath"}:
        return
    if not group.attrib and not rules.of(group):
        _unwrap(group)
    elif len(group) == 1 and not rules.rules and group.get("id") not in used:
        _hand_on(group, group[0])


def _is_filtered(group: Any, rules: Sheet) -> bool:
    """Tell whether a group has a filter, which draws even where there is nothing."""
    return "filter" in group.attrib or "filter" in group.get("style", "") + str(rules.of(group))


def _hand_on(group: Any, child: Any) -> None:
    """Give the attributes of a group of one to its child, if that means the same."""
    if not isinstance(child.tag, str) or local(child) not in SHAPES | {"g"}:
        return
    if child.get("id") is not None or set(group.attrib) - _HANDED_ON or child.get("style"):
        return
    for name, value in group.attrib.items():
        if name == "transform":
            # what the child refers to is in its own units, which stay the same altogether
            _set_transform(child, f"{value} {child.get(name, '')}".strip())
        elif name not in child.attrib:
            child.set(name, value)
    group.attrib.clear()
    _unwrap(group)


def _unwrap(group: Any) -> None:
    """Put the children of a group in its place."""
    parent = group.getparent()
    place = parent.index(group)
    children = list(group)
    _drop(group)
    for offset, child in enumerate(children):
        parent.insert(place + offset, child)


def _drop(element: Any) -> None:
    """Take out an element that has no text after it that counts."""
    element.tail = None
    element.getparent().remove(element)


def _set_transform(element: Any, text: str, name: str = "transform") -> None:
    """Spell a transform as shortly as its numbers allow; nothing at all if it does nothing."""
    functions = []
    position = 0
    while match := _FUNCTION.match(text, position):
        functions.append((match[1], re.findall(_NUMBER, match[2])))
        position = match.end()
    if text[position:].strip():
        return  # not a list that we understand
    short = "".join(filter(None, (_function(kind, numbers) for kind, numbers in functions)))
    if short:
        element.set(name, short)
    else:
        del element.attrib[name]


def _function(kind: str, numbers: list[str]) -> str:
    """Return one transform function in its shortest spelling; "" if it does nothing."""
    values = [float(number) for number in numbers]
    if kind == "matrix" and len(values) == 6:
        a, b, c, d = values[:4]
        if (a, b, c, d) == (1, 0, 0, 1):
            return _function("translate", numbers[4:])
        if (b, c) == (0, 0) and values[4:] == [0, 0]:
            return _function("scale", [numbers[0], numbers[3]])
    if kind == "translate" and len(values) == 2 and values[1] == 0:
        return _function(kind, numbers[:1])
    if kind == "scale" and len(values) == 2 and values[0] == values[1]:
        return _function(kind, numbers[:1])
    does_nothing = {"translate": 0.0, "rotate": 0.0, "scale": 1.0}.get(kind)
    if values and does_nothing is not None and all(v == does_nothing for v in values[:2]):
        return ""
    return f"{kind}({' '.join(map(_spelled, numbers))})"


def _spelled(number: str) -> str:
    """Return a number of a file without the characters that say nothing."""
    sign = "-" if number[0] == "-" and float(number) else ""
    mantissa, *exponent = re.split("[eE]", number.lstrip("+-"))
    whole, _, fraction = mantissa.partition(".")
    whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
    digits = whole + (f".{fraction}" if fraction else "") or "0"
    return sign + digits + (f"e{int(exponent[0])}" if exponent and digits != "0" else "")
