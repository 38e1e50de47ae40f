"""Structural similarity of two pictures (Wang, Bovik, Sheikh, Simoncelli 2004), with numpy.

The paper's own settings: luminance, an 11 x 11 Gaussian window of standard deviation 1.5,
K1 = 0.01, K2 = 0.03, values of 0 to 255, the mean over all windows that lie within the
pictures. Luminance is Rec. 601's, as Pillow's mode "L" has it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

_WINDOW = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the mean structural similarity of two pictures of one size, 1 for equal ones."""
    return float(ssim_map(one, other).mean())


def ssim_map(one: Image.Image, other: Image.Image) -> NDArray[np.float64]:
    """Return the similarity at each place of the window, [height - 10, width - 10]."""
    x, y = (np.asarray(image.convert("L"), np.float64) for image in (one, other))
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return np.asarray(luminance * structure)


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the window's weighted mean at each place, rows first, then columns."""
    rows = sliding_window_view(values, len(_WINDOW), axis=1) @ _WINDOW
    return np.asarray(sliding_window_view(rows, len(_WINDOW), axis=0) @ _WINDOW)
