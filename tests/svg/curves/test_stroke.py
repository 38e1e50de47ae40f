"""Joints and caps of strokes, by hand."""

import math

import numpy as np
import pytest

from bioicons_kit.svg.curves import stroke
from bioicons_kit.svg.curves.stroke import Stroke


def direction(degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]])


@pytest.mark.parametrize(
    ("turn", "line", "reach"),
    [
        (90, Stroke(1), math.sqrt(2)),
        (90, Stroke(1, "bevel"), math.sqrt(0.5)),
        (90, Stroke(1, "round"), 1),
        (0, Stroke(3), 3),
        (150, Stroke(1), 1 / math.cos(math.radians(75))),
        (152, Stroke(1), math.cos(math.radians(76))),  # beyond the limit of 4: a bevel
        (90, Stroke(1, limit=1), math.sqrt(0.5)),
    ],
)
def test_tips(turn, line, reach):
    (tip,) = stroke.tips(direction(0), direction(turn), line)
    assert math.hypot(*tip) == pytest.approx(reach)
    if turn:
        assert tip[1] <= 0 <= tip[0] + 1e-9  # outside of a turn to the left, seen from the node


def test_a_joint_that_flips_from_miter_to_bevel_has_moved():
    old, new = (direction(0), direction(150.5)), (direction(0), direction(151.5))
    assert stroke.moved(old, new, Stroke(1), 0.1).all()
    assert not stroke.moved(old, new, Stroke(1, "round"), 0.1).any()


def test_a_smooth_joint_that_turns_as_a_whole_has_not():
    old, new = (direction(0), direction(0)), (direction(3), direction(3.1))
    assert not stroke.moved(old, new, Stroke(100), 0.1).any()


def test_caps():
    assert stroke.turned(direction(0), direction(1), Stroke(10), 0.1).all()
    assert not stroke.turned(direction(0), direction(1), Stroke(1), 0.1).any()
    assert not stroke.turned(direction(0), direction(90), Stroke(9, cap="round"), 0.1).any()
