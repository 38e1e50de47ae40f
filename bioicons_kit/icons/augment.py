"""Versions of a picture: mirrored, turned, shrunk, recolored, on another background.

Which versions a row has follows from dataset.seed, the bucket and the icon's id through
SHA-256: the same on every machine, and untouched by what else is selected.

Geometry and color act on the drawing before it is put on its background. A turned drawing
is made as small as it must be to come no nearer to the edge than it was, so that nothing
is cut. A photograph has no margin to turn in: it is magnified until it fills the picture,
and what is cut is its border.

Limits: whether a picture has a left and a right is read off names and captions, not off
the drawing; lettering is mirrored with the rest.
"""

import colorsys
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from bioicons_kit.icons.row import Row
from bioicons_kit.icons.words.wording import clean_name
from bioicons_kit.preset import RANDOM, Dataset

# Raise it when a change of the code changes pixels, and caches are rebuilt.
VERSION = "1"

# Words that a mirrored picture would make untrue.
_SIDES = re.compile(
    r"(?i)\b(?:(?:left|right)(?:most|wards?|-?hand(?:ed)?|-?sided?)?|[lr]hs)\b"
    r"|clockwise|\b(?:dextr|sinistr)(?:al|o)"
)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
_SUPPORT = 4  # pixels on either side that bicubic and then Lanczos interpolation read
# Random backgrounds are light: most icons are drawn in dark lines for white paper.
_LIGHTNESS, _SATURATION = (0.72, 0.98), 0.7


@dataclass(frozen=True)
class Version:
    """How one showing of a picture differs from the picture as it is.

    `angle` is in degrees, counterclockwise; `scale` below 1 shrinks a drawing and magnifies
    a photograph; `background` is a resolved "#rrggbb".
    """

    flip: bool = False
    angle: float = 0.0
    scale: float = 1.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    background: str = "#ffffff"


def versions(row: Row, dataset: Dataset, captions: Iterable[str] = ()) -> tuple[Version, ...]:
    """Return the versions of a row's picture: one if nothing varies, else one a repeat.

    Args:
        row: whose bucket's `augment` is applied; a validation row is taken as it is.
        dataset: gives the seed and the background.
        captions: the row's captions; one that names a side keeps the picture from being
            mirrored, as the row's name, title, text and template do.
    """
    augment = dataset.buckets[row.bucket].augment
    backgrounds = augment.backgrounds or (dataset.background,)
    varies = not augment.is_off or dataset.background == RANDOM
    count = row.repeats if varies and row.role != "validation" else 1
    seed = f"{dataset.seed}/{row.bucket}/{row.icon.relative}"
    if row.role == "validation" or not varies:
        return (Version(background=_color(backgrounds[0], f"{seed}/0")),)
    may_flip = augment.flip and not has_sides(row, captions)
    # Rows start at different versions, so that with few repeats all of them still occur.
    start = int(_unit(seed, "start") * 2**16)
    made = []
    for number in range(count):
        this = f"{seed}/{number}"
        background = backgrounds[(start + number) % len(backgrounds)]
        made.append(
            Version(
                flip=may_flip and (start + number) % 2 == 1,
                angle=_between(-augment.rotation, augment.rotation, this, "angle"),
                scale=_between(1 - augment.scale, 1, this, "scale"),
                brightness=_between(1 - augment.color, 1 + augment.color, this, "brightness"),
                contrast=_between(1 - augment.color, 1 + augment.color, this, "contrast"),
                saturation=_between(1 - augment.color, 1 + augment.color, this, "saturation"),
                background=_color(background, this),
            )
        )
    return tuple(made)


def showings(row: Row, dataset: Dataset, captions: Iterable[str] = ()) -> Mapping[Version, int]:
    """Return how often an epoch shows each distinct version of a row's picture.

    The counts come to `row.repeats`.
    """
    made = versions(row, dataset, captions)
    if len(made) == 1:
        return {made[0]: row.repeats}
    return Counter(made)


def has_sides(row: Row, captions: Iterable[str] = ()) -> bool:
    """Tell whether the words about a row's picture name a side, so that a mirror would lie."""
    icon = row.icon
    words = (clean_name(icon.path.stem), icon.title, icon.text or "", row.template, *captions)
    return any(_SIDES.search(text) for text in words)


def parts(version: Version) -> dict[str, str]:
    """Return all of a version that shapes the pixels, for cache keys."""
    named = {f"version_{name}": str(value) for name, value in vars(version).items()}
    return {"augment": VERSION, **named}


def apply(
    drawing: Image.Image, version: Version, fills: bool = False
) -> tuple[Image.Image, Image.Image]:
    """Return a drawing's version on its background, and how much of each pixel it covers.

    Args:
        drawing: RGBA, straight alpha, sRGB.
        version: what is done to it.
        fills: whether it is a photograph, which has to fill the picture.

    Returns:
        The picture, RGB, composited in sRGB as browsers do (CSS Compositing 1, 5.1), and
        the coverage, L.
    """
    varied = ImageOps.mirror(drawing) if version.flip else drawing
    shrunk = _filling(varied.size, version) if fills else _fitting(varied, version)
    varied = _recolored(_turned(varied, version.angle, shrunk), version)
    flat = Image.new("RGBA", varied.size, ImageColor.getrgb(version.background))
    return Image.alpha_composite(flat, varied).convert("RGB"), varied.getchannel("A")


def _fitting(drawing: Image.Image, version: Version) -> float:
    """Return the scale at which a turned drawing comes no nearer to the edge than it was."""
    if version.angle == 0:
        return version.scale
    x, y = _outline(drawing)
    if not x.size:
        return version.scale
    half_width, half_height = drawing.width / 2, drawing.height / 2
    margin = max(0.0, min(half_width - np.abs(x).max(), half_height - np.abs(y).max()))
    cos, sin = _turn(version.angle)
    wide = (half_width - margin) / np.abs(cos * x + sin * y).max()
    high = (half_height - margin) / np.abs(cos * y - sin * x).max()
    return float(version.scale * min(1.0, wide, high))


def _filling(size: tuple[int, int], version: Version) -> float:
    """Return the scale (1 or more) at which a turned photograph leaves no corner empty."""
    if version.angle == 0 and version.scale == 1:
        return 1.0
    cos, sin = (abs(part) for part in _turn(version.angle))
    ratio = max(size) / min(size)
    border = 1 - 2 * _SUPPORT / min(size)  # beyond it interpolation would mix in emptiness
    return float((cos + ratio * sin) / version.scale / border)


def _outline(drawing: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return corners that enclose all that is drawn, as x and y from the middle, in pixels.

    Of each row of pixels only the ends matter to how far a turned drawing reaches.
    """
    drawn = np.asarray(drawing.getchannel("A")) > 0
    rows = np.flatnonzero(drawn.any(axis=1))
    left = drawn[rows].argmax(axis=1)
    right = drawing.width - drawn[rows, ::-1].argmax(axis=1)
    x = np.concatenate([left, right, left, right]) - drawing.width / 2
    y = np.concatenate([rows, rows, rows + 1, rows + 1]) - drawing.height / 2
    return x, y


def _turned(drawing: Image.Image, angle: float, scale: float) -> Image.Image:
    """Return a drawing turned about its middle and scaled, in a picture of the same size.

    First turned at full size (bicubic) on a canvas that holds what is needed, then scaled
    (Lanczos, which unlike a transform does not alias when it shrinks). Pillow multiplies
    colors by alpha for both, so that transparent pixels lend no color to edges.
    """
    if angle == 0 and scale == 1:
        return drawing
    width, height = drawing.size
    reach = math.hypot(width, height)
    # As many pixels added on either side: the middle stays the middle.
    pad_x = math.ceil(max(0.0, max(reach, width / scale) - width) / 2)
    pad_y = math.ceil(max(0.0, max(reach, height / scale) - height) / 2)
    canvas = (width + 2 * pad_x, height + 2 * pad_y)
    middle_x, middle_y = canvas[0] / 2, canvas[1] / 2
    cos, sin = _turn(angle)
    # Pillow asks for the way back: where in the drawing a pixel of the canvas comes from.
    back = (
        *(cos, -sin, width / 2 - cos * middle_x + sin * middle_y),
        *(sin, cos, height / 2 - sin * middle_x - cos * middle_y),
    )
    turned = drawing.transform(canvas, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    across, down = width / scale / 2, height / scale / 2
    window = (middle_x - across, middle_y - down, middle_x + across, middle_y + down)
    return turned.resize((width, height), Image.Resampling.LANCZOS, box=window)


def _recolored(drawing: Image.Image, version: Version) -> Image.Image:
    """Return a drawing with brightness, then contrast, then saturation multiplied.

    Contrast is about the mean luma of what is drawn, whatever surrounds it.
    """
    if version.brightness == version.contrast == version.saturation == 1:
        return drawing
    pixels = np.asarray(drawing)
    color = pixels[..., :3].astype(np.float32) * version.brightness
    coverage = pixels[..., 3].astype(np.float64)
    mean = float(((color @ _LUMA) * coverage).sum() / max(coverage.sum(), 1.0))
    color = mean + (color - mean) * version.contrast
    gray = (color @ _LUMA)[..., None]
    color = gray + (color - gray) * version.saturation
    whole = np.dstack([np.clip(np.rint(color), 0, 255).astype(np.uint8), pixels[..., 3]])
    return Image.fromarray(whole, "RGBA")


def _turn(angle: float) -> tuple[float, float]:
    """Return cosine and sine of an angle in degrees."""
    return math.cos(math.radians(angle)), math.sin(math.radians(angle))


def _unit(*names: str) -> float:
    """Return a number from [0, 1) that follows from `names`."""
    digest = hashlib.sha256("/".join(names).encode("utf-8")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _between(low: float, high: float, *names: str) -> float:
    """Return a number between `low` and `high` that follows from `names`, to 4 decimals."""
    return round(low + (high - low) * _unit(*names), 4) + 0.0  # + 0.0: no -0.0 in keys


def _color(given: str, *names: str) -> str:
    """Return a background as "#rrggbb"; "random" becomes a light color by `names`."""
    if given != RANDOM:
        return given
    hue, saturation = _unit(*names, "hue"), _between(0, _SATURATION, *names, "saturation")
    lightness = _between(*_LIGHTNESS, *names, "lightness")
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
