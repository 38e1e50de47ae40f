"""Simplified paths against dense sampling of the originals, nothing shared with the proof."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.svg import geometry, path, simplify
from bioicons_kit.svg.curves.stroke import Stroke
from bioicons_kit.svg.path import CLOSE, LINE
from bioicons_kit.svg.simplify import Left, Simplified, Task


def points(data: str, count: int = 41) -> list[np.ndarray]:
    """Densely sampled points of each subpath."""
    read = path.parse(data)
    cubics, owners = path.curves(read)
    t = np.linspace(0, 1, count)[None]
    found = []
    for part in read.subpaths:
        mine = cubics[(owners >= part.start) & (owners < part.stop)]
        on = geometry.at(mine, t * np.ones((len(mine), 1))).reshape(-1, 2)
        found.append(on if len(on) else np.array([part.move]))
    return found


def sagging(data: str) -> float:
    """What the polylines through the samples are off the curves by themselves, generously."""
    middle = [part[1:-1:2] for part in points(data)]
    chord = [(part[:-2:2] + part[2::2]) / 2 for part in points(data)]
    off = [
        np.hypot(*(m - c[: len(m)]).T).max(initial=0) for m, c in zip(middle, chord, strict=True)
    ]
    return max(off) / 2  # four times as fine would be half as generous


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest distance of a point of one from the polyline through the other's."""
    start, step = other[:-1], np.diff(other, axis=0)
    worst = 0.0
    for chunk in np.array_split(one, max(1, len(one) // 200)):
        offset = chunk[:, None] - start[None]
        square = np.maximum((step**2).sum(1), 1e-30)
        t = np.clip((offset * step[None]).sum(-1) / square, 0, 1)
        nearest = np.hypot(*(offset - t[..., None] * step[None]).transpose(2, 0, 1)).min(1)
        worst = max(worst, float(nearest.max()))
    return worst


def distance(one: str, other: str) -> float:
    """The two-sided distance of two paths, subpath by subpath."""
    pairs = zip(points(one), points(other), strict=True)
    return max(max(apart(a, b), apart(b, a)) if len(b) > 1 and len(a) > 1 else 0 for a, b in pairs)


def simplified(data: str, tolerance: float, stroke: Stroke | None = None) -> Simplified | Left:
    (outcome,) = simplify.simplify([Task(path.parse(data), tolerance, stroke)])
    return outcome


def circle(count: int, radius: float = 100.0) -> str:
    """A circle of many cubics."""
    angle = math.tau / count
    reach = radius * 4 / 3 * math.tan(angle / 4)
    out = [f"M{radius} 0"]
    for index in range(count):
        a, b = index * angle, (index + 1) * angle
        c = (radius * math.cos(a) - reach * math.sin(a), radius * math.sin(a) + reach * math.cos(a))
        d = (radius * math.cos(b) + reach * math.sin(b), radius * math.sin(b) - reach * math.cos(b))
        e = (radius * math.cos(b), radius * math.sin(b))
        out.append("C" + " ".join(f"{value:.6f}" for pair in (c, d, e) for value in pair))
    return "".join(out) + "z"


def test_a_circle_of_many_curves_becomes_one_of_few():
    outcome = simplified(circle(64), 0.05)
    assert isinstance(outcome, Simplified)
    assert outcome.path.nodes <= 9
    assert distance(circle(64), outcome.data) <= 0.05
    assert len(outcome.data) < len(circle(64)) / 10


def test_a_line_in_many_steps_becomes_one():
    outcome = simplified("M0 0" + "l1 .5" * 40 + "l0 9", 0.01)
    assert isinstance(outcome, Simplified)
    assert outcome.data == "m0 0 40 20v9"


def test_a_polygon_keeps_its_corners():
    outcome = simplified("M0 0L50 0L100 0L100 100L0 100L0 0Z", 0.1)
    assert isinstance(outcome, Simplified)
    assert outcome.data == "m0 0h100v100H0z"
    assert outcome.path.kinds.tolist() == [LINE, LINE, LINE, CLOSE]


def test_a_cusp_stays():
    data = "M0 0C30 0 50 20 50 50C50 20 70 0 100 0"
    outcome = simplified(data, 0.5)
    assert isinstance(outcome, Simplified)
    assert [50, 50] in outcome.path.points[:, 3].tolist()


def test_a_point_passed_twice_stays():
    """A figure eight of eight curves: its crossing is a node of both loops."""
    loop = "c10 5 20 5 20 0s-10-5-20 0"
    data = f"M0 0{loop}c-10 5-20 5-20 0s10-5 20 0z"
    outcome = simplified(data, 1.0)
    assert isinstance(outcome, Simplified)
    inner = outcome.path.points[:-1, 3].tolist()
    assert [0, 0] in inner


SMOOTH = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=9)


@st.composite
def random_paths(draw) -> str:
    """Paths with everything: smooth chains cut up, corners, specks, loops, zero lengths."""
    scale = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    out = []
    for _ in range(draw(st.integers(1, 3))):
        knots = np.array(draw(SMOOTH)) * scale
        kind = draw(st.sampled_from(["smooth", "lines", "loops", "tiny", "repeated"]))
        out.append(f"M{knots[0][0]:.9g} {knots[0][1]:.9g}")
        if kind == "lines":
            out += [f"L{x:.9g} {y:.9g}" for x, y in knots[1:]]
        elif kind == "repeated":
            out += [f"L{x:.9g} {y:.9g}L{x:.9g} {y:.9g}" for x, y in knots[1:]]
        elif kind == "tiny":
            out += [f"l{x * 1e-4:.9g} {y * 1e-4:.9g}" for x, y in knots[1:]]
        elif kind == "loops":
            ends = knots[1:]
            first, second = np.roll(ends, 1, 0) * 1.7, np.roll(ends, 2, 0) * -1.3
            flat = np.hstack([first, second, ends])
            out += ["C" + " ".join(f"{value:.9g}" for value in row) for row in flat]
        else:
            slopes = np.gradient(knots, axis=0) / 3
            for a, b, u, v in zip(knots, knots[1:], slopes, slopes[1:], strict=False):
                cubic = np.array([a, a + u, b - v, b])[None]
                cuts = np.linspace(0, 1, 6)
                pieces = geometry.parts(np.repeat(cubic, 5, 0), cuts[:-1], cuts[1:])
                out += ["C" + " ".join(f"{c:.9g}" for c in p[1:].ravel()) for p in pieces]
        out.append(draw(st.sampled_from(["", "z"])))
    return "".join(out)


@settings(max_examples=80)
@given(random_paths(), st.sampled_from([1e-4, 1e-3, 1e-2]))
def test_no_point_moves_farther_than_the_tolerance(data, share):
    size = float(np.ptp(np.concatenate(points(data, 3)), axis=0).max()) or 1.0
    tolerance = share * size
    outcome = simplified(data, tolerance)
    if isinstance(outcome, Left):
        return
    assert outcome.error <= tolerance * (1 + 1e-6)
    assert outcome.path.nodes <= path.parse(data).nodes
    sag = max(sagging(data), sagging(outcome.data))
    assert distance(data, outcome.data) <= tolerance * (1 + 1e-6) + sag + 1e-9 * size


@settings(max_examples=40)
@given(random_paths())
def test_a_second_time_changes_no_more_than_the_tolerance(data):
    size = float(np.ptp(np.concatenate(points(data, 3)), axis=0).max()) or 1.0
    first = simplified(data, 1e-3 * size)
    if isinstance(first, Left):
        return
    second = simplified(first.data, 1e-3 * size)
    if isinstance(second, Simplified):
        assert second.path.nodes <= first.path.nodes
        assert second.error <= 1e-3 * size * (1 + 1e-6)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("M0 0L1 1NaN", "error"),
        ("M0 0", "draws no line"),
        ("", "draws no line"),
        ("M0 0L1e300 1e300", "too large"),
        ("M0 0L1e-30 1e-30", "too large for the tolerance, or too small"),
        ("M1e15 0l1 1", "too large"),
    ],
)
def test_what_cannot_be_simplified_says_why(data, reason):
    outcome = simplified(data, 1e-3)
    assert isinstance(outcome, Left)
    assert reason in outcome.reason


def test_a_path_over_the_budget_stays():
    outcome = simplified("M0 0" + "h1" * (simplify.MAX_SEGMENTS + 1), 1.0)
    assert isinstance(outcome, Left)
    assert "more than" in outcome.reason


def test_a_whole_circle_drawn_as_one_arc_stays_a_circle():
    data = "M5 0A5 5 0 1 1 4.9999 0z"
    outcome = simplified(data, 0.05)
    if isinstance(outcome, Simplified):
        assert distance(data, outcome.data) <= 0.06
        box = np.concatenate(points(outcome.data))
        assert np.ptp(box[:, 1]) == pytest.approx(10, abs=0.2)


def test_a_dot_and_a_speck_are_still_there():
    outcome = simplified("M0 0h100v100zM50 50h.01v.01zM70 70z", 1.0)
    assert isinstance(outcome, Simplified)
    assert len(outcome.path.subpaths) == 3
    assert np.ptp(points(outcome.data)[1], axis=0).max() > 0


def test_paths_do_not_depend_on_those_beside_them():
    data = [circle(16), "M0 0h5v5z", circle(40, 3), "M0 0L1 1NaN"]
    tasks = [Task(path.parse(one), 0.02) for one in data]
    together = simplify.simplify(tasks)
    alone = [simplify.simplify([task])[0] for task in tasks]
    said = [[getattr(one, "data", "left") for one in outcomes] for outcomes in (together, alone)]
    assert said[0] == said[1]


def spike(turn: float) -> str:
    """Two long lines that meet in a short one that rounding could turn around."""
    return f"M0 0L50 .3l.04 .0002L100 {turn}"


@pytest.mark.parametrize("join", ["miter", "bevel", "round"])
def test_no_miter_grows_where_there_was_none(join):
    stroke = Stroke(10, join)
    outcome = simplified(spike(0.6), 0.05, stroke)
    if isinstance(outcome, Left):
        return
    from bioicons_kit.svg.curves import fit
    from bioicons_kit.svg.curves import stroke as strokes

    leave, arrive = fit.tangents(outcome.path.points.copy())
    out = strokes.excursions(arrive[:-1], leave[1:], stroke)
    assert (out <= 0.05).all()


def test_a_thick_stroke_keeps_the_corner_that_a_fill_would_lose():
    data = "M0 0L10 0L20 2.8"  # 16 degrees: the miter of a thick line shows
    thin, thick = simplified(data, 1.2), simplified(data, 1.2, Stroke(40))
    assert isinstance(thin, Simplified)
    assert isinstance(thick, Simplified)
    assert [10, 0] not in thin.path.points[:, 3].tolist()
    assert [10, 0] in thick.path.points[:, 3].tolist()


def test_caps_turn_by_no_more_than_the_tolerance():
    data = "M0 0C0 3 4 6 10 6C40 6 70 4 100 0"
    outcome = simplified(data, 0.5, Stroke(30, cap="butt"))
    if isinstance(outcome, Simplified):
        first = outcome.path.points[0]
        direction = first[1] - first[0]
        assert abs(direction[0]) / np.hypot(*direction) * 30 <= 0.5
