"""Which size a picture is learned at: squares, or aspect buckets of as many pixels.

Bucket sides are multiples of 64 (FLUX needs 16), their product is at most the square's, and
a picture goes to the bucket nearest to it in the logarithm of width / height, so that 2:1 is
as far from 1:1 as 1:2 is (after NovelAI's aspect ratio bucketing, 2022). Pictures are not
enlarged unless asked: one that cannot fill its size is learned at the largest that it fills.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from bioicons_kit.preset import BUCKET_STEP, Sizes

_LONGEST = 2048  # pixels; the longest side of any bucket


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width / height."""
        return self.width / self.height


@cache
def table(resolution: int) -> tuple[Size, ...]:
    """Return the buckets at a resolution, from the tallest to the widest.

    Each height has the largest width that keeps `resolution ** 2` pixels, and the other way
    round; a bucket that another one contains is left out.
    """
    budget = resolution**2
    lying = []
    for height in range(BUCKET_STEP, resolution + 1, BUCKET_STEP):
        width = min(budget // height, _LONGEST) // BUCKET_STEP * BUCKET_STEP
        lying.append(Size(width, height))
    lying = [each for each in lying if not any(_contains(other, each) for other in lying)]
    return tuple(sorted({*lying, *(Size(h, w) for w, h in lying)}, key=lambda size: size.aspect))


def nearest(picture: Size, sizes: Sequence[Size]) -> Size:
    """Return the size whose aspect is nearest to the picture's; of two as near, the first."""
    return min(sizes, key=lambda size: abs(math.log(size.aspect / picture.aspect)))


def fitting(picture: Size, resolution: int, settings: Sizes) -> Size | None:
    """Return the size an image is learned at, or None where it is too small for any.

    Args:
        picture: the image's own size.
        resolution: side of the square whose pixels it may have.
        settings: squares or buckets, and whether images are enlarged.
    """
    if settings.aspects == "buckets":
        size = nearest(picture, table(resolution))
    else:
        size = Size(resolution, resolution)
    if settings.upscale or _fills(picture, size, settings.crop == "none"):
        return size
    if settings.aspects == "square":
        least = max(picture) if settings.crop == "none" else min(picture)
        side = least // BUCKET_STEP * BUCKET_STEP
        return Size(side, side) if side else None
    width, height = (
        min(wanted, own // BUCKET_STEP * BUCKET_STEP)
        for wanted, own in zip(size, picture, strict=True)
    )
    return Size(width, height) if width and height else None


def lines(counts: Mapping[Size, float]) -> tuple[str, ...]:
    """Return the table of sizes and how many showings an epoch has at each, for people."""
    ordered = sorted(counts, key=lambda size: (size.width * size.height, size.aspect))
    total = sum(counts.values())
    return (
        f"{'size':>11}  {'aspect':>6}  {'an epoch':>8}  {'share':>6}",
        *(
            f"{f'{size.width} x {size.height}':>11}  {size.aspect:>6.2f}  {counts[size]:>8.0f}  "
            f"{counts[size] / total:>6.1%}"
            for size in ordered
        ),
    )


def _fills(picture: Size, size: Size, padded: bool) -> bool:
    """Tell whether a picture reaches its size without being enlarged.

    One that is cut has to reach it both ways; one that is padded, either way.
    """
    reaches = (own >= wanted for own, wanted in zip(picture, size, strict=True))
    return any(reaches) if padded else all(reaches)


def _contains(outer: Size, inner: Size) -> bool:
    """Tell whether another size is as large both ways."""
    return outer != inner and outer.width >= inner.width and outer.height >= inner.height
