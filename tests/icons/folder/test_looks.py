"""Palettes hold what is drawn; hashes of shape are near where pictures are near."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from bioicons_kit.icons.folder import looks, near_duplicates
from bioicons_kit.icons.folder.looks import Looks


def drawing(
    shape: str = "ellipse", box: tuple[int, int, int, int] = (30, 20, 90, 100), color: str = "red"
) -> tuple[Image.Image, Image.Image]:
    image, alpha = Image.new("RGB", (128, 128), "white"), Image.new("L", (128, 128), 0)
    getattr(ImageDraw.Draw(image), shape)(box, fill=color)
    getattr(ImageDraw.Draw(alpha), shape)(box, fill=255)
    return image, alpha


def bits(first: Looks, second: Looks) -> int:
    return (int(first.shape, 16) ^ int(second.shape, 16)).bit_count()


def test_the_palette_is_of_what_is_drawn_and_adds_up():
    image, alpha = Image.new("RGB", (100, 100), "white"), Image.new("L", (100, 100), 0)
    for box, color in (((10, 10, 49, 49), "#d02030"), ((50, 10, 89, 29), "#2060c0")):
        ImageDraw.Draw(image).rectangle(box, color)
        ImageDraw.Draw(alpha).rectangle(box, 255)
    found = looks.of(image, alpha)
    assert [color for color, _ in found.palette] == ["#d02030", "#2060c0"]
    assert [share for _, share in found.palette] == pytest.approx([2 / 3, 1 / 3], abs=0.02)
    assert found.coverage == pytest.approx(0.24, abs=1e-4)


def test_nothing_drawn_has_no_palette():
    empty = looks.of(Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 64), 0))
    assert empty.palette == ()
    assert empty.coverage == 0


@settings(max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(1, 300), st.just(3))))
def test_any_pixels_have_a_palette(pixels: np.ndarray):
    found = looks.palette(pixels)
    assert 0 < len(found) <= 6 or all(share >= 0.02 for _, share in found)
    assert sum(share for _, share in found) <= 1 + 1e-3
    assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)


def test_a_shade_of_a_color_is_that_color():
    pixels = np.array([[200, 30, 40]] * 90 + [[210, 40, 50]] * 10, np.uint8)
    assert looks.palette(pixels) == (("#c81e28", 1.0),)


def test_hashes_are_near_for_near_pictures_and_far_for_others():
    one = looks.of(*drawing())
    moved = looks.of(*drawing(box=(31, 20, 91, 101)))
    recolored = looks.of(*drawing(color="#d01010"))
    other = looks.of(*drawing("rectangle", (5, 90, 120, 120)))
    assert bits(one, moved) <= 6
    assert bits(one, recolored) <= 6
    assert bits(one, other) > 16
    small = drawing()[0].resize((64, 64), Image.Resampling.BOX)
    assert bits(one, looks.of(small, Image.new("L", (64, 64), 255))) <= 2


def test_thumbnails_are_what_the_type_says():
    found = looks.of(*drawing())
    assert len(base64.b64decode(found.thumb)) == 16 * 16 * 3
    assert len(found.shape) == 16


def test_near_duplicates_are_found_and_others_are_not():
    pictures = [
        drawing(),
        drawing("rectangle", (5, 90, 120, 120)),
        drawing(box=(31, 20, 91, 100)),
        drawing(box=(5, 5, 60, 60), color="blue"),
        drawing("rectangle", (5, 90, 120, 120)),
    ]
    found = near_duplicates.pairs([looks.of(*each) for each in pictures])
    assert [(pair.first, pair.second) for pair in found] == [(1, 4), (0, 2)]
    assert found[0].difference == 0 < found[1].difference < near_duplicates.MOST_DIFFERENCE


def test_recolored_drawings_are_no_duplicates():
    pair = [looks.of(*drawing(color=color)) for color in ("#d02030", "#2030d0")]
    assert near_duplicates.pairs(pair) == []


def test_blocks_do_not_hide_pairs(monkeypatch: pytest.MonkeyPatch):
    generator = np.random.default_rng(1)
    boxes = [(10, 10, int(x), int(y)) for x, y in generator.integers(40, 120, (12, 2))]
    given = [looks.of(*drawing(box=box)) for box in boxes] * 2
    whole = near_duplicates.pairs(given)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 5)
    assert near_duplicates.pairs(given) == whole
    assert {(i, i + 12) for i in range(12)} <= {(p.first, p.second) for p in whole}


def test_too_few_to_compare():
    assert near_duplicates.pairs([]) == []
    assert near_duplicates.pairs([looks.of(*drawing())]) == []
