import numpy as np
import pytest

from bioicons_kit.svg.trace import paints
from bioicons_kit.svg.trace.paints import Linear, Radial


@pytest.fixture
def places():
    y, x = np.mgrid[0:80, 0:120]
    return np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1).astype(np.float32)


def ramp(t, *colors):
    offsets = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(t, offsets, [c[k] for c in colors]) for k in range(3)], axis=1)


def test_a_linear_gradient_is_found_at_any_angle(places):
    direction = np.array([np.cos(0.6), np.sin(0.6)])
    along = places @ direction
    t = (along - along.min()) / np.ptp(along)
    given = np.rint(ramp(t, (250, 220, 40), (20, 60, 200)))
    found = paints.gradient(places, given, 0.0)
    assert isinstance(found, Linear)
    assert np.abs(found.at(places) - given).max() < 6
    assert len(found.stops.offsets) == 2


def test_a_middle_color_becomes_a_stop(places):
    t = places[:, 0] / 120
    given = ramp(t, (250, 220, 40), (200, 30, 30), (20, 60, 200))
    found = paints.gradient(places, given, 0.0)
    assert isinstance(found, Linear)
    assert any(abs(offset - 0.5) < 0.05 for offset in found.stops.offsets)
    assert np.sqrt(((found.at(places) - given) ** 2).mean()) < 3


def test_a_radial_gradient_is_found_with_its_center(places):
    away = np.hypot(*(places - [45, 30]).T)
    given = ramp(away / away.max(), (255, 240, 240), (160, 20, 60))
    found = paints.gradient(places, given, 0.0)
    assert isinstance(found, Radial)
    np.testing.assert_allclose(found.center, [45, 30], atol=2)


def test_what_is_no_gradient_is_none(places):
    stripes = np.where((places[:, :1] // 10) % 2 == 0, [[200.0, 40, 40]], [[40.0, 40, 200]])
    assert paints.gradient(places, stripes, 0.0) is None
    noise = np.random.default_rng(0).uniform(0, 255, (len(places), 3))
    assert paints.gradient(places, noise, 0.0) is None
    assert paints.gradient(places[:100], noise[:100], 0.0) is None  # too small to be seen
