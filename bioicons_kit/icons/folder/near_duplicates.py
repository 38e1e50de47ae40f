"""Pictures that are nearly the same: one drawing saved twice, or changed in a detail.

Hashes of shape that differ in a few bits suggest a pair, thumbnails decide: their root mean
square difference, as a share of the contrast that the flatter of the two has. Recolored
drawings differ in that, and are none.

The limits are from the icons of bioicons that lie beside the kit's repository (1,449 drawn
at 256 px): they give 57 pairs, and a look at each found drawings made from one another in
all but a few; at `.45` instead of `.35` about one in ten only looks alike from afar.
"""

import base64
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioicons_kit.icons.folder.looks import Looks

MOST_BITS = 10  # of 63
MOST_DIFFERENCE = 0.35

_LEAST_CONTRAST = 2.0  # of 255: blank pictures are alike, and no division by zero
_BLOCK = 512  # hashes compared with all others at once


class Pair(NamedTuple):
    """Two pictures by their numbers, the lower first, and how much they differ (0: equal)."""

    first: int
    second: int
    difference: float


def pairs(looks: Sequence[Looks]) -> list[Pair]:
    """Return the pairs of near-duplicates, the most alike first."""
    if len(looks) < 2:
        return []
    shapes = np.array([int(each.shape, 16) for each in looks], np.uint64)
    thumbs = np.stack([_thumb(each) for each in looks])
    contrast = np.maximum(thumbs.std(axis=(1, 2)), _LEAST_CONTRAST)
    found = []
    for first, second in _candidates(shapes):
        rms = float(np.sqrt(((thumbs[first] - thumbs[second]) ** 2).mean()))
        difference = rms / float(min(contrast[first], contrast[second]))
        if difference < MOST_DIFFERENCE:
            found.append(Pair(first, second, round(difference, 4)))
    return sorted(found, key=lambda pair: (pair.difference, pair.first, pair.second))


def _candidates(shapes: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Return the pairs whose hashes differ in few bits, block by block."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(shapes), _BLOCK):
        block = shapes[start : start + _BLOCK, None] ^ shapes[None, :]
        rows, columns = np.nonzero(np.bitwise_count(block) <= MOST_BITS)
        rows = rows + start
        later = columns > rows
        found.extend(zip(rows[later].tolist(), columns[later].tolist(), strict=True))
    return found


def _thumb(looks: Looks) -> NDArray[np.float32]:
    """Return a thumbnail's values, [256, 3]."""
    return np.frombuffer(base64.b64decode(looks.thumb), np.uint8).astype(np.float32).reshape(-1, 3)
