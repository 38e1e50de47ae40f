"""CSS in SVG files: what it may do here is style; what loads or runs is taken out.

A reader in the manner of CSS Syntax Level 3, as far as finding rules and declarations
needs it: comments, strings, parentheses and braces are respected, values are not
parsed. It is strict on purpose: a declaration with a backslash (which could spell
`url`), with a `url()` that is no `#id`, or with a function that loads, is dropped, and
so is every at-rule, since neither renderer follows any that matters to a picture.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from bioicons_kit.svg import modern

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.DOTALL)
_TOKEN = re.compile(r""""[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|[(){};]|[^"'(){};]+""")
_STRING = re.compile(r""""[^"]*"|'[^']*'""")
_URL = re.compile(r"\burl\(", re.IGNORECASE)
_LOCAL_URL = re.compile(
    r"""\burl\(\s*(?:"#([^"()]+)"|'#([^'()]+)'|#([^"'()\s]+))\s*\)""", re.IGNORECASE
)
_LOADS = re.compile(r"\\|\b(?:image|image-set|src|expression|element|cross-fade)\(", re.IGNORECASE)
# Lengths and transforms in a style sheet would escape the check of what a drawing costs;
# no icon has them there, and not every renderer heeds them.
_GEOMETRY = frozenset(("d", "r", "rx", "ry", "cx", "cy", "x", "y", "width", "height", "transform"))
_MEASURES = {"font", "font-size", "stroke-width", "stroke-dasharray", "stroke-dashoffset"}
_HUGE = re.compile(r"(?<![\d.])\d{10}|\d\.?[eE]\+?\d")


class Rule(NamedTuple):
    """A style rule: its selectors as written, and its declarations."""

    selectors: str
    declarations: str


class Cleaned(NamedTuple):
    """CSS with what it must not do taken out, and what that was."""

    text: str
    removed: tuple[str, ...]


def is_local(value: str) -> bool:
    """Tell whether a property or attribute value loads nothing from outside the file."""
    return _LOADS.search(value) is None and len(_URL.findall(value)) == len(
        _LOCAL_URL.findall(value)
    )


def references(value: str) -> list[str]:
    """Return the ids that a value refers to with `url(#id)`."""
    return [match[match.lastindex or 0] for match in _LOCAL_URL.finditer(value)]


def renamed(value: str, name: Callable[[str], str]) -> str:
    """Return a value with the ids that it refers to replaced."""

    def replaced(match: re.Match[str]) -> str:
        old = match[match.lastindex or 0]
        return match[0].replace(f"#{old}", f"#{name(old)}")

    return _LOCAL_URL.sub(replaced, value)


def declarations(text: str) -> Iterator[tuple[str, str]]:
    """Yield (property, value) of a style attribute or a rule's block."""
    for part, end in _split(_COMMENT.sub(" ", text), ";{}"):
        name, colon, value = part.partition(":")
        if colon and end != "{":
            yield name.strip().lower(), value.strip()


def clean_declarations(text: str, without: Iterable[str] = ()) -> Cleaned:
    """Return declarations that load nothing and are of this world.

    Those of the properties `without` are left out unsaid.
    """
    kept, removed = [], []
    for name, value in declarations(text):
        huge = name in _MEASURES and _HUGE.search(value) is not None
        if (
            huge
            or not is_local(value)
            or not _is_closed(value)
            or not re.fullmatch(r"[\w-]+", name)
        ):
            removed.append(f"CSS {name[:40]}: {value[:60]}")
        elif name not in without:
            kept.append(f"{name}:{modern.plain(value)}")
    return Cleaned(";".join(kept), tuple(removed))


def clean_sheet(text: str) -> Cleaned:
    """Return a style sheet's plain rules with declarations that load nothing."""
    kept, removed = [], []
    for rule in _rules(text):
        if rule.selectors.startswith("@"):
            removed.append(f"CSS {rule.selectors[:60]}")
            continue
        block = clean_declarations(rule.declarations, _GEOMETRY)
        removed += block.removed
        names = {name for name, _ in declarations(rule.declarations)} & _GEOMETRY
        removed += [f"CSS {name} in a style sheet" for name in sorted(names)]
        if block.text:
            kept.append(f"{rule.selectors}{{{block.text}}}")
    return Cleaned("\n".join(kept), tuple(removed))


def rules(text: str) -> list[Rule]:
    """Return the plain rules of a style sheet that `clean_sheet` returned."""
    return [rule for rule in _rules(text) if not rule.selectors.startswith("@")]


def all_rules(text: str) -> list[Rule]:
    """Return the rules of any style sheet, at-rules with their keyword in `selectors`."""
    return list(_rules(text))


def _rules(text: str) -> Iterator[Rule]:
    """Yield the rules at the top level, at-rules with their keyword in `selectors`."""
    selectors, block, depth = "", "", 0
    for part, end in _split(_COMMENT.sub(" ", text), ";{}"):
        if depth == 0:
            selectors += part.strip()
            if end == "{":
                depth = 1
            elif selectors.startswith("@"):  # ends here: @import "x";
                yield Rule(selectors, "")
                selectors = ""
            continue
        block += f"{part};" if depth == 1 and end != "{" else ""
        depth += {"{": 1, "}": -1}.get(end, 0)
        if depth == 0:
            yield Rule(selectors, block)
            selectors, block = "", ""
    if depth:  # the sheet ends within a rule, which CSS closes
        yield Rule(selectors, block)


def _is_closed(value: str) -> bool:
    """Tell whether strings and parentheses end in `value`: what follows it stays outside."""
    outside = _STRING.sub("", value)
    return outside.count("(") == outside.count(")") and not set(outside) & set("\"'")


def _split(text: str, ends: str) -> Iterator[tuple[str, str]]:
    """Yield (text before, character) for each of `ends` outside strings and parentheses."""
    part, depth = "", 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ends and (depth == 0 or token in "{}"):
            yield part, token
            part, depth = "", 0
            continue
        depth += {"(": 1, ")": -1}.get(token, 0)
        depth = max(depth, 0)
        part += token
    if part.strip():
        yield part, ""
