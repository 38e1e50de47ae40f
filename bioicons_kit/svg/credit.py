"""License and attribution in an SVG: RDF with Dublin Core and Creative Commons terms.

Editors write much into `<metadata>`; what says whose a drawing is, and under which terms,
is kept word for word: the statements of the vocabularies below, but those that say only
that the file is an SVG, or nothing. The form is that of Inkscape ("cc:Work" about the
document itself), which other programs read, too.
"""

from dataclasses import dataclass
from typing import Any

from lxml import etree

from bioicons_kit.svg.tree import SVG, namespace

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
CC = "http://creativecommons.org/ns#"
_TERMS = {DC, CC, "http://purl.org/dc/terms/", "http://web.resource.org/cc/"}
_NAMESPACES: dict[str | None, str] = {None: SVG, "rdf": RDF, "dc": DC, "cc": CC}
# True of every SVG, or about the license and not the drawing.
_EMPTY_WORDS = {"format", "type"}
_ABOUT_LICENSE = {"permits", "requires", "prohibits", "License"}


@dataclass(frozen=True)
class Credit:
    """What is known of a drawing: license URL, author, source URL, title; "" where unknown."""

    license: str = ""
    author: str = ""
    source: str = ""
    title: str = ""

    def __bool__(self) -> bool:
        return bool(self.license or self.author or self.source or self.title)


def kept(root: Any) -> Any | None:
    """Return a `<metadata>` element with what a document says of its origin; None if nothing."""
    statements = [
        statement
        for rdf in root.iter(f"{{{RDF}}}RDF")
        for subject in rdf
        if isinstance(subject.tag, str)
        for statement in subject
        if isinstance(statement.tag, str) and _says_something(statement)
    ]
    if not statements:
        return None
    metadata, work = _work()
    for statement in statements:
        copy = etree.fromstring(etree.tostring(statement, with_tail=False))
        for element in copy.iter():
            element.tail = None
            element.text = (element.text or "").strip() or None
        work.append(copy)
    etree.cleanup_namespaces(metadata)
    return metadata


def written(credit: Credit) -> Any:
    """Return a `<metadata>` element that says what is known."""
    metadata, work = _work()
    if credit.title:
        etree.SubElement(work, f"{{{DC}}}title").text = credit.title
    if credit.author:
        creator = etree.SubElement(work, f"{{{DC}}}creator")
        agent = etree.SubElement(creator, f"{{{CC}}}Agent")
        etree.SubElement(agent, f"{{{DC}}}title").text = credit.author
    if credit.source:
        etree.SubElement(work, f"{{{DC}}}source").text = credit.source
    if credit.license:
        etree.SubElement(work, f"{{{CC}}}license").set(f"{{{RDF}}}resource", credit.license)
    return metadata


def _work() -> tuple[Any, Any]:
    """Return `<metadata>` and, in it, the empty description of the document itself."""
    metadata = etree.Element(f"{{{SVG}}}metadata", nsmap=_NAMESPACES)
    rdf = etree.SubElement(metadata, f"{{{RDF}}}RDF")
    work = etree.SubElement(rdf, f"{{{CC}}}Work")
    work.set(f"{{{RDF}}}about", "")
    return metadata, work


def _says_something(statement: Any) -> bool:
    """Tell whether a statement is about the drawing's origin, and not empty."""
    name = etree.QName(statement).localname
    if namespace(statement) not in _TERMS or name in _EMPTY_WORDS | _ABOUT_LICENSE:
        return False
    has_text = any((text or "").strip() for text in statement.itertext())
    return has_text or any(
        element.get(f"{{{RDF}}}resource") for element in statement.iter() if element.attrib
    )
