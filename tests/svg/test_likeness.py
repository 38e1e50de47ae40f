"""The two measures of likeness."""

import numpy as np
import pytest

from bioicons_kit.svg import likeness


def picture() -> np.ndarray:
    blocks = np.random.default_rng(0).integers(0, 255, (8, 8, 3))
    return np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)


def test_equal_pictures_are_alike():
    assert likeness.ssim(picture(), picture()) == 1
    assert not likeness.broken(picture(), picture())


def test_similarity_by_the_formula():
    one, other = np.full((7, 7, 3), 100, np.uint8), np.full((7, 7, 3), 110, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)  # flat: only luminance counts
    assert likeness.ssim(one, other) == pytest.approx(expected, rel=1e-3)


def everywhere(one: np.ndarray, other: np.ndarray) -> float:
    """The index by its definition, window by window, equal ones and all."""
    x, y = (
        np.lib.stride_tricks.sliding_window_view(picture @ [0.299, 0.587, 0.114], (7, 7))
        for picture in (one, other)
    )
    mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
    covariance = (x * y).mean((2, 3)) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar /= (mean_x**2 + mean_y**2 + c1) * (x.var((2, 3)) + y.var((2, 3)) + c2)
    return similar.mean()


@pytest.mark.parametrize("size", [(7, 7), (38, 39), (100, 71), (70, 230)])
@pytest.mark.parametrize("changes", [1, 9, 400])
def test_windows_that_are_not_computed_change_nothing(size, changes):
    random = np.random.default_rng(changes)
    one = random.integers(0, 255, (*size, 3)).astype(np.uint8)
    other = one.copy()
    rows, columns = (random.integers(0, side, changes) for side in size)
    other[rows, columns] = random.integers(0, 255, (changes, 3))
    assert likeness.ssim(one, other) == pytest.approx(everywhere(one, other), abs=1e-6)


def test_less_alike_is_less():
    one = picture()
    some, more = one.copy(), one.copy()
    some[10:14], more[10:30] = 255 - some[10:14], 255 - more[10:30]
    assert 1 > likeness.ssim(one, some) > likeness.ssim(one, more)


@pytest.mark.parametrize(("height", "width", "change", "is_broken"), [
    (3, 3, 65, True), (2, 40, 200, False), (3, 3, 64, False), (3, 3, -65, True),
])  # fmt: skip
def test_broken_is_nine_pixels_together(height, width, change, is_broken):
    one = np.full((50, 50, 3), 100, np.uint8)
    other = one.astype(int)
    other[5 : 5 + height, 7 : 7 + width] += change
    assert likeness.broken(one, other.astype(np.uint8)) == is_broken


def test_losses_say_where():
    one = np.full((200, 150, 3), 255, np.uint8)
    other = one.copy()
    other[70:80, 100:110] = 0
    found = likeness.losses(one, other)
    assert found.shape == (7, 5)
    assert set(zip(*np.nonzero(found), strict=True)) == {(2, 2), (2, 3), (2, 3)}
    assert likeness.ssim(one, other) == pytest.approx(1 - found.sum() / (194 * 144))
