"""How alike two pictures are: structural similarity, and whether something broke.

SSIM is that of Wang, Bovik, Sheikh, Simoncelli (IEEE TIP 13(4), 2004) on luminance, with the
uniform window, which is fast to sum (`benchmarks/ssim.py` keeps to the paper's Gaussian one, as
most published numbers do). Windows in which both pictures are equal have similarity 1 and are
not computed: most of an icon is as it was. "Broken" is
coarser and local: some 3 x 3 pixels that all differ by more than a quarter of the range in
the same channel, which an edge that moves by half a pixel cannot do.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Rec. 601's luma, as most programs turn colors into gray.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_VISIBLE = 64
# Windows are looked at in squares of so many: what fits a processor's nearest cache.
BLOCK = 32


def ssim(one: Pixels, other: Pixels) -> float:
    """Return the mean structural similarity of two pictures [height, width, 3]; 1 for equals."""
    height, width = (size - WINDOW + 1 for size in one.shape[:2])
    return float(1 - losses(one, other).sum() / (height * width))


def losses(one: Pixels, other: Pixels) -> NDArray[np.float64]:
    """Return what the similarities of all windows miss of 1, summed by blocks, [rows, columns].

    Args:
        one: a picture [height, width, 3].
        other: another of that size.
    """
    height, width = (size - WINDOW + 1 for size in one.shape[:2])
    found = np.zeros((-(-height // BLOCK), -(-width // BLOCK)))
    for rows, columns in _differing(one, other):
        here = (rows, columns)
        sums = _loss(one[here] @ _LUMA, other[here] @ _LUMA)
        first = columns.start // BLOCK
        found[rows.start // BLOCK, first : first + len(sums)] = sums
    return found


def broken(one: Pixels, other: Pixels) -> bool:
    """Tell whether 3 x 3 pixels differ visibly everywhere, in pictures [height, width, 3]."""
    differs = np.maximum(one, other) - np.minimum(one, other) > _VISIBLE
    rows = differs[:-2] & differs[1:-1] & differs[2:]
    if not rows.any():
        return False
    return bool((rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]).any())


def _differing(one: Pixels, other: Pixels) -> Iterator[tuple[slice, slice]]:
    """Yield the pixels, rows and columns, of blocks of windows that see a difference.

    Blocks that lie side by side come as one.
    """
    height, width = (size - WINDOW + 1 for size in one.shape[:2])
    lefts = np.arange(0, width, BLOCK)
    for top in range(0, height, BLOCK):
        rows = slice(top, min(top + BLOCK, height) + WINDOW - 1)
        differs = (one[rows] != other[rows]).any(0).any(1)  # at once is fifty times slower
        if not differs.any():
            continue
        passed = np.append(0, np.cumsum(differs))
        rights = np.minimum(lefts + BLOCK, width) + WINDOW - 1
        marks = np.concatenate([[False], passed[rights] > passed[lefts], [False]])
        starts, stops = np.flatnonzero(marks[1:] != marks[:-1]).reshape(-1, 2).T
        for first, last in zip(starts, stops - 1, strict=True):
            yield rows, slice(int(lefts[first]), int(rights[last]))


def _loss(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what windows' similarities miss of 1, summed by block, for luma [height, width]."""
    mean_x, mean_y = _mean(x), _mean(y)
    product = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    variances = _mean(x * x + y * y) - squares
    covariance = _mean(x * y) - product
    similar = (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    missed = (1 - similar).sum(0, dtype=np.float64)
    sums: NDArray[np.float64] = np.add.reduceat(missed, np.arange(0, len(missed), BLOCK))
    return sums


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means over all windows, [height - 6, width - 6]: sums of 2, of 4, of 7."""
    for _ in range(2):  # down, then, transposed, across
        pairs = values[:-1] + values[1:]
        fours = pairs[:-2] + pairs[2:]
        values = (fours[:-3] + pairs[4:-1] + values[6:]).T
    means: NDArray[np.float32] = values * np.float32(1 / WINDOW**2)
    return means
