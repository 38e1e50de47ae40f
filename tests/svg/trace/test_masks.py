"""Extremes around pixels, against scipy's filters."""

import numpy as np
import pytest
from scipy import ndimage

from bioicons_kit.svg.trace import masks


@pytest.mark.parametrize("reach", range(9))
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (31, 17)])
def test_a_mask_is_widened_as_far_as_asked_for(reach, shape):
    mask = np.random.default_rng(reach).random(shape) > 0.97
    expected = ndimage.maximum_filter(mask.view(np.uint8), size=2 * reach + 1) > 0
    before = mask.copy()
    assert np.array_equal(masks.widened(mask, reach), expected)
    assert np.array_equal(mask, before)


@pytest.mark.parametrize(
    ("larger", "by_scipy"),
    [(np.maximum, ndimage.maximum_filter), (np.minimum, ndimage.minimum_filter)],
)
def test_extremes_of_colors_keep_the_channels_apart(larger, by_scipy):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    assert np.array_equal(masks.spread(pixels, 1, larger), by_scipy(pixels, size=(3, 3, 1)))
