"""Regions -> layers: what to paint for each color, in which order, so that no seam shows.

Each color is one layer. A layer covers its own region and reaches a little under the
layers painted after it; a hole that later layers fill completely is not cut out at all. So
neighbors never leave a hairline of what lies below, and a border between two colors is
drawn once, by the color that is painted later.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioicons_kit.svg.trace.masks import widened
from bioicons_kit.svg.trace.palette import Floats, Ints
from bioicons_kit.svg.trace.regions import Regions, color_boxes

Mask = NDArray[np.bool_]

_UNDER = 3  # pixels that a layer reaches under later ones
_SOFT = 1.2  # pixels by which that hidden edge is smoothed
_BACKGROUND = -1
_MOST_OF_BORDER = 0.5


@dataclass(frozen=True)
class Layer:
    """What one color paints.

    Attributes:
        color: index of the paint.
        cover: `[h, w]` share of each pixel that is painted; the edge is at 0.5.
        corner: column and row of the picture that `cover` begins at.
    """

    color: int
    cover: Floats
    corner: tuple[int, int]


def background(found: Regions) -> Mask:
    """Return the pixels that belong to the background, by a flood fill from the border.

    The background is the color of most of the border; where there is none, nothing is
    background. The same color inside of the drawing stays.
    """
    first = found.first
    border = np.concatenate([first[0], first[-1], first[1:-1, 0], first[1:-1, -1]])
    counts = np.bincount(border, minlength=len(found.paints))
    color = int(np.argmax(counts))
    if counts[color] < _MOST_OF_BORDER * border.size:
        return np.zeros(first.shape, dtype=bool)
    labels, _ = ndimage.label(first == color)
    outer = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    flooded: Mask = np.isin(labels, np.unique(outer[outer > 0]))
    return flooded


def layers(found: Regions, behind: Mask) -> Iterator[Layer]:
    """Yield the layers, in the order in which they are to be painted.

    Args:
        found: the picture's regions.
        behind: pixels of the background, on which nothing is painted.
    """
    first, second = _without_background(found, behind)
    boxes = color_boxes(first, len(found.paints), 2 * _UNDER)
    colors = sorted(boxes, key=lambda color: -_filled_area(first[boxes[color]] == color))
    rank = np.full(len(found.paints) + 1, -1)  # the last entry is the background's
    rank[colors] = np.arange(len(colors))
    for place, color in enumerate(colors):
        box = boxes[color]
        of_first, of_second, share = rank[first[box]], rank[second[box]], found.share[box]
        mine, later = of_first == place, of_first > place
        body = mine | _covered_holes(mine, later)
        reach = np.ones(body.shape, dtype=np.float32)
        if later.any():
            wide = widened(body, _UNDER)
            reach = ndimage.gaussian_filter(wide.astype(np.float32), _SOFT)
        cover = share * _part(of_first, place, reach) + (1 - share) * _part(of_second, place, reach)
        yield Layer(color, cover, (box[1].start, box[0].start))


def _part(ranks: Ints, place: int, reach: Floats) -> Floats:
    """Return how far a layer covers what has these ranks: its own wholly, later ones in reach."""
    part: Floats = (ranks == place) + (ranks > place) * reach
    return part.astype(np.float32)


def _without_background(found: Regions, behind: Mask) -> tuple[Ints, Ints]:
    """Return `first` and `second` with the background's pixels, and shares, as -1."""
    if not behind.any():
        return found.first, found.second
    first = np.where(behind, _BACKGROUND, found.first)
    color = found.first[behind][0]
    close = widened(behind, 2)
    second = np.where((found.second == color) & close, _BACKGROUND, found.second)
    return first, second


def _filled_area(mask: Mask) -> int:
    """Return how much a color covers with what it encloses."""
    return int(mask.sum() + _holes(mask)[0].sum())


def _holes(mask: Mask) -> tuple[Mask, Ints, int]:
    """Return what `mask` encloses, all areas outside it by number, and their count."""
    labels, count = ndimage.label(~mask)
    open_ = np.zeros(count + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        open_[edge] = True
    open_[0] = True
    return ~open_[labels], labels, count


def _covered_holes(mine: Mask, later: Mask) -> Mask:
    """Return the holes of `mine` in which there is nothing but later layers."""
    enclosed, labels, count = _holes(mine)
    others = np.bincount(labels[~mine & ~later], minlength=count + 1) > 0
    covered: Mask = enclosed & ~others[labels]
    return covered
