"""Untrusted bytes -> an lxml tree, without touching anything but the bytes.

No network, no DTD, no external entities; internal ones are resolved (Adobe's programs
declare namespaces that way), and libxml2 caps what they may expand to.
"""

from typing import Any

from lxml import etree

from bioicons_kit.errors import DocumentError

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

# The largest of 1,451 real icons has 3.7 MB, most of it pictures inside.
MAX_BYTES = 16 * 2**20


def parse(data: bytes, *, keep_comments: bool = False) -> Any:
    """Parse a document; return its root, an `<svg>` element.

    Args:
        data: the file's bytes, in any encoding that XML may have.
        keep_comments: keep comments and processing instructions in the tree.

    Raises:
        DocumentError: empty, too large, damaged, or not an SVG.
    """
    if not data.strip():
        raise DocumentError("the file is empty")
    if len(data) > MAX_BYTES:
        raise DocumentError(
            f"the file has {len(data) / 2**20:.1f} MiB; the limit is {MAX_BYTES >> 20}"
        )
    parser = etree.XMLParser(
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,  # keeps libxml2's own limits on entities, depth and text
        remove_comments=not keep_comments,
        remove_pis=not keep_comments,
        strip_cdata=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DocumentError(f"not readable as XML: {reason[:200]}") from error
    if local(root) != "svg" or namespace(root) not in {SVG, ""}:
        raise DocumentError(f"not an SVG: the root element is <{local(root)[:40]}>")
    return root


def local(element: Any) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)


def namespace(element: Any) -> str:
    """Return an element's namespace, "" for none."""
    return etree.QName(element).namespace or ""
