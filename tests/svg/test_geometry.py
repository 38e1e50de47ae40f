"""Affine maps, Bézier pieces, and arcs as cubics."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.svg import geometry, path, shapes
from bioicons_kit.svg.geometry import Affine, Arc

UNIT = st.floats(-100, 100, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("", (3, 4)),
        ("translate(5)", (8, 4)),
        ("translate(5,-1)", (8, 3)),
        ("scale(2)", (6, 8)),
        ("scale(2 3)", (6, 12)),
        ("rotate(90)", (-4, 3)),
        ("rotate(90 3 4)", (3, 4)),
        ("skewX(45)", (7, 4)),
        ("skewY(45)", (3, 7)),
        ("matrix(1 2 3 4 5 6)", (20, 28)),
        ("translate(1 2)scale(2)", (7, 10)),
        (" translate( 1 , 2 ) , scale(2) ", (7, 10)),
    ],
)
def test_transforms(text, point):
    found = geometry.transform(text)
    assert found is not None
    assert found.on(np.array([3.0, 4.0])).tolist() == pytest.approx(point)


@pytest.mark.parametrize(
    "text", ["none", "scale()", "scale(1 2 3)", "rotate(1 2)", "matrix(1)", "scale(x)", "scale(1)x",
             "translate(1e999)", "scale(NaN)"]
)  # fmt: skip
def test_what_is_no_transform_is_none(text):
    assert geometry.transform(text) is None


@given(st.tuples(UNIT, UNIT, UNIT, UNIT), st.floats(0, math.tau))
def test_the_norm_is_the_largest_stretch(numbers, angle):
    of = Affine(*numbers)
    direction = np.array([math.cos(angle), math.sin(angle)])
    stretch = float(np.hypot(*of.on(direction)))
    assert of.least - 1e-9 <= stretch <= of.norm + 1e-9


@given(st.lists(UNIT, min_size=8, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_parts_follow_the_whole(numbers, a, b):
    cubic = np.array(numbers).reshape(1, 4, 2)
    part = geometry.parts(cubic, np.array([a]), np.array([b]))
    local = np.linspace(0, 1, 9)[None]
    np.testing.assert_allclose(
        geometry.at(part, local), geometry.at(cubic, a + (b - a) * local), atol=1e-9
    )


@given(
    st.floats(0.1, 50), st.floats(0.1, 50), st.floats(-360, 360), st.booleans(), st.booleans(), UNIT
)
def test_cubics_follow_arcs(rx, ry, rotation, large, sweep, x):
    ends = np.array([[0.0, 0.0], [x, 7.0]])
    cubics = geometry.arc_cubics(ends, Arc(rx, ry, rotation, large, sweep))
    assert cubics[0, 0].tolist() == ends[0].tolist()
    assert cubics[-1, 3].tolist() == ends[1].tolist()
    np.testing.assert_allclose(cubics[1:, 0], cubics[:-1, 3], atol=1e-6)
    # in the ellipse's own frame all points are at distance 1 from one center
    angle = math.radians(rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = geometry.at(cubics, np.linspace(0, 1, 5)[None] * np.ones((len(cubics), 1)))
    points = points.reshape(-1, 2) @ turn
    scale = max(1.0, float(np.hypot(*((ends[0] - ends[1]) / 2 @ turn / (rx, ry)))))
    points = points / (rx * scale, ry * scale)
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solved, *_ = np.linalg.lstsq(matrix, (points**2).sum(1), rcond=None)
    radius = math.sqrt(max(float(solved[2] + solved[:2] @ solved[:2]), 0.0))
    short = len(cubics) < 2  # too little of a turn to find a center by
    assert short or radius == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("element", "nodes", "box"),
    [
        ('<rect x="1" y="2" width="3" height="4"/>', 4, (1, 2, 4, 6)),
        ('<rect width="10" height="4" rx="1"/>', 8, (0, 0, 10, 4)),
        ('<rect width="10" height="4" rx="99" ry="1"/>', 8, (0, 0, 10, 4)),
        ('<circle cx="5" cy="5" r="2"/>', 3, (3, 3, 7, 7)),
        ('<ellipse cx="5" cy="5" rx="2" ry="1px"/>', 3, (3, 4, 7, 6)),
        ('<line x2="3" y2="-4"/>', 2, (0, -4, 3, 0)),
        ('<polygon points="0,0 4,0 4 4"/>', 3, (0, 0, 4, 4)),
        ('<polyline points="0 0 4 0 4-4"/>', 3, (0, -4, 4, 0)),
    ],
)
def test_shapes_are_paths(element, nodes, box):
    from lxml import etree

    outline = shapes.as_path(etree.fromstring(element))
    assert outline is not None
    cubics, _ = path.curves(outline)
    points = geometry.at(cubics, np.linspace(0, 1, 65)[None] * np.ones((len(cubics), 1)))
    points = points.reshape(-1, 2)
    assert tuple(points.min(0)) + tuple(points.max(0)) == pytest.approx(box, abs=0.01)
    assert outline.nodes >= nodes


@pytest.mark.parametrize(
    "element",
    ['<rect width="0" height="4"/>', '<rect width="50%" height="4"/>', '<circle r="-1"/>',
     '<polygon points="0 0 1"/>', '<polygon points="0 0 x 1 2 2"/>', '<ellipse rx="1"/>'],
)  # fmt: skip
def test_shapes_that_draw_nothing_sure_are_none(element):
    from lxml import etree

    assert shapes.as_path(etree.fromstring(element)) is None
