"""A safe SVG -> pixels, by cairosvg or by resvg.

cairosvg is the engine. What it is known to draw wrong (`quirks`), and what it fails on, is
drawn by resvg, file by file; where the system has no libcairo, resvg, which brings
everything with it, draws all. Asked for by name, an engine draws all by itself.

Text is drawn with installed fonts only (`fonts`), so that none vanishes. Give the engines
only what `document.sanitize` returned: resvg reads files that an SVG names.
"""

import functools
import importlib
import importlib.metadata
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from bioicons_kit import console
from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import document
from bioicons_kit.icons.draw import fonts, quirks
from bioicons_kit.icons.draw.fonts import Readable

# The recipe of sanitizer, choice of engine and engines' options: raise it when a change of
# any of them changes pixels, and caches are rebuilt.
VERSION = "2"

_DISTRIBUTIONS = {"cairosvg": "CairoSVG", "resvg": "resvg_py"}
_HOW_TO_INSTALL = (
    "Debian and Ubuntu `apt install libcairo2`, macOS `brew install cairo`, Windows the GTK runtime"
)


@dataclass(frozen=True)
class Renderer:
    """An engine and its version, both part of what shapes the pixels."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Drawing:
    """A document drawn: RGBA, straight alpha, and the engine with its version."""

    image: Image.Image
    renderer: str


def choose(name: str) -> Renderer:
    """Return the renderer of that name; of "auto" the first choice, which is cairosvg.

    Raises:
        KitError: the renderer that was asked for does not work on this machine.
    """
    if name == "auto":
        if _cairosvg() is None:
            _warn_once()
        return _engine("resvg" if _cairosvg() is None else "cairosvg")
    if name == "cairosvg" and _cairosvg() is None:
        raise KitError(
            "dataset.renderer is 'cairosvg', but the system's libcairo is missing; install it "
            f"({_HOW_TO_INSTALL}) or set dataset.renderer to 'resvg'"
        )
    return _engine(name)


def draw(document_svg: bytes, size: tuple[int, int], renderer: str) -> Drawing:
    """Draw a sanitized document on nothing, `size` being its width and height in pixels.

    Args:
        document_svg: what `document.sanitize` returned.
        size: width and height in pixels.
        renderer: "auto", "cairosvg" or "resvg".

    Raises:
        DocumentError: no engine that may draw it can.
        KitError: the renderer does not work on this machine.
    """
    first, *others = _candidates(document_svg, renderer)
    readable = fonts.readable(document_svg)
    try:
        return Drawing(_drawn(readable, size, first.name), str(first))
    except DocumentError:
        for other in others:
            try:
                return Drawing(_drawn(readable, size, other.name), str(other))
            except DocumentError:
                continue
        raise


def on_white(document_svg: bytes, size: tuple[int, int], engine: str) -> Image.Image:
    """Draw a sanitized document on white with one engine, RGB; quicker than laying `draw` on it.

    Raises:
        DocumentError: the engine cannot draw it.
        KitError: the engine does not work on this machine.
    """
    return _drawn(fonts.readable(document_svg), size, choose(engine).name, "white")


def picture(
    data: bytes, size: int, background: str, margin: float, renderer: Renderer
) -> Image.Image:
    """Draw an untrusted SVG file with one engine, RGB on "#rrggbb", `size` x `size` pixels.

    Raises:
        DocumentError: the file cannot be used, or the engine fails on it.
    """
    drawing = draw(document.sanitize(data, margin).svg, (size, size), renderer.name).image
    flat = Image.new("RGBA", drawing.size, background)
    return Image.alpha_composite(flat, drawing).convert("RGB")


def parts(renderer: str) -> dict[str, str]:
    """Return everything but the document and its size that shapes the pixels."""
    choose(renderer)
    engines = _DISTRIBUTIONS if renderer == "auto" else (renderer,)
    usable = [_engine(name) for name in engines if name == "resvg" or _cairosvg() is not None]
    module = None if renderer == "resvg" else _cairosvg()
    return {
        "raster": VERSION,
        "renderer": renderer,
        "engines": ", ".join(map(str, usable)),
        "cairo": module.surface.cairo.cairo_version_string() if module else "",
        "fonts": fonts.fingerprint(),
    }


def _candidates(document_svg: bytes, renderer: str) -> list[Renderer]:
    """Return the engines that may draw a document, the better one first."""
    if renderer != "auto" or _cairosvg() is None:
        return [choose(renderer)]
    names = ["cairosvg", "resvg"]
    return [_engine(name) for name in (names[::-1] if quirks.of(document_svg) else names)]


def _drawn(
    readable: Readable, size: tuple[int, int], engine: str, ground: str | None = None
) -> Image.Image:
    """Draw a document with one engine: RGBA, or RGB on a ground of a color."""
    try:
        drawing = _ENGINES[engine](readable, size, ground)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic in resvg is no Exception
        reason = " ".join(str(error).split())[:120]
        raise DocumentError(f"{engine} cannot draw it: {reason or repr(error)}") from error
    if drawing.size != size:
        raise DocumentError(f"{engine} drew {drawing.size} pixels instead of {size}")
    return drawing


def _with_cairosvg(document: Readable, size: tuple[int, int], ground: str | None) -> Image.Image:
    """Draw with cairosvg, RGBA, or RGB on a ground."""
    cairosvg = _cairosvg()
    assert cairosvg is not None, "choose() gave a renderer that cannot be had"
    if document.family and not fonts.installed():
        raise DocumentError("cairosvg needs an installed font for its text, and there is none")
    drawn = cairosvg.surface.PNGSurface(
        cairosvg.parser.Tree(bytestring=document.svg),
        None,  # nothing is written: making a PNG takes longer than most drawings
        96,
        output_width=size[0],
        output_height=size[1],
        background_color=ground,
    ).cairo
    drawn.flush()
    actual = (drawn.get_width(), drawn.get_height())
    pixels, stride = bytes(drawn.get_data()), drawn.get_stride()
    is_little = sys.byteorder == "little"  # words are native, colors premultiplied
    if ground is not None:
        return Image.frombytes(
            "RGB", actual, pixels, "raw", "BGRX" if is_little else "XRGB", stride
        )
    layout = "BGRa" if is_little else "aRGB"
    return Image.frombytes("RGBa", actual, pixels, "raw", layout, stride).convert("RGBA")


def _with_resvg(document: Readable, size: tuple[int, int], ground: str | None) -> Image.Image:
    """Draw with resvg, RGBA, or RGB on a ground; it drops text whose font nothing stands in for."""
    resvg = importlib.import_module("resvg_py")
    options: dict[str, Any] = {"width": size[0], "height": size[1], "dpi": 96}
    options |= {} if ground is None else {"background": ground}
    if document.family:
        kinds = ("font", "serif", "sans_serif", "cursive", "fantasy", "monospace")
        options |= {f"{kind}_family": document.family for kind in kinds}
        options["font_files"] = list(map(str, document.files))
    # Reading all fonts takes as long as drawing; other alphabets may need any of them.
    options["skip_system_fonts"] = not document.is_foreign
    png = bytes(resvg.svg_to_bytes(svg_string=document.svg.decode("utf-8"), **options))
    drawn = Image.open(io.BytesIO(png), formats=("PNG",))
    return drawn.convert("RGBA" if ground is None else "RGB")


_ENGINES: dict[str, Callable[[Readable, tuple[int, int], str | None], Image.Image]] = {
    "cairosvg": _with_cairosvg,
    "resvg": _with_resvg,
}


@functools.cache
def _cairosvg() -> Any | None:
    """Return the cairosvg module, or None where it finds no libcairo."""
    try:
        return importlib.import_module("cairosvg")
    except (OSError, ImportError):
        return None


@functools.cache
def _warn_once() -> None:
    """Say that resvg draws because libcairo is missing, once a run."""
    console.warn(
        "libcairo is not installed; icons are drawn with resvg instead. "
        f"To draw with cairosvg, install it: {_HOW_TO_INSTALL}"
    )


def _engine(name: str) -> Renderer:
    """Return an engine with its installed version."""
    return Renderer(name, importlib.metadata.version(_DISTRIBUTIONS[name]))
