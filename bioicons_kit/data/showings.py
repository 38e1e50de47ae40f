"""How a row is shown: at which sizes, in which versions, cut where.

Sizes follow from the preset's resolutions and, for images, from their own size; versions
from the bucket's augmentation; where an image is cut, from the seed.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from bioicons_kit.data import bucketing
from bioicons_kit.data.bucketing import Size
from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import augment, picture
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.pictures import quality
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import Dataset


def resolutions(settings: Dataset) -> tuple[int, ...]:
    """Return the sides of the squares that pictures are learned at, or their pixels' roots."""
    return tuple(dict.fromkeys((settings.resolution, *settings.sizes.extra)))


def parts(recipe: Recipe) -> dict[str, str]:
    """Return what of a recipe shapes a picture, as `picture.parts` does.

    That asks for the versions of installed packages, which a hundred thousand rows with
    versions of their own need not do each.
    """
    return {**_of_all(replace(recipe, version=Version())), **augment.parts(recipe.version)}


@cache
def _of_all(recipe: Recipe) -> dict[str, str]:
    """Return the parts of a recipe that its version does not change."""
    return picture.parts(recipe)


def sizes(content: bytes, row: Row, settings: Dataset) -> tuple[Size, ...]:
    """Return the sizes a picture is learned at, each once.

    Raises:
        DocumentError: it is no picture, or too small for any.
    """
    if row.icon.kind == "svg":
        return tuple(Size(side, side) for side in resolutions(settings))
    seen = quality.glance(content)
    if seen.problem:
        raise DocumentError(seen.problem)
    own = Size(seen.width, seen.height)
    found = [bucketing.fitting(own, side, settings.sizes) for side in resolutions(settings)]
    sizes = tuple(dict.fromkeys(size for size in found if size is not None))
    if not sizes:
        raise DocumentError(
            f"{own.width} x {own.height} pixels are too few; dataset.sizes.upscale = true "
            "would enlarge it"
        )
    return sizes


def recipes(
    row: Row, words: Iterable[str], sizes: Sequence[Size], settings: Dataset
) -> tuple[tuple[Recipe, ...], ...]:
    """Return how a row's pictures are made, `[version][size]`."""
    made = augment.versions(row, settings, words)
    crops: list[tuple[float, float] | None] = [(0.5, 0.5)]
    if row.icon.kind == "image" and settings.sizes.crop == "none":
        crops = [None]
    elif row.icon.kind == "image" and settings.sizes.crop == "random" and row.role != "validation":
        crops = [_crop(row, number, settings) for number in range(row.repeats)]
    count = max(len(made), len(crops))
    return tuple(
        tuple(
            replace(
                picture.recipe(settings, made[number % len(made)]),
                width=size.width,
                height=size.height,
                crop=crops[number % len(crops)],
            )
            for size in sizes
        )
        for number in range(count)
    )


def _crop(row: Row, number: int, settings: Dataset) -> tuple[float, float]:
    """Return where the `number`-th showing of a picture is cut, from seed, bucket and id."""
    text = json.dumps([settings.seed, "crop", row.bucket, row.icon.relative, number])
    digest = hashlib.sha256(text.encode()).digest()
    x, y = (int.from_bytes(digest[i : i + 2], "little") / 65535 for i in (0, 2))
    return (round(x, 4), round(y, 4))
