"""Pictures inside an SVG: data URLs of PNG, JPEG, GIF and WebP, and of SVG.

A renderer decodes what it is given, whatever it was announced as; so it is given only
what Pillow decodes completely within the limits, announced as what it is. An SVG in a
data URL is not handed on at all: `document` copies it into the drawing, and here its
ids are made its own.
"""

import base64
import binascii
import io
import re
import urllib.parse
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import Image

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg import styles

# Decoded, 4 bytes a pixel, this is 64 MB; the largest real picture has 5.7 million.
MAX_PIXELS = 16_000_000
# All pictures of one document together.
MAX_TOTAL_PIXELS = 2 * MAX_PIXELS

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


@dataclass
class Budget:
    """How many pixels a document's pictures may still have."""

    pixels: int = MAX_TOTAL_PIXELS


def checked(url: str, budget: Budget) -> str:
    """Return the data URL of the picture in `url`, known to decode; charge the budget.

    Raises:
        DocumentError: not a picture of the four formats, damaged, or too large.
    """
    data = _decoded(url, r"png|jpe?g|pjpeg|gif|webp")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > min(MAX_PIXELS, budget.pixels):
                    raise DocumentError(f"{image.width} x {image.height} pixels are too many")
                kind = str(image.format)
                image.load()
    except DocumentError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their C code met
        raise DocumentError(f"cannot be decoded ({type(error).__name__})") from error
    budget.pixels -= pixels
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"


def is_svg(url: str) -> bool:
    """Tell whether a data URL is announced as an SVG."""
    return re.match(r"(?i)data:image/svg\+xml\b", url) is not None


def svg_bytes(url: str) -> bytes:
    """Return the SVG in a data URL, in base64 or percent-encoded.

    Raises:
        DocumentError: the data URL is damaged.
    """
    return _decoded(url, r"svg\+xml")


def isolate(root: Any, prefix: str) -> None:
    """Rename the ids below `root`, so that they meet none of the document around it."""
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, prefix + value)
            elif value.startswith("#") and name.endswith("}href"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif "url(" in value.lower():
                element.set(name, styles.renamed(value, lambda each: prefix + each))


def _decoded(url: str, kinds: str) -> bytes:
    """Return the bytes of a data URL of one of `kinds`, as forgivingly as browsers do."""
    head, comma, body = url.partition(",")
    if not comma or not re.match(rf"(?i)data:image/({kinds})\b", head):
        raise DocumentError(f"a kind that is not drawn: {head[:40]}")
    if not head.lower().rstrip().endswith("base64"):
        return urllib.parse.unquote_to_bytes(body)
    text = re.sub(r"[\s=]", "", urllib.parse.unquote(body) if "%" in body else body)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError("damaged base64") from error
