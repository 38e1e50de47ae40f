"""Largest and smallest values around each pixel, by shifting whole arrays.

scipy's filters turn every line into doubles first, which takes some thirty times as long for
bytes. Beyond a picture's border there is nothing: the values are those of the pixels there are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def widened(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return where a mask [height, width] is set within `reach` rows and columns."""
    return spread(mask, reach, np.logical_or)


def spread(values: NDArray[Any], reach: int, larger: np.ufunc) -> NDArray[Any]:
    """Return the extremes of values [height, width, ...] within `reach` rows and columns.

    Args:
        values: numbers or truth values.
        reach: how far to look; 3 takes two steps, 4 to 7 take three.
        larger: which of two to take: `np.maximum`, `np.minimum`, or `np.logical_or`.
    """
    found = values
    for axis in (0, 1):
        done = 0
        while done < reach:
            step = min(reach - done, done + 1)  # a larger one would leave gaps at the border
            found = _with_shifted(found, step, axis, larger)
            done += step
    return found


def _with_shifted(values: NDArray[Any], step: int, axis: int, larger: np.ufunc) -> NDArray[Any]:
    """Return the extremes of values and of those `step` before and after along an axis."""
    found = values.copy()
    size = values.shape[axis]
    step = min(size, step)  # nothing is that far away
    ahead, behind = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    ahead[axis], behind[axis] = slice(step, None), slice(None, size - step)
    for one, other in ((tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))):
        larger(found[one], values[other], out=found[one])
    return found
