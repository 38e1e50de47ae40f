"""The grammar of path data, and data written and read again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.svg import path, write
from bioicons_kit.svg.path import ARC, CLOSE, CUBIC, LINE, QUAD


def ends(data: str) -> list[tuple[float, float]]:
    return [tuple(point) for point in path.parse(data).points[:, 3].tolist()]


@pytest.mark.parametrize(
    ("data", "kinds", "last"),
    [
        ("M1 2L3 4", [LINE], (3, 4)),
        ("M1 2 3 4 5 6", [LINE, LINE], (5, 6)),
        ("m1 2 3 4 5 6", [LINE, LINE], (9, 12)),
        ("M1,2l-3-4", [LINE], (-2, -2)),
        ("M.5.5.5-1.5", [LINE], (0.5, -1.5)),
        ("M1e1-2E-1L+3.+4", [LINE], (3, 4)),
        ("M0 0H5V6h-1v-1", [LINE] * 4, (4, 5)),
        ("M0 0C1 1 2 2 3 3S5 5 6 6", [CUBIC, CUBIC], (6, 6)),
        ("M0 0Q1 1 2 0T4 0 6 0", [QUAD] * 3, (6, 0)),
        ("M0 0A5 5 0 01 5 5", [ARC], (5, 5)),
        ("M0 0a5 5 0 0110 0a5 5 0 10-10-0", [ARC, ARC], (0, 0)),
        ("M0 0A0 5 0 0 1 9 9", [LINE], (9, 9)),
        ("M0 0L4 0L4 4Z", [LINE, LINE, CLOSE], (0, 0)),
        ("M0 0L4 0L0 0z", [LINE, LINE], (0, 0)),
        ("M1 1L4 1zL9 9", [LINE, CLOSE, LINE], (9, 9)),
        ("M1 1L4 1z m2 2 l1 0", [LINE, CLOSE, LINE], (4, 3)),
        ("\n M \t1 , 2\fL 3,4 ", [LINE], (3, 4)),
    ],
)
def test_commands(data, kinds, last):
    read = path.parse(data)
    assert read.error is None
    assert read.kinds.tolist() == kinds
    assert tuple(read.points[-1, 3].tolist()) == pytest.approx(last)


@pytest.mark.parametrize(
    ("data", "drawn", "error"),
    [
        ("L1 1", 0, 1),
        ("M0 0L1", 0, 6),
        ("M0 0L1 1 2", 1, 10),
        ("M0 0L1 1,", 1, 8),
        ("M0 0L1 1NaN", 1, 8),
        ("M0 0L1 1#", 1, 8),
        ("M0 0L1 1Z5", 2, 9),
        ("M0 0L1e999 1", 0, 5),
        ("M0 0A5 5 0 2 1 9 9", 0, 5),
        ("M0 0A5 5 0 1 1 9 9 5", 1, 19),
        ("NaN", 0, 0),
        ("M0 0L1 1 M", 1, 10),
    ],
)
def test_what_follows_an_error_is_not_drawn(data, drawn, error):
    read = path.parse(data)
    assert len(read.kinds) == drawn
    assert read.error == error


def test_smooth_commands_mirror_only_their_own_kind():
    read = path.parse("M0 0C0 1 2 2 3 0S5-2 6 0")
    assert read.points[1, 1].tolist() == [4, -2]
    after_line = path.parse("M0 0C0 1 2 2 3 0L4 0S5-2 6 0")
    assert after_line.points[2, 1].tolist() == [4, 0]
    quad_after_cubic = path.parse("M0 0C0 1 2 2 3 0T6 0")
    assert quad_after_cubic.points[1, 1].tolist() == [3, 0]


def test_a_closed_path_has_its_closing_line_and_where_it_went_on():
    read = path.parse("M1 1H4V4ZM9 9z")
    assert [(part.start, part.stop, part.closed) for part in read.subpaths] == [
        (0, 3, True),
        (3, 3, True),
    ]
    assert read.subpaths[1].move == (9, 9)
    assert read.nodes == 4


def test_many_small_steps_end_where_they_began():
    steps = "l.1.1" * 500 + "l-.1-.1" * 500
    read = path.parse(f"M.3.7{steps}z")
    assert read.kinds.tolist() == [LINE] * 1000
    assert read.points[-1, 3].tolist() == [0.3, 0.7]


NUMBER = st.integers(-9_999, 9_999).map(lambda units: units / 100)
POINT = st.tuples(NUMBER, NUMBER)
SEGMENT = st.one_of(
    st.tuples(st.just("L"), st.lists(POINT, min_size=1, max_size=1)),
    st.tuples(st.just("C"), st.lists(POINT, min_size=3, max_size=3)),
    st.tuples(st.just("Q"), st.lists(POINT, min_size=2, max_size=2)),
    st.tuples(st.sampled_from("zHV"), st.lists(POINT, min_size=1, max_size=1)),
    st.tuples(st.sampled_from(["S", "T"]), st.lists(POINT, min_size=2, max_size=2)),
    st.tuples(st.just("A"), st.lists(POINT, min_size=2, max_size=2)),
)


def spelled(letter: str, points: list[tuple[float, float]]) -> str:
    numbers = [str(value) for point in points for value in point]
    if letter == "z":  # what goes on without a moveto needs one when it is written
        return f"zM{' '.join(numbers)}"
    if letter in "HV":
        return f"{letter}{numbers[0]}"
    if letter == "T":
        return f"T{' '.join(numbers[:2])}"
    if letter == "A":
        radii = " ".join(str(abs(value) + 1) for value in points[0])
        return f"A{radii} 30 {int(points[0][0] > 0)} 1 {' '.join(numbers[2:])}"
    return f"{letter}{' '.join(numbers)}"


@st.composite
def data_on_a_grid(draw) -> str:
    """Path data with two decimals at most: written with two, nothing is rounded."""
    start = draw(POINT)
    body = "".join(spelled(*draw(SEGMENT)) for _ in range(draw(st.integers(1, 12))))
    return f"M{start[0]} {start[1]}{body}"


@given(data_on_a_grid())
def test_what_is_written_is_what_was_read(data):
    one = path.parse(data)
    text = write.write(one, 2)
    two = path.parse(text)
    assert two.error is None
    assert two.kinds.tolist() == one.kinds.tolist()
    assert [part[:3] for part in two.subpaths] == [part[:3] for part in one.subpaths]
    np.testing.assert_allclose(two.points, one.points, atol=0.011)  # handles implied by S and T
    np.testing.assert_allclose(two.points[:, ::3], one.points[:, ::3], atol=1e-9)
    for index, arc in one.arcs.items():
        assert two.arcs[index] == pytest.approx(arc, abs=1e-4)


@given(data_on_a_grid())
def test_written_data_are_not_longer_and_stay_as_they_are(data):
    text = write.write(path.parse(data), 2)
    assert len(text) <= len(data)
    assert write.write(path.parse(text), 2) == text


@given(st.text(alphabet="MmLlHhVvCcSsQqTtAaZz0123456789.,-+eE \n#", max_size=60))
def test_any_text_is_read_without_a_fault_and_written_again(data):
    read = path.parse(data)
    assert len(read.kinds) == len(read.points)
    for part in read.subpaths:
        assert part.start <= part.stop <= len(read.kinds)
    if np.abs(read.points).max(initial=0) < 1e9 and all(
        max(map(abs, part.move)) < 1e9 for part in read.subpaths
    ):
        again = path.parse(write.write(read, 3))
        assert again.error is None


@given(st.text(max_size=40))
def test_text_that_is_no_path_is_an_error_or_nothing(data):
    read = path.parse(data)
    assert read.error is not None or not data.strip(" \t\r\n\f") or data.lstrip()[0] in "Mm"


def test_a_long_list_of_numbers_is_read_in_one_pass():
    data = "M0 0L" + "1 " * 200_000 + "x"
    assert len(path.parse(data).kinds) == 100_000


@pytest.mark.parametrize(
    ("data", "decimals", "text"),
    [
        ("M0 0L10 0L10 10L0 10Z", 0, "m0 0h10v10H0z"),
        ("M 0.50 0.50 L 1.25 0.75", 2, "m.5.5.75.25"),
        ("M100 100L101 101L100 102", 0, "m100 100 1 1-1 1"),
        ("M0 0C0 1 1 2 2 2C3 2 4 1 4 0", 0, "M0 0c0 1 1 2 2 2s2-1 2-2"),
        ("M1000 1000L0 0L5 5", 0, "m1000 1000L0 0l5 5"),
        ("M-0.001 0L1 1", 2, "m0 0 1 1"),
    ],
)
def test_the_shortest_form_is_written(data, decimals, text):
    assert len(write.write(path.parse(data), decimals)) <= len(text)
    assert write.write(path.parse(data), decimals) == text
