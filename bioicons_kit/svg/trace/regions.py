"""Pixels -> which color each is, and at an edge, which two and how much of each.

An edge pixel is a mixture of the two colors that meet there (renderers mix in sRGB values,
so do we): its share is found by projecting its color on the line between them. The 0.5 level
of such shares lies where the drawn edge was, to a small part of a pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioicons_kit.svg.trace.color import JUST_NOTICEABLE, oklab
from bioicons_kit.svg.trace.masks import widened
from bioicons_kit.svg.trace.paints import Flat, Paint
from bioicons_kit.svg.trace.palette import Floats, Ints, Start, binned, merged

_REACH = 4  # pixels from an edge pixel to the insides that it may be a mixture of
_UNEXPLAINED = 30.0  # of 255: farther than this from every mixture is a color of its own
_THIN_ROUNDS = 6
_SAME = 1.5  # just-noticeable differences below which a thin color is one that is known
_PURE = 0.85  # a color that reaches this share somewhere is there, not only mixed


@dataclass(frozen=True)
class Regions:
    """A picture as shares of palette colors.

    Attributes:
        paints: what the regions are painted with, mostly flat colors.
        first: `[height, width]` index of each pixel's main color.
        second: the other color of an edge pixel; equal to `first` inside.
        share: how much of the pixel `first` has, 0.5..1.
    """

    paints: tuple[Paint, ...]
    first: Ints
    second: Ints
    share: Floats


def regions(
    pixels: NDArray[np.uint8],
    paints: Sequence[Paint],
    start: Start,
    slack: float,
    limit: int | None = None,
) -> Regions:
    """Explain every pixel by one paint or two.

    Args:
        pixels: `[height, width, 3]`.
        paints: the palette; colors of thin lines are added to it.
        start: what is known of the pixels from the patches.
        slack: standard deviation of the picture's noise, 0..255.
        limit: most flat colors, or None.
    """
    where = start.inside < 0
    colors = pixels[where].astype(np.float32)
    points = np.argwhere(where)[:, ::-1] + np.float32(0.5)
    table = [paint.at(points) for paint in paints]
    near = _near(start, len(paints), where)
    far = _UNEXPLAINED + 3 * slack
    mix = _mixtures(colors, table, near)
    flat = {k: np.array(p.color) for k, p in enumerate(paints) if isinstance(p, Flat)}
    for _ in range(_THIN_ROUNDS):
        lost = np.flatnonzero(mix.misfit > far)
        extra = _thin_color(colors[lost], mix.misfit[lost], where.size)
        if extra is None:
            break
        index = _index(flat, extra, len(table))
        if index == len(table) and limit is not None and len(flat) >= limit:
            break
        if index == len(table):
            flat[index] = extra
            table.append(np.broadcast_to(extra, colors.shape))
            near = np.hstack([near, np.zeros_like(near[:, :1])])
        around = _around(lost, where)
        near[around, index] = True
        some = _mixtures(colors[around], [each[around] for each in table], near[around])
        for kept, fresh in zip(mix, some, strict=True):
            kept[around] = fresh
    added = [Flat(tuple(flat[k].tolist())) for k in range(len(paints), len(table))]
    return _filled(where, start.inside, mix, (*paints, *added))


def _filled(
    where: NDArray[np.bool_], inside: Ints, mix: "_Mixtures", paints: tuple[Paint, ...]
) -> Regions:
    """Return the regions of inside pixels and of edge pixels together."""
    first, second = inside.astype(np.int32), inside.astype(np.int32)
    share = np.ones(inside.shape, dtype=np.float32)
    swap = mix.share < 0.5
    first[where] = np.where(swap, mix.second, mix.first)
    second[where] = np.where(swap, mix.first, mix.second)
    share[where] = np.where(swap, 1 - mix.share, mix.share)
    return Regions(paints, first, second, share)


def without_specks(found: Regions, inside: Ints, least: int) -> Regions:
    """Give the pixels of specks, and of slivers that are only mixtures, to what is around them.

    Args:
        found: the regions.
        inside: as in `regions`.
        least: pixels that an area must have to stay.
    """
    keep = np.zeros(found.first.shape, dtype=bool)
    for color, box in color_boxes(found.first, len(found.paints), 0).items():
        mask = found.first[box] == color
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        pure = mask & ((inside[box] == color) | (found.share[box] >= _PURE))
        solid = np.bincount(labels[pure], minlength=count + 1)
        stays = (sizes >= least) & (solid >= np.maximum(1, least // 4))
        stays[0] = False
        keep[box] |= stays[labels]
    if keep.all() or not keep.any():
        return found
    rows, columns = ndimage.distance_transform_edt(
        ~keep, return_distances=False, return_indices=True
    )
    first = found.first[rows, columns]
    second = np.where(keep, found.second, first)
    # a mixture with a color that is gone from here is one with its own neighbor
    gone = ~_still_near(first, second)
    second = np.where(gone, first, second)
    share = np.where(keep & ~gone, found.share, np.float32(1))
    return replace(found, first=first, second=second, share=share)


def color_boxes(first: Ints, count: int, margin: int) -> dict[int, tuple[slice, slice]]:
    """Return the rows and columns in which each color occurs, and `margin` pixels around them."""
    height, width = first.shape
    boxes = {}
    for color, found in enumerate(ndimage.find_objects(first + 1, count)):
        if found is not None:
            rows, columns = found
            boxes[color] = (
                slice(max(0, rows.start - margin), min(height, rows.stop + margin)),
                slice(max(0, columns.start - margin), min(width, columns.stop + margin)),
            )
    return boxes


def _still_near(first: Ints, second: Ints) -> NDArray[np.bool_]:
    """Tell where the second color of a pixel is the first of a pixel next to it (or two away)."""
    found: NDArray[np.bool_] = first == second
    for color, box in color_boxes(np.where(found, -1, second), int(second.max()) + 1, 3).items():
        mine = second[box] == color
        around = widened(first[box] == color, 2)
        found[box] |= mine & around
    return found


def _near(start: Start, count: int, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell for each edge pixel which paints are within reach, `[edge pixels, paints]`."""
    columns = np.zeros((int(where.sum()), count), dtype=bool)
    full = np.zeros(where.shape, dtype=np.bool_)
    for paint, box in color_boxes(start.inside, count, 2 * _REACH).items():
        full[box] = widened(start.inside[box] == paint, _REACH)
        columns[:, paint] = full[where]
        full[box] = False
    for patch, paints in start.shaded.items():
        grown = widened(start.patches == patch, _REACH)[where]
        for paint in paints:
            columns[grown, paint] = True
    return columns


def _around(lost: NDArray[np.intp], where: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the edge pixels within reach of unexplained ones, as rows of the edge pixels."""
    numbers = np.flatnonzero(where)
    full = np.zeros(where.shape, dtype=np.bool_)
    full.ravel()[numbers[lost]] = True
    rows: NDArray[np.intp] = np.flatnonzero(widened(full, 2)[where])
    return rows


def _index(flat: Mapping[int, Floats], color: Floats, following: int) -> int:
    """Return the flat paint that looks like `color`, or `following` if there is none."""
    if not flat:
        return following
    indices = list(flat)
    gaps = np.linalg.norm(oklab(np.array(list(flat.values()))) - oklab(color[None]), axis=1)
    nearest = int(np.argmin(gaps))
    return indices[nearest] if gaps[nearest] < _SAME * JUST_NOTICEABLE else following


class _Mixtures(NamedTuple):
    """For each edge pixel `[n]` two paints, the first one's share, and what is left over."""

    first: Ints
    second: Ints
    share: Floats
    misfit: Floats


def _mixtures(colors: Floats, table: Sequence[Floats], near: NDArray[np.bool_]) -> _Mixtures:
    """Find for each color the pair of paints nearby that explains it best.

    Args:
        colors: `[n, 3]`.
        table: each paint's color at the pixels, `[n, 3]`.
        near: which paints come into question, `[n, paints]`.
    """
    count = len(colors)
    found = _Mixtures(
        np.zeros(count, dtype=np.int32),
        np.zeros(count, dtype=np.int32),
        np.ones(count, dtype=np.float32),
        np.full(count, np.inf, dtype=np.float32),
    )
    for a in range(len(table)):
        _improve(found, np.flatnonzero(near[:, a]), (a, a), colors, table)
        for b in range(a):
            _improve(found, np.flatnonzero(near[:, a] & near[:, b]), (a, b), colors, table)
    alone = np.flatnonzero(~np.isfinite(found.misfit))
    for a in range(len(table)):
        _improve(found, alone, (a, a), colors, table)
    np.sqrt(found.misfit, out=found.misfit)
    return found


def _improve(
    found: _Mixtures,
    rows: NDArray[np.intp],
    pair: tuple[int, int],
    colors: Floats,
    table: Sequence[Floats],
) -> None:
    """Take a mixture of two paints for those of `rows` that it explains better, in place."""
    a, b = pair
    if not rows.size:
        return
    base = table[b][rows]
    line = table[a][rows] - base
    offset = colors[rows] - base
    length = np.maximum(np.einsum("ij,ij->i", line, line), 1e-6)
    along = np.clip(np.einsum("ij,ij->i", offset, line) / length, 0, 1)
    if a == b:
        along = np.ones(len(rows), dtype=np.float32)
    rest = offset - along[:, None] * line
    misfit = np.einsum("ij,ij->i", rest, rest)
    better = misfit < found.misfit[rows]
    chosen = rows[better]
    found.first[chosen], found.second[chosen] = a, b
    found.share[chosen], found.misfit[chosen] = along[better], misfit[better]


def _thin_color(colors: Floats, misfit: Floats, pixels: int) -> Floats | None:
    """Return the color that most unexplained pixels lean to, or None if they are few."""
    if len(colors) < max(20, pixels // 20_000):
        return None
    means, bins, mass = binned(colors, misfit)
    _, groups = merged(means, mass, 6)
    group = groups[bins]
    heaviest = int(np.argmax(np.bincount(group, misfit)))
    chosen = group == heaviest
    extreme = chosen & (misfit >= np.quantile(misfit[chosen], 0.8))
    color: Floats = np.median(colors[extreme], axis=0)
    return color
