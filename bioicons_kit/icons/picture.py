"""A file -> one training picture: an SVG drawn, a photograph cropped, both on a background.

A drawing is sanitized, drawn with transparency, varied and composited as browsers do. A
photograph is turned as its camera says, scaled to cover the picture (Lanczos), cropped in
the middle and varied; the margin is for drawings only.

Every limit on what a file may ask for holds here, but for time and memory: those take a
process that can be killed (`workers`).
"""

import io
import os
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from PIL import Image, ImageOps

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import augment, document, raster
from bioicons_kit.icons.augment import Version
from bioicons_kit.preset import Dataset
from bioicons_kit.svg import optimize, tree

Kind = Literal["svg", "image"]

# A photograph of MAX_PHOTO_PIXELS that compresses badly; an SVG has a limit of its own.
_MAX_BYTES = 256 * 2**20
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate newlines
# A camera's largest picture has 100 million pixels; more is an error or an attack.
MAX_PHOTO_PIXELS = 120_000_000
PHOTO_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


@dataclass(frozen=True)
class Recipe:
    """How a file becomes a picture of `width` x `height` pixels.

    `margin` is the share of a drawing's longer side left free; `renderer` is "auto",
    "cairosvg" or "resvg". Of a photograph that has another shape, `crop` is the part that
    stays, from (0, 0), upper left, to (1, 1), lower right; if None, all of it does, with the
    background beside it. `simplify` has drawings simplified first, which moves outlines by a
    quarter of a pixel in 1024 at most.
    """

    width: int
    height: int
    margin: float
    renderer: str
    version: Version = field(default_factory=Version)
    crop: tuple[float, float] | None = (0.5, 0.5)
    simplify: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture as a model is to see it.

    Attributes:
        image: RGB.
        alpha: how much of each pixel the drawing covers, L; 255 throughout for photographs,
            but for what is beside them.
        renderer: what drew it, with its version.
        removed: what was taken out of the file.
    """

    image: Image.Image
    alpha: Image.Image
    renderer: str
    removed: tuple[str, ...] = ()


def recipe(dataset: Dataset, version: Version) -> Recipe:
    """Return how the preset's pictures are made.

    Raises:
        KitError: the renderer that the preset asks for does not work on this machine.
    """
    raster.choose(dataset.renderer)
    side = dataset.resolution
    return Recipe(side, side, dataset.margin, dataset.renderer, version, simplify=dataset.simplify)


def read(path: Path, kind: Kind) -> bytes:
    """Return a file's content, without waiting for one that is no plain file.

    Raises:
        DocumentError: it cannot be read, or is too large to be looked at.
    """
    limit = tree.MAX_BYTES if kind == "svg" else _MAX_BYTES
    try:
        # A pipe in the place of a file would keep a plain open() waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DocumentError("is no file")
            if found.st_size > limit:
                size = f"{found.st_size / 2**20:,.1f} MiB"
                raise DocumentError(f"the file has {size}; the limit is {limit >> 20}")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limit + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DocumentError(f"cannot be read ({error.strerror})") from error


def make(content: bytes, kind: Kind, recipe: Recipe) -> Picture:
    """Turn a file's content into a picture.

    Raises:
        DocumentError: it is damaged, over a limit, or cannot be drawn.
    """
    size = (recipe.width, recipe.height)
    if kind == "image":
        fitted = _fitted(opened(content), size, recipe.crop)
        fills = recipe.crop is not None
        image, alpha = augment.apply(fitted, recipe.version, fills=fills)
        alpha = Image.new("L", size, 255) if fills else alpha
        return Picture(image, alpha, f"pillow {PIL.__version__}")
    safe = document.sanitize(content, recipe.margin, size)
    svg = optimize.simplify_document(safe.svg).svg if recipe.simplify else safe.svg
    drawing = raster.draw(svg, size, recipe.renderer)
    image, alpha = augment.apply(drawing.image, recipe.version)
    return Picture(image, alpha, drawing.renderer, safe.removed)


def parts(recipe: Recipe) -> dict[str, str]:
    """Return everything but the content that shapes the pixels, for cache keys."""
    return {
        "width": str(recipe.width),
        "height": str(recipe.height),
        "margin": repr(float(recipe.margin)),
        "crop": str(recipe.crop),
        "simplified": f"{optimize.VERSION}/{optimize.TOLERANCE}" if recipe.simplify else "",
        "pillow": PIL.__version__,
        **raster.parts(recipe.renderer),
        **augment.parts(recipe.version),
    }


def opened(content: bytes) -> Image.Image:
    """Return a photograph, RGBA, upright.

    Raises:
        DocumentError: not a picture, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            # Of bombs, for which our limit is stricter; of damaged tags, which do not matter.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=PHOTO_FORMATS) as image:
                if image.width * image.height > MAX_PHOTO_PIXELS:
                    raise DocumentError(f"{image.width} x {image.height} pixels are too many")
                return _rgba(ImageOps.exif_transpose(image))
    except DocumentError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their C code met
        raise DocumentError(f"cannot be decoded as a picture ({type(error).__name__})") from error


def _rgba(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as RGBA; what has more than 8 bits a value keeps the upper."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        values = np.asarray(image, np.float64)
        # Photographs of more than 8 bits use 16, whatever type holds them.
        values = values / 257 if values.max() > 255 else values
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8), "L")
    return image.convert("RGBA")


def _fitted(
    image: Image.Image, size: tuple[int, int], crop: tuple[float, float] | None
) -> Image.Image:
    """Return `image` scaled to cover `size` and cropped, or to lie within it, on nothing."""
    if crop is None:
        return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=(0, 0, 0, 0))
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS, centering=crop)
