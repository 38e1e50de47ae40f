"""Curves drawn as SVG: round axes, every extreme kept, names escaped."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.train.curves import Line, chart, smoothed, ticks

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, numbers)
def test_ticks_enclose_the_values_in_round_steps(one: float, other: float):
    low, high = sorted((one, other))
    if 0 < high - low < 1e-9 * max(abs(high), abs(low)):
        return
    found = ticks(low, high)
    slack = 1e-6 * (found[1] - found[0])
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8


def test_smoothing_is_the_mean_of_the_last():
    points = [(1, 1.0), (2, math.nan), (3, 3.0), (4, 8.0)]
    assert smoothed(points, 2) == [(1, 1.0), (3, 2.0), (4, 5.5)]


def points_of(drawn: str) -> list[tuple[float, float]]:
    """Return the points of a chart's only curve."""
    (d,) = re.findall(r'<path d="M([^"H]*)" fill="none"', drawn)
    return [tuple(map(float, pair.split(","))) for pair in d.split()]  # type: ignore[misc]


def test_a_curve_runs_from_left_to_right_and_up_is_more():
    drawn = points_of(chart([Line("a", [(0, 0.0), (5, 2.0), (10, 1.0)])], "a"))
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert drawn[1][1] < drawn[2][1] < drawn[0][1]


def test_of_many_points_the_peaks_stay():
    values = [(float(n), 100.0 if n == 7777 else math.sin(n)) for n in range(20000)]
    drawn = points_of(chart([Line("a", values)], "a"))
    assert len(drawn) <= 1300
    assert min(y for _, y in drawn) == pytest.approx(10, abs=1)  # the top


def test_names_are_text_and_the_drawing_is_xml():
    drawn = chart([Line("<b>&", [(0, 1.0)]), Line("x", [(1, 2.0)])], "<script>")
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    ET.fromstring(drawn[: drawn.index("</svg>") + 6])


@pytest.mark.parametrize("values", [[], [(1, math.nan)], [(1, math.inf)]])
def test_without_numbers_it_says_so(values: list[tuple[float, float]]):
    assert "no numbers" in chart([Line("a", values)], "Loss")
