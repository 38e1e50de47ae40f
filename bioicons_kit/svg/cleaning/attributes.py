"""The shortest attributes that say the same: style properties, colors, whatever has no effect.

A `style` attribute becomes presentation attributes where that is shorter and no style sheet
stands between the two. A property goes where it only repeats what the element would have
without it, or where nothing in the element heeds it. Colors take their shortest spelling.
"""

import re
from typing import Any

from lxml import etree

from bioicons_kit.svg import computed, styles
from bioicons_kit.svg.cleaning.contexts import SHAPES, reference
from bioicons_kit.svg.computed import INHERITED, INITIAL, OWN, Sheet, Style
from bioicons_kit.svg.tree import SVG, local, namespace

_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_TEXT_PROPERTIES = {
    *("font", "font-family", "font-size", "font-size-adjust", "font-stretch", "font-style"),
    *("font-variant", "font-weight", "letter-spacing", "word-spacing", "text-anchor"),
    *("text-decoration", "text-rendering", "white-space", "writing-mode", "direction"),
    *("baseline-shift", "unicode-bidi", "line-height", "text-align", "text-indent"),
}
_STROKE = {name for name in INHERITED if name.startswith("stroke-")}
# Properties that browsers do not read from attributes.
_NO_ATTRIBUTE = {
    *("font", "marker", "mix-blend-mode", "isolation"),
    *("transform", "transform-origin", "transform-box"),
}
_FONT_UNIT = re.compile(r"\d(?:em|ex|ch|rem)\b")
# Nothing that draws SVG heeds these, whatever their value.
_IDLE = re.compile(
    r"-.*|enable-background|text-(indent|align|decoration-\w+|orientation|transform|shadow)|"
    r"font-(variant-\w+|feature-settings)|line-height|block-progression|solid-\w+|"
    r"color-rendering|shape-padding|shape-margin|inline-size|marker-knockout-\w+"
)
# Attributes of the root or of shapes that are their own defaults.
_DEFAULTS = {
    "svg": {"x": {"0", "0px"}, "y": {"0", "0px"}},
    "rect": {"x": {"0"}, "y": {"0"}},
    "circle": {"cx": {"0"}, "cy": {"0"}},
    "ellipse": {"cx": {"0"}, "cy": {"0"}},
    "line": {"x1": {"0"}, "y1": {"0"}, "x2": {"0"}, "y2": {"0"}},
}
_ROOT_NOTES = {"version", "baseProfile", "contentScriptType", "contentStyleType", "zoomAndPan"}
_COLORS = {"fill", "stroke", "stop-color", "flood-color", "lighting-color", "color"}
# The names that are shorter than their numbers (SVG 1.1, 4.4), and the reverse.
_SHORT_NAMES = {
    **{"#f00": "red", "#d2b48c": "tan", "#008080": "teal", "#000080": "navy", "#ffd700": "gold"},
    **{"#808080": "gray", "#008000": "green", "#a52a2a": "brown", "#800080": "purple"},
    **{"#ffa500": "orange", "#fa8072": "salmon", "#4b0082": "indigo", "#ee82ee": "violet"},
    **{"#f5deb3": "wheat", "#fffafa": "snow", "#cd853f": "peru", "#dda0dd": "plum"},
    **{"#ffc0cb": "pink", "#da70d6": "orchid", "#fffff0": "ivory", "#a0522d": "sienna"},
    **{"#f0e68c": "khaki", "#c0c0c0": "silver", "#800000": "maroon", "#808000": "olive"},
    **{"#ff7f50": "coral", "#ff6347": "tomato", "#ffe4c4": "bisque", "#f5f5dc": "beige"},
    **{"#faf0e6": "linen", "#f0ffff": "azure", "#00ff00": "lime"},
}
_LONG_NAMES = {"black": "#000", "white": "#fff", "yellow": "#ff0", "magenta": "#f0f"}
_RGB = re.compile(r"rgb\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", re.IGNORECASE)
_PERCENT_RGB = re.compile(r"rgb\(" + r",".join([r"\s*(\d+(?:\.\d+)?)%\s*"] * 3) + r"\)", re.I)


def shorten(root: Any, rules: Sheet) -> None:
    """Shorten the attributes of a whole document whose style sheets are plain."""
    assert rules.plain
    heeds_fonts = _heeds_fonts(root)
    reused = _reused(root)
    for name in _ROOT_NOTES & set(root.attrib):
        del root.attrib[name]
    stack: list[tuple[Any, Style]] = [(root, {})]
    while stack:
        element, inherited = stack.pop()
        if namespace(element) != SVG:
            continue
        if not heeds_fonts:
            element.attrib.pop(_XML_SPACE, None)
        for name, values in _DEFAULTS.get(local(element), {}).items():
            if element.get(name) in values:
                del element.attrib[name]
        style = computed.computed(element, inherited, rules)
        known = None if element in reused else inherited
        _rewrite(element, _needed(element, known, style, rules, heeds_fonts), rules)
        if local(element) != "foreignObject":
            stack.extend((child, style) for child in element.findall("*"))


def _heeds_fonts(root: Any) -> bool:
    """Tell whether anything depends on fonts: letters, or lengths in their units."""
    for element in root.iter(etree.Element):
        if local(element) in {"text", "foreignObject"}:
            return True
        if any(_FONT_UNIT.search(value) for value in element.attrib.values()):
            return True
    return False


def _reused(root: Any) -> set[Any]:
    """Return the elements that <use> draws, which inherit from elsewhere, too."""
    targets = {reference(use) for use in root.iter(f"{{{SVG}}}use")} - {""}
    found: set[Any] = set()
    for element in root.iter(etree.Element):
        if element.get("id") in targets:
            found.update(element.iter(etree.Element))
    return found


def color(value: str) -> str:
    """Return the shortest spelling of a color; other values as they are."""
    text = value.strip()
    if match := _RGB.fullmatch(text):
        text = "#" + "".join(f"{min(int(part), 255):02x}" for part in match.groups())
    elif match := _PERCENT_RGB.fullmatch(text):
        levels = [float(part) * 2.55 for part in match.groups()]
        if all(abs(level - round(level)) < 0.02 and level <= 255.1 for level in levels):
            text = "#" + "".join(f"{round(level):02x}" for level in levels)
    text = _LONG_NAMES.get(text.lower(), text)
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        text = text.lower()
        if text[1::2] == text[2::2]:
            text = "#" + text[1::2]
    return _SHORT_NAMES.get(text, text)


def _needed(
    element: Any, inherited: Style | None, style: Style, rules: Sheet, heeds_fonts: bool
) -> Style:
    """Return the properties that an element has to declare, in their shortest spelling.

    Args:
        element: the element.
        inherited: its parent's properties; None if it may be drawn under other parents.
        style: its computed style.
        rules: the document's style sheets.
        heeds_fonts: whether properties of text mean anything in the document.
    """
    from_sheet = rules.of(element)
    in_style = dict(styles.declarations(element.get("style", "")))
    needed: Style = {}
    for name, raw in {**_attributes(element), **in_style}.items():
        value = color(raw) if name in _COLORS else raw.strip()
        idle = not value or _IDLE.fullmatch(name) or (name in _TEXT_PROPERTIES and not heeds_fonts)
        beaten = name in from_sheet and name not in in_style
        unseen = inherited is not None and _is_unstroked(element, style) and name in _STROKE
        repeated = name not in from_sheet and _repeats(name, value, inherited)
        if not (idle or beaten or unseen or repeated):
            needed[name] = value
    return needed


def _attributes(element: Any) -> Style:
    """Return the presentation attributes of an element."""
    return {name: element.get(name) for name in element.attrib if name in INITIAL}


def _is_unstroked(element: Any, style: Style) -> bool:
    """Tell whether an element is a shape without a stroke."""
    return local(element) in SHAPES and style["stroke"] == "none"


def _repeats(name: str, value: str, inherited: Style | None) -> bool:
    """Tell whether a property says only what holds without it."""
    if name in INHERITED:
        if inherited is None:
            return False
        before = inherited.get(name, INHERITED[name])
        return value == "inherit" or value == (color(before) if name in _COLORS else before)
    # nested viewports, patterns and markers hide what overflows unless told otherwise
    return name in OWN and name != "overflow" and value == OWN[name]


def _rewrite(element: Any, needed: Style, rules: Sheet) -> None:
    """Declare properties as attributes or in a style, whichever is shorter and as strong."""
    in_style = dict(styles.declarations(element.get("style", "")))
    if any("!" in value for value in in_style.values()):
        return
    for name in _attributes(element):
        if name not in _NO_ATTRIBUTE:
            del element.attrib[name]
    element.attrib.pop("style", None)
    from_sheet = rules.of(element)
    pinned = {
        name
        for name, value in needed.items()
        if (
            name in in_style
            and (name not in INITIAL or name in _NO_ATTRIBUTE or name in from_sheet)
        )
        or (name in _TEXT_PROPERTIES and re.fullmatch(r"[\d.]+", value) and name in in_style)
    }
    free = [name for name in needed if name not in pinned]
    as_attributes = sum(len(name) + len(needed[name]) + 4 for name in free)
    as_style = sum(len(name) + len(needed[name]) + 2 for name in free) + 8 * (not pinned)
    if as_style < as_attributes and all(name in in_style for name in free):
        pinned.update(free)
    for name, value in needed.items():
        if name not in pinned and name not in _NO_ATTRIBUTE:
            element.set(name, value)
    text = ";".join(f"{name}:{value}" for name, value in needed.items() if name in pinned)
    if text:
        element.set("style", text)
