"""How alike two pictures are: structural similarity, and whether something broke.

SSIM is that of Wang, Bovik, Sheikh, Simoncelli (IEEE TIP 13(4), 2004) on luminance, with the
uniform window, which is fast to sum. "Broken" is
coarser and local: some 3 x 3 pixels that all differ by more than a quarter of the range in
the same channel, which an edge that moves by half a pixel cannot do.
"""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Rec. 601's luma, as most programs turn colors into gray.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_VISIBLE = 64


def ssim(one: Pixels, other: Pixels) -> float:
    """Return the mean structural similarity of two pictures [height, width, 3]; 1 for equals."""
    x, y = one @ _LUMA, other @ _LUMA
    mean_x, mean_y = _mean(x), _mean(y)
    product = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    variances = _mean(x * x + y * y) - squares
    covariance = _mean(x * y) - product
    similar = (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return float(similar.mean(dtype=np.float64))


def broken(one: Pixels, other: Pixels) -> bool:
    """Tell whether 3 x 3 pixels differ visibly everywhere, in pictures [height, width, 3]."""
    differs = np.abs(one.astype(np.int16) - other) > _VISIBLE
    rows = differs[:-2] & differs[1:-1] & differs[2:]
    return bool((rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]).any())


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means over all windows, [height - 6, width - 6]."""
    height, width = (size - _WINDOW + 1 for size in values.shape)
    rows = values[:height].copy()
    for offset in range(1, _WINDOW):
        rows += values[offset : offset + height]
    sums = rows[:, :width].copy()
    for offset in range(1, _WINDOW):
        sums += rows[:, offset : offset + width]
    means: NDArray[np.float32] = sums / np.float32(_WINDOW**2)
    return means
