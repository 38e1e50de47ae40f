"""Two documents are compared by both engines, as far as it takes."""

import numpy as np
import pytest

from bioicons_kit.icons.clean import compare
from bioicons_kit.icons.clean.pictures import SIZE, Pictures
from bioicons_kit.svg import likeness

SVG = "http://www.w3.org/2000/svg"


def waves(shift: float, attributes: str = "viewBox='0 0 100 100'", count: int = 30) -> Pictures:
    """Thin lines across, every third moved down a little."""
    lines = "".join(
        f"<path d='M2 {3 * i + 4 + (shift if i % 3 == 0 else 0):.4f}C30 {3 * i} 60 {3 * i + 9} "
        f"98 {3 * i + 4}' fill='none' stroke='#123' stroke-width='.8'/>"
        for i in range(count)
    )
    return Pictures(f"<svg xmlns='{SVG}' {attributes}>{lines}</svg>".encode())


def by_resvg(one: Pictures, other: Pictures) -> float:
    """What the whole pictures lose."""
    before, after = one.by("resvg"), other.by("resvg")
    assert before is not None
    assert after is not None
    return 1 - likeness.ssim(before, after)


def by_cairosvg(one: Pictures, other: Pictures) -> np.ndarray:
    before, after = one.by("cairosvg"), other.by("cairosvg")
    assert before is not None
    assert after is not None
    return likeness.losses(before, after)


@pytest.mark.parametrize("shift", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("attributes", ["viewBox='0 0 100 100'", "viewBox='0 0 100 60'"])
def test_parts_tell_what_the_whole_loses(shift: float, attributes: str):
    one, other = waves(0, attributes), waves(shift, attributes)
    guess = compare._guessed(one, other, by_cairosvg(one, other))
    assert guess == pytest.approx(by_resvg(one, other), rel=0.4)


def test_equal_documents_are_alike_and_resvg_is_not_asked():
    found = compare.compared(waves(0), waves(0))
    assert found == compare.Compared({"cairosvg": 1.0}, 0.0, True)


def test_what_differs_is_seen():
    found = compare.compared(waves(0), waves(0.3))
    assert not found.is_alike
    assert found.loss > 1 - compare.ALIKE


def test_near_the_limit_the_whole_is_drawn_by_resvg():
    asked = set()
    for shift in (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05):
        one, other = waves(0), waves(shift)
        found = compare.compared(one, other)
        asked.add("resvg" in found.similarity)
        lost = by_resvg(one, other)
        if found.is_alike:
            assert lost <= 1.25 * (1 - compare.ALIKE), "0.999 holds"
        if "resvg" in found.similarity:
            assert 1 - found.similarity["resvg"] == pytest.approx(lost, rel=0.05)
    assert asked == {True, False}


def test_a_document_that_no_longer_draws_is_not_alike():
    assert not compare.compared(waves(0), Pictures(b"<svg")).is_alike


def test_places_are_where_most_is_lost_and_inside_the_window():
    losses = np.zeros((32, 32))
    losses[3, 20], losses[30, 2], losses[16, 16] = 5, 9, 1
    window = (0, 64, SIZE, 900)
    places = list(compare._places(losses, window))
    assert len(places) == 2
    for left, top, width, height in places:
        assert 0 <= left <= left + width <= SIZE
        assert 64 <= top <= top + height <= 964
    (left, top, width, height), _ = places
    assert left <= 2 * 32 < left + width
    assert top <= 30 * 32 < top + height + 32
