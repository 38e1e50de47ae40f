"""What a document's elements refer to, made plain: ids that every renderer finds, or nothing.

Browsers find an id that has spaces in it, or whose reference is percent-encoded; of several
elements with one id they take the first; and they draw an element whose filter, mask, clip
path or marker is missing as if it had none (SVG 2, section 5.1 and 14.2.3). Renderers do
some of this each. After `settle` there is nothing left to differ about.
"""

import re
import urllib.parse
from typing import Any

from bioicons_kit.svg import styles
from bioicons_kit.svg.tree import XLINK, local

_XLINK_HREF = f"{{{XLINK}}}href"
_PLAIN = re.compile(r"[^\W\d][\w.:-]*")
# What is drawn as if it were not there where its target is missing.
_EFFECTS = {"filter", "mask", "clip-path", "marker", "marker-start", "marker-mid", "marker-end"}


def settle(root: Any) -> None:
    """Give ids plain names, unique ones, and references to effects that are missing an end."""
    sheets = "".join(element.text or "" for element in root.iter("{*}style"))
    names: dict[str, str] = {}
    for element in root.iter():
        identifier = element.get("id")
        if identifier is None:
            continue
        if identifier not in names:
            names[identifier] = identifier
            if not _PLAIN.fullmatch(identifier):
                names[identifier] = f"plain-id-{len(names)}"
                element.set("id", names[identifier])
        elif f"#{identifier}" not in sheets:  # a rule may be meant for all of them
            del element.attrib["id"]
    for element in root.iter():
        _settle_element(element, names)


def _settle_element(element: Any, names: dict[str, str]) -> None:
    """Make the references of one element plain."""
    if local(element) == "style" and "url(" in (element.text or "").lower():
        element.text = "\n".join(
            f"{rule.selectors}{{{_declarations(rule.declarations, names)}}}"
            for rule in styles.rules(element.text or "")
        )
    for name, value in element.attrib.items():
        if name == _XLINK_HREF and value.startswith("#"):
            element.set(name, f"#{_target(value[1:], names) or value[1:]}")
        elif name == "style":
            element.set(name, _declarations(value, names))
        elif "url(" in value.lower() and name != "id":
            settled = _value(name, value, names)
            if settled is None:
                del element.attrib[name]
            else:
                element.set(name, settled)


def _declarations(text: str, names: dict[str, str]) -> str:
    """Return declarations with their references made plain."""
    if "url(" not in text.lower():
        return text
    settled = ((name, _value(name, value, names)) for name, value in styles.declarations(text))
    return ";".join(f"{name}:{value}" for name, value in settled if value is not None)


def _value(name: str, value: str, names: dict[str, str]) -> str | None:
    """Return a property's value with plain references; None where an effect has no target."""
    targets = [_target(each, names) for each in styles.references(value)]
    if name in _EFFECTS and None in targets:
        return None
    return styles.renamed(value, lambda each: _target(each, names) or each)


def _target(fragment: str, names: dict[str, str]) -> str | None:
    """Return the plain name of what a fragment refers to; None if there is no such element."""
    return names.get(fragment) or names.get(urllib.parse.unquote(fragment))
