"""What style applies to an element: the cascade of SVG 1.1, as far as this package needs it.

Presentation attributes give way to style sheets, and these to `style` attributes
(SVG 1.1, 6.4); properties that inherit come down from parents. Of selectors, compounds of
a name, classes and an id are understood. A sheet with any other selector, with at-rules
that style, or with `!important` is not `plain`: what it does to an element is not known here.
"""

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from bioicons_kit.svg import styles
from bioicons_kit.svg.tree import local

Style = dict[str, str]

# What an element hands on to its children (SVG 1.1, property index), and what it starts from.
INHERITED = {
    "clip-rule": "nonzero",
    "color": "#000",
    "color-interpolation": "sRGB",
    "color-interpolation-filters": "linearRGB",
    "color-rendering": "auto",
    "cursor": "auto",
    "direction": "ltr",
    "fill": "#000",
    "fill-opacity": "1",
    "fill-rule": "nonzero",
    "font": "",
    "font-family": "",
    "font-size": "medium",
    "font-size-adjust": "none",
    "font-stretch": "normal",
    "font-style": "normal",
    "font-variant": "normal",
    "font-weight": "400",
    "image-rendering": "auto",
    "letter-spacing": "normal",
    "marker": "",
    "marker-end": "none",
    "marker-mid": "none",
    "marker-start": "none",
    "paint-order": "normal",
    "pointer-events": "visiblePainted",
    "shape-rendering": "auto",
    "stroke": "none",
    "stroke-dasharray": "none",
    "stroke-dashoffset": "0",
    "stroke-linecap": "butt",
    "stroke-linejoin": "miter",
    "stroke-miterlimit": "4",
    "stroke-opacity": "1",
    "stroke-width": "1",
    "text-anchor": "start",
    "text-rendering": "auto",
    "visibility": "visible",
    "white-space": "normal",
    "word-spacing": "normal",
    "writing-mode": "lr-tb",
}
# What it does not.
OWN = {
    "baseline-shift": "baseline",
    "clip-path": "none",
    "display": "inline",
    "enable-background": "accumulate",
    "filter": "none",
    "flood-color": "#000",
    "flood-opacity": "1",
    "isolation": "auto",
    "lighting-color": "#fff",
    "mask": "none",
    "mix-blend-mode": "normal",
    "opacity": "1",
    "overflow": "visible",
    "stop-color": "#000",
    "stop-opacity": "1",
    "text-decoration": "none",
    "transform": "",
    "transform-box": "",
    "transform-origin": "",
    "unicode-bidi": "normal",
    "vector-effect": "none",
}
INITIAL = {**INHERITED, **OWN}

_COMPOUND = re.compile(r"(?P<name>\*|[\w-]+)?(?P<rest>(?:[.#][\w-]+)*)")
_AT_RULES_WITHOUT_STYLE = ("@font-face", "@charset", "@namespace")


@dataclass(frozen=True)
class Selector:
    """A compound of a name, an id and classes; "" and () match anything."""

    name: str
    identifier: str
    classes: frozenset[str]

    @property
    def weight(self) -> tuple[int, int, int]:
        """Its specificity."""
        return (bool(self.identifier), len(self.classes), bool(self.name))

    def matches(self, element: Any) -> bool:
        """Tell whether it selects an element."""
        if self.name and self.name != local(element):
            return False
        if self.identifier and self.identifier != element.get("id"):
            return False
        return not self.classes or self.classes <= set(element.get("class", "").split())


@dataclass(frozen=True)
class Sheet:
    """All rules of a document's style sheets, weakest first, and whether they are plain."""

    rules: tuple[tuple[Selector, tuple[tuple[str, str], ...]], ...] = ()
    plain: bool = True
    properties: frozenset[str] = field(default_factory=frozenset)

    def of(self, element: Any) -> Style:
        """Return what the rules say of an element."""
        if not self.rules:
            return {}
        keys = [f".{name}" for name in element.get("class", "").split()]
        candidates = {
            place
            for key in (*keys, f"#{element.get('id')}", local(element), "*")
            for place in self._places.get(key, ())
        }
        found: Style = {}
        for place in sorted(candidates):
            selector, declared = self.rules[place]
            if selector.matches(element):
                found.update(declared)
        return found

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        """Where the rules are that have a class, an id, a name, or nothing as their key."""
        places: dict[str, list[int]] = {}
        for place, (selector, _) in enumerate(self.rules):
            key = f"#{selector.identifier}" if selector.identifier else selector.name or "*"
            if selector.classes and not selector.identifier:
                key = f".{min(selector.classes)}"
            places.setdefault(key, []).append(place)
        return places


def sheet(root: Any) -> Sheet:
    """Read the style sheets of a document."""
    rules: list[tuple[Selector, tuple[tuple[str, str], ...]]] = []
    plain = True
    properties: set[str] = set()
    for element in root.iter("{*}style"):
        text = "".join(element.itertext())
        kind = element.get("type", "text/css").strip().lower()
        plain &= kind in {"", "text/css"} and element.get("media", "all") == "all"
        plain &= "!important" not in text.replace(" ", "") and "\\" not in text
        for rule in styles.all_rules(text):
            declared = tuple(styles.declarations(rule.declarations))
            properties.update(name for name, _ in declared)
            if rule.selectors.startswith("@"):
                plain &= rule.selectors.startswith(_AT_RULES_WITHOUT_STYLE)
                continue
            for text_ in rule.selectors.split(","):
                one = _selector(text_.strip())
                plain &= one is not None
                if one is not None:
                    rules.append((one, declared))
    rules.sort(key=lambda rule: rule[0].weight)  # stable: of equals, the later one wins
    return Sheet(tuple(rules), plain, frozenset(properties))


def _selector(text: str) -> Selector | None:
    """Return a compound selector; None for what is more than that."""
    match = _COMPOUND.fullmatch(text)
    if match is None or not text:
        return None
    parts = re.findall(r"[.#][\w-]+", match["rest"])
    identifiers = [part[1:] for part in parts if part[0] == "#"]
    classes = frozenset(part[1:] for part in parts if part[0] == ".")
    name = match["name"] or ""
    if len(identifiers) > 1:
        return None
    return Selector("" if name == "*" else name, "".join(identifiers), classes)


def declared(element: Any, rules: Sheet) -> Style:
    """Return the properties that are set on an element itself, by whatever means."""
    found = {name: value for name, value in element.attrib.items() if name in INITIAL}
    found.update(rules.of(element))
    for name, value in styles.declarations(element.get("style", "")):
        found[name] = value.removesuffix("!important").strip()
    return {name: value.strip() for name, value in found.items() if value.strip()}


def computed(element: Any, parent: Style, rules: Sheet) -> Style:
    """Return all properties of an element, given its parent's."""
    style = {name: parent.get(name, initial) for name, initial in INHERITED.items()}
    style.update(OWN)
    for name, value in declared(element, rules).items():
        if name in INITIAL:
            is_handed_on = value == "inherit" or (value == "unset" and name in INHERITED)
            style[name] = parent.get(name, INITIAL[name]) if is_handed_on else value
    return style
