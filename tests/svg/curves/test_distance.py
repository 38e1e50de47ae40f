"""The proof, against dense sampling: it may be too careful, never too hopeful."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.svg import geometry
from bioicons_kit.svg.curves import distance
from bioicons_kit.svg.geometry import Arc

COORDINATE = st.floats(-100, 100, allow_nan=False, width=32)
CUBIC = st.lists(COORDINATE, min_size=8, max_size=8).map(lambda n: np.array(n).reshape(4, 2))


def sampled(cubics: np.ndarray, count: int = 200) -> np.ndarray:
    t = np.linspace(0, 1, count)[None] * np.ones((len(cubics), 1))
    return geometry.at(np.asarray(cubics, dtype=float), t).reshape(-1, 2)


def hausdorff(one: np.ndarray, other: np.ndarray) -> float:
    apart = np.hypot(*(one[:, None] - other[None]).transpose(2, 0, 1))
    return float(max(apart.min(0).max(), apart.min(1).max()))


def bound(run: np.ndarray, new: np.ndarray, limit: float) -> float:
    owners = np.zeros(len(run), dtype=np.int64)
    return float(distance.bounds(run, owners, new[None], np.array([limit]))[0])


@settings(max_examples=60)
@given(CUBIC, CUBIC)
def test_any_two_cubics(one, other):
    found = bound(one[None], other, 0.0)
    assert found >= hausdorff(sampled(one[None]), sampled(other[None])) - 2


@settings(max_examples=60)
@given(CUBIC, st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_a_cubic_cut_in_pieces_is_itself(cubic, a, b):
    cuts = np.array([0.0, *sorted((a, b)), 1.0])
    run = geometry.parts(np.repeat(cubic[None], 3, 0), cuts[:-1], cuts[1:])
    size = max(1.0, float(np.ptp(cubic, axis=0).max()))
    wiggles = bool(np.abs(np.diff(cubic, axis=0)).min() < 1e-3 * size)
    found = bound(run, cubic, 0.02 * size)
    # where it comes to a stop or turns back, feet are not unique and less is proven
    assert found <= 0.02 * size or wiggles or found <= size


@settings(max_examples=60)
@given(st.lists(CUBIC, min_size=2, max_size=4), st.floats(0.01, 5))
def test_what_is_proven_holds_for_every_sample(cubics, limit):
    run = np.array(cubics)
    run[1:, 0] = run[:-1, 3]
    new = np.array([run[0, 0], run[0, 1], run[-1, 2], run[-1, 3]])
    found = bound(run, new, limit)
    assert found >= hausdorff(sampled(run), sampled(new[None])) - 2
    if found <= limit:
        assert hausdorff(sampled(run), sampled(new[None])) <= found + 1


def test_a_run_that_goes_back_and_forth_is_not_a_line():
    there = np.array([[0.0, 0], [10, 0], [4, 0], [14, 0]])
    run = geometry.lines(there[:-1], there[1:])
    line = geometry.lines(there[:1], there[-1:])[0]
    assert bound(run, line, 1.0) > 1.0  # as sets of points they are equal
    assert hausdorff(sampled(run), sampled(line[None])) < 0.1


def test_a_circle_the_other_way_round_is_not_the_same():
    quarter = 0.5522847
    one = np.array([[1, 0], [1, quarter], [quarter, 1], [0, 1]], dtype=float)
    turn = np.array([[0, 1], [-1, 0]])
    circle = np.array([one, one @ turn, one @ turn @ turn, one @ turn @ turn @ turn])
    back = circle[::-1, ::-1]
    owners = np.arange(4)
    same = distance.bounds(circle, owners, circle, np.full(4, 0.1))
    assert same.max() == 0
    assert distance.bounds(circle, owners, back, np.full(4, 0.1)).min() > 0.1


def test_not_a_number_proves_nothing():
    line = geometry.lines(np.zeros((1, 2)), np.ones((1, 2)))
    assert not bound(line, np.full((4, 2), np.nan), 1.0) <= 1.0


@pytest.mark.parametrize(
    ("new_ends", "new", "close"),
    [
        ([[0, 0], [10, 0]], Arc(5, 5, 0, False, True), True),
        # half a turn: the center jumps
        ([[0.01, 0], [10, 0]], Arc(5.02, 5.01, 0, False, True), False),
        ([[0, 0], [10, 0]], Arc(5, 5, 0, False, False), False),
        ([[0, 0], [0, 0]], Arc(5, 5, 0, False, True), False),
    ],
)  # fmt: skip
def test_arcs(new_ends, new, close):
    ends = np.array([[0.0, 0.0], [10.0, 0.0]])
    arc = Arc(5, 5, 0, False, True)
    assert (distance.arc_bound(ends, arc, np.array(new_ends, float), new) < 0.1) == close
