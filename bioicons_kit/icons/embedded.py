"""Pictures inside an SVG: data URLs of PNG, JPEG, GIF and WebP, checked by decoding them.

A renderer decodes what it is given, whatever it was announced as; so it is given only
what Pillow decodes completely within the limits, announced as what it is.
"""

import base64
import binascii
import io
import re
import urllib.parse
import warnings
from dataclasses import dataclass

from PIL import Image

from bioicons_kit.errors import DocumentError

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
    data = _decoded(url)
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


def _decoded(url: str) -> bytes:
    """Return the bytes of a base64 data URL, as forgivingly as browsers do."""
    head, comma, body = url.partition(",")
    if not comma or not re.match(r"(?i)data:image/(png|jpe?g|pjpeg|gif|webp)\b", head):
        raise DocumentError(f"not a PNG, JPEG, GIF or WebP: {head[:40]}")
    if not head.lower().rstrip().endswith("base64"):
        raise DocumentError("not in base64")
    text = re.sub(r"[\s=]", "", urllib.parse.unquote(body) if "%" in body else body)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError("damaged base64") from error
