"""What a picture looks like, in a few numbers: colors, coverage, and a hash of its shape.

The palette counts sampled pixels in bins of color and joins each bin to the commonest one
near it; mixed colors of soft edges are too few to count. The hash is the perceptual hash
of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
section 3.2.1: the signs, about their median, of the lowest frequencies of a discrete
cosine transform. The thumbnail is there to check what equal hashes suggest.
"""

import base64
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

THUMB_SIDE = 16  # pixels

_SAMPLED = 128  # pixels a side that the palette is taken from
_COLORS = 6
_LEAST_SHARE = 0.02  # of what is drawn; less is edges and specks
_SAME_COLOR = 56.0  # Euclidean distance in sRGB, 0..255
_GRAY_SIDE, _FREQUENCIES = 32, 8

HexColor = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Looks:
    """The looks of one picture.

    Attributes:
        palette: up to six colors and their shares of what is drawn, the largest first.
        coverage: share of the picture that the drawing covers.
        shape: the perceptual hash, 63 bits, as 16 hexadecimal digits.
        thumb: the picture in 16 x 16 RGB pixels, as base64.
    """

    palette: tuple[tuple[HexColor, Fraction], ...]
    coverage: Fraction
    shape: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    thumb: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{1024}$")]


def of(image: Image.Image, alpha: Image.Image) -> Looks:
    """Return the looks of a picture, RGB, of which `alpha`, L, is drawn."""
    side = min(_SAMPLED, image.width, image.height)
    sampled = np.asarray(image.resize((side, side), Image.Resampling.NEAREST))
    drawn = np.asarray(alpha.resize((side, side), Image.Resampling.NEAREST)) > 127
    coverage = float(np.asarray(alpha, np.float64).mean() / 255)
    thumb = image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX)
    return Looks(
        palette=palette(sampled[drawn]),
        coverage=round(coverage, 4),
        shape=_perceptual_hash(image),
        thumb=base64.b64encode(thumb.tobytes()).decode("ascii"),
    )


def palette(
    pixels: NDArray[np.uint8], most: int = _COLORS, least: float = _LEAST_SHARE
) -> tuple[tuple[str, float], ...]:
    """Return the main colors of RGB pixels `[count, 3]`, as "#rrggbb", and their shares.

    Args:
        pixels: to take the colors from.
        most: colors to return.
        least: share of the pixels below which a color is none.
    """
    if not len(pixels):
        return ()
    high = pixels.astype(np.int64) >> 4
    bins = (high[:, 0] << 8) | (high[:, 1] << 4) | high[:, 2]
    counts = np.bincount(bins, minlength=16**3)
    sums = [np.bincount(bins, pixels[:, channel], 16**3) for channel in range(3)]
    colors: list[NDArray[np.float64]] = []
    weights: list[int] = []
    for number in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]:
        mean = np.array([each[number] for each in sums]) / counts[number]
        distances = [float(np.linalg.norm(mean - color)) for color in colors]
        if distances and min(distances) < _SAME_COLOR:
            weights[int(np.argmin(distances))] += int(counts[number])
        elif len(colors) < most:
            colors.append(mean)
            weights.append(int(counts[number]))
    found = [
        ("#{:02x}{:02x}{:02x}".format(*np.rint(color).astype(int)), round(weight / len(pixels), 4))
        for color, weight in zip(colors, weights, strict=True)
        if weight >= least * len(pixels)
    ]
    return tuple(sorted(found, key=lambda each: (-each[1], each[0])))


def _perceptual_hash(image: Image.Image) -> str:
    """Return the hash of a picture's shape."""
    small = image.convert("L").resize((_GRAY_SIDE, _GRAY_SIDE), Image.Resampling.BOX)
    basis = _cosines()
    frequencies = (basis @ np.asarray(small, np.float64) @ basis.T).ravel()[1:]  # 0: the mean
    # Rounded, so that one that is zero but for the last bit is the same on every processor.
    frequencies = np.round(frequencies, 3)
    bits = np.packbits(np.append(frequencies > np.median(frequencies), False))
    return bits.tobytes().hex()


def _cosines() -> NDArray[np.float64]:
    """Return the lowest frequencies of the discrete cosine transform (type II), [8, 32]."""
    place = np.arange(_GRAY_SIDE) + 0.5
    frequency = np.arange(_FREQUENCIES)
    basis: NDArray[np.float64] = np.cos(np.pi / _GRAY_SIDE * np.outer(frequency, place))
    return basis
