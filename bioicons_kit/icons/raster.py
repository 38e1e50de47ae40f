"""A safe, square SVG -> an RGB picture on a flat background.

cairosvg is the engine; where the system has no libcairo, resvg, which brings everything
with it, does the same work. Give the renderers only what `document.sanitize` returned:
resvg reads files that an SVG names.
"""

import functools
import importlib
import importlib.metadata
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageFont

from bioicons_kit import console
from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import document

# The recipe of sanitizer and renderer options: raise it when a change of either changes
# pixels, and caches are rebuilt.
VERSION = "1"

# Fonts that stand in where a file's own is missing, by preference: free ones that Linux
# systems have, then those of macOS and Windows.
_STAND_INS = ("DejaVuSans", "LiberationSans-Regular", "NotoSans-Regular", "Arial", "arial")
_FONT_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "C:/Windows/Fonts"),
)
_HOW_TO_INSTALL = (
    "Debian and Ubuntu `apt install libcairo2`, macOS `brew install cairo`, Windows the GTK runtime"
)


@dataclass(frozen=True)
class Renderer:
    """The engine that draws, and its version, both part of what shapes the pixels."""

    name: str
    version: str


def choose(name: str) -> Renderer:
    """Return the renderer of that name; "auto" is cairosvg, or resvg without libcairo.

    Raises:
        KitError: the renderer that was asked for does not work on this machine.
    """
    if name == "auto":
        if _cairosvg() is not None:
            return Renderer("cairosvg", _version("CairoSVG"))
        _warn_once()
        return Renderer("resvg", _version("resvg_py"))
    if name == "cairosvg" and _cairosvg() is None:
        raise KitError(
            "dataset.renderer is 'cairosvg', but the system's libcairo is missing; install it "
            f"({_HOW_TO_INSTALL}) or set dataset.renderer to 'resvg'"
        )
    return Renderer(name, _version({"cairosvg": "CairoSVG", "resvg": "resvg_py"}[name]))


def picture(
    data: bytes, size: int, background: str, margin: float, renderer: Renderer
) -> Image.Image:
    """Draw an untrusted SVG file as an RGB picture of `size` x `size` pixels.

    Raises:
        DocumentError: the file cannot be used, or the renderer fails on it.
    """
    return render(document.sanitize(data, margin).svg, size, background, renderer)


def render(document_svg: bytes, size: int, background: str, renderer: Renderer) -> Image.Image:
    """Draw a sanitized document on a background ("#rrggbb"), RGB, [size, size].

    Raises:
        DocumentError: the renderer fails on it.
    """
    try:
        png = _ENGINES[renderer.name](document_svg, size)
        drawing = Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGBA")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in resvg is no Exception
        reason = " ".join(str(error).split())[:120]
        raise DocumentError(f"{renderer.name} cannot draw it: {reason or repr(error)}") from error
    if drawing.size != (size, size):
        raise DocumentError(f"{renderer.name} drew {drawing.size} pixels instead of {size}")
    flat = Image.new("RGBA", drawing.size, ImageColor.getrgb(background))
    return Image.alpha_composite(flat, drawing).convert("RGB")


def fingerprint(renderer: Renderer, size: int, background: str, margin: float) -> dict[str, str]:
    """Return everything but the file that shapes the pixels, for cache keys."""
    return {
        "raster": VERSION,
        "renderer": renderer.name,
        "renderer_version": renderer.version,
        "size": str(size),
        "background": background,
        "margin": repr(float(margin)),
        "font": (stand_in_font() or "") if renderer.name == "resvg" else "",
    }


@functools.cache
def stand_in_font() -> str | None:
    """Return the family of an installed font for text whose own font is missing."""
    fonts: dict[str, Path] = {}
    for folder in _FONT_FOLDERS:
        for path in sorted(Path(folder).expanduser().rglob("*.ttf")):
            fonts.setdefault(path.stem, path)
    for stem in (*_STAND_INS, *fonts):
        if stem in fonts:
            try:
                return str(ImageFont.truetype(fonts[stem]).getname()[0])
            except OSError:
                continue
    return None


def _with_cairosvg(svg: bytes, size: int) -> bytes:
    """Return a PNG drawn by cairosvg."""
    cairosvg = _cairosvg()
    assert cairosvg is not None, "choose() gave a renderer that cannot be had"
    return bytes(cairosvg.svg2png(bytestring=svg, output_width=size, output_height=size))


def _with_resvg(svg: bytes, size: int) -> bytes:
    """Return a PNG drawn by resvg, which drops text whose font nothing stands in for."""
    resvg = importlib.import_module("resvg_py")
    family = stand_in_font()
    fonts = (
        {f"{kind}_family": family for kind in ("font", "serif", "sans_serif", "monospace")}
        if family
        else {}
    )
    text = svg.decode("utf-8")
    return bytes(resvg.svg_to_bytes(svg_string=text, width=size, height=size, dpi=96, **fonts))


_ENGINES: dict[str, Callable[[bytes, int], bytes]] = {
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


def _version(distribution: str) -> str:
    """Return the installed version of a distribution."""
    return importlib.metadata.version(distribution)
