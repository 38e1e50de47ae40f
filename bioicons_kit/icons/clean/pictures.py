"""What an SVG looks like, by each engine, whole and in parts, drawn once.

resvg gives its pictures as PNG, which takes longer to make than most drawings, and clips a
viewport with a layer as large as the canvas. A part of a document, without that clip, takes a tenth
of the time.
"""

import math
import re

import numpy as np

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import document, raster
from bioicons_kit.svg.likeness import Pixels

Box = tuple[int, int, int, int]  # left, top, width, height

# The side at which pictures are compared: where the default tolerance is 1/4 pixel.
SIZE = 1024
# A tag as the canonical form has it, and the attributes that place it.
_TAG = re.compile(rb'<svg(?: [^\s="]+="[^"]*")*>')
_NUMBER = re.compile(rb' (x|y|width|height|viewBox)="([^"]*)"')


class Pictures:
    """A document, drawn by each engine at most once."""

    def __init__(self, data: bytes) -> None:
        self._drawn: dict[str, Pixels | None] = {}
        self._parts: dict[Box, Pixels | None] = {}
        try:
            self._svg: bytes | None = document.sanitize(data, 0.0).svg
        except DocumentError:
            self._svg = None

    def by(self, engine: str) -> Pixels | None:
        """Return the picture [SIZE, SIZE, 3] on white; None where the engine cannot draw it."""
        if engine not in self._drawn:
            self._drawn[engine] = None if self._svg is None else _picture(self._svg, engine)
        return self._drawn[engine]

    @property
    def window(self) -> Box | None:
        """Return where on its canvas, of `SIZE`, the document shows something."""
        return None if self._svg is None else window(self._svg)

    def part(self, box: Box) -> Pixels | None:
        """Return a part of what resvg draws; None where it cannot."""
        if box not in self._parts:
            drawn = None
            if self._svg is not None:
                drawn = _picture(part(self._svg, box), "resvg", box[2:])
            self._parts[box] = drawn
        return self._parts[box]

    def both(self, other: "Pictures") -> tuple[Pixels, Pixels] | None:
        """Return the first pictures that both have of one engine."""
        for engine in ("cairosvg", "resvg"):
            one, two = self.by(engine), other.by(engine)
            if one is not None and two is not None:
                return one, two
        return None


def _picture(svg: bytes, engine: str, size: tuple[int, int] = (SIZE, SIZE)) -> Pixels | None:
    """Draw a sanitized document on white."""
    try:
        return np.asarray(raster.on_white(svg, size, engine))
    except KitError:  # the engine is not there, or cannot draw this
        return None


def window(document_svg: bytes) -> Box:
    """Return where on the canvas a square document of `sanitize` shows something.

    Left, top, width and height, whole units within the document's own viewport.
    """
    _, frame, _ = _split(document_svg)
    numbers = dict(_NUMBER.findall(frame))
    left, top, width, height = (float(numbers[name]) for name in (b"x", b"y", b"width", b"height"))
    right, bottom = math.floor(left + width), math.floor(top + height)
    left, top = math.ceil(left), math.ceil(top)
    return left, top, max(0, right - left), max(0, bottom - top)


def part(document_svg: bytes, box: Box) -> bytes:
    """Return a square document of `sanitize` with a part of its canvas for the whole.

    It is far quicker to draw: the viewport clips nothing, since the canvas does.

    Args:
        document_svg: the document.
        box: of its canvas, within its `window`.
    """
    left, top, width, height = box
    canvas, frame, rest = _split(document_svg)
    seen = f' width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">'
    frame = frame.replace(b' overflow="hidden"', b' overflow="visible"')
    return _NUMBER.sub(b"", canvas)[:-1] + seen.encode() + frame + rest


def _split(document_svg: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the canvas's tag, the frame's, and what follows; they are written canonically."""
    canvas = _TAG.match(document_svg)
    frame = _TAG.match(document_svg, canvas.end() if canvas else 0)
    assert canvas is not None, "a canvas with a frame in it is what `sanitize` makes"
    assert frame is not None
    return canvas[0], frame[0], document_svg[frame.end() :]
