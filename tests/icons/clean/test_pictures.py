"""Parts of a document are what the whole shows there."""

import numpy as np
import pytest

from bioicons_kit.icons import document
from bioicons_kit.icons.clean.pictures import SIZE, Pictures, part, window

SVG = "http://www.w3.org/2000/svg"
SHAPES = (
    "<circle cx='30' cy='20' r='19' fill='#c33' stroke='#000' stroke-width='.7'/>"
    "<path d='M-20 5C40 60 70-30 130 38' fill='none' stroke='#25a' stroke-width='2.3'/>"
)


def svg(attributes: str) -> bytes:
    return f"<svg xmlns='{SVG}' {attributes}>{SHAPES}</svg>".encode()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("viewBox='0 0 100 100'", (0, 0, SIZE, SIZE)),
        ("viewBox='0 0 100 50'", (0, 256, SIZE, 512)),
        ("viewBox='0 0 30 100'", (359, 0, 306, SIZE)),  # 358.4 to 665.6
        ("viewBox='0 0 100 50' style='--a:\"x>y\"'", (0, 256, SIZE, 512)),
    ],
)
def test_window(attributes: str, expected: tuple[int, int, int, int]):
    assert window(document.sanitize(svg(attributes), 0).svg) == expected


@pytest.mark.parametrize("attributes", ["viewBox='0 0 100 100'", "viewBox='0 0 100 40'"])
@pytest.mark.parametrize("offset", [(0, 0), (131, 77), (700, 60)])
def test_a_part_is_cut_from_the_whole(attributes: str, offset: tuple[int, int]):
    drawn = Pictures(svg(attributes))
    whole, seen = drawn.by("resvg"), drawn.window
    assert whole is not None
    assert seen is not None
    left, top = seen[0] + offset[0], seen[1] + offset[1]
    found = drawn.part((left, top, 256, 200))
    assert found is not None
    assert found.shape == (200, 256, 3)
    there = whole[top : top + 200, left : left + 256]
    assert there.min() < 255, "nothing is drawn there"
    apart = np.abs(found.astype(int) - there)
    assert apart.mean() < 0.4  # resvg rounds curves that it clips
    assert apart.max() < 100


def test_a_part_clips_at_its_canvas_only():
    small = part(document.sanitize(svg("viewBox='0 0 100 50'"), 0).svg, (10, 300, 64, 32))
    assert b'viewBox="10 300 64 32"' in small
    assert b'overflow="hidden"' not in small


def test_of_what_cannot_be_read_there_is_nothing():
    drawn = Pictures(b"<svg")
    assert drawn.window is None
    assert drawn.by("resvg") is None
    assert drawn.part((0, 0, 8, 8)) is None
