import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.svg import geometry, modern


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("red", "red"),
        ("rgb(1, 2, 3)", "rgb(1, 2, 3)"),
        ("rgb(1 2 3)", "rgb(1,2,3)"),
        ("rgb(10% 20% 30% / 40%)", "rgba(10%,20%,30%,0.4)"),
        ("rgba(1 2 3/.5)", "rgba(1,2,3,0.5)"),
        ("light-dark(#fff, #000)", "#fff"),
        ("light-dark(rgb(1, 2, 3), black)", "rgb(1, 2, 3)"),
        ("light-dark(#fff, var(--dark, #121212))", "#fff"),
        ("var(--line, rgb(1 2 3))", "rgb(1,2,3)"),
        ("var(--line)", "var(--line)"),
        ("url(#a)", "url(#a)"),
    ],
)
def test_colors_are_put_plainly(value, plain):
    assert modern.plain(value) == plain


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        ("none", ""),
        ("translate(20px, 10px) rotate(20deg)", "translate(20 10) rotate(20)"),
        ("translateX(2px) scaleY(-3)", "translate(2 0) scale(1 -3)"),
        ("rotate(.25turn)", "rotate(90)"),
        ("rotate(100grad)", "rotate(90)"),
        ("matrix(1,0,0,1,2,3)", "matrix(1 0 0 1 2 3)"),
        ("translate(50%)", None),
        ("rotate3d(1, 0, 0, 9deg)", None),
        ("translate(1px", None),
        ("spin", None),
    ],
)
def test_transforms_become_attributes_or_stay(value, attribute):
    assert modern.transform(value) == attribute


@given(st.text(alphabet="rgbavscoletn0123456789.%/,-#() ", max_size=60))
def test_any_value_is_read(value):
    once = modern.plain(value)
    assert modern.plain(modern.plain(once)) == modern.plain(once)
    found = modern.transform(value)
    assert not found or found.isascii()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), st.floats(-720, 720))
def test_what_it_writes_is_read_back(shift, angle):
    written = modern.transform(f"translate({shift[0]:f}px, {shift[1]:f}px) rotate({angle:f}deg)")
    found = geometry.transform(written)
    assert found is not None
    assert found[4:] == pytest.approx(shift, abs=1e-2)
