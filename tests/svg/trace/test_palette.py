import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bioicons_kit.svg.trace import color, palette
from bioicons_kit.svg.trace.paints import Flat


def blocks(*rgb, side=40):
    """Stripes of colors, side by side."""
    return np.concatenate([np.full((side, side, 3), each, dtype=np.uint8) for each in rgb], axis=1)


def test_clean_art_has_no_noise_and_noisy_art_as_much_as_it_has():
    flat = blocks((200, 40, 40), (40, 160, 60), (60, 60, 200))
    assert palette.noise_level(flat) < 0.1
    for sigma in (1.0, 2.0):
        noise = np.random.default_rng(0).normal(0, sigma, flat.shape)
        noisy = np.clip(np.rint(flat + noise), 0, 255).astype(np.uint8)
        assert palette.noise_level(noisy) == pytest.approx(sigma, rel=0.25)


def test_patches_are_the_flat_areas_with_their_colors():
    found = palette.patches(blocks((200, 40, 40), (40, 160, 60)), tolerance=6)
    assert sorted(map(tuple, found.means[1:].round().astype(int).tolist())) == [
        (40, 160, 60),
        (200, 40, 40),
    ]
    assert found.sizes[1:].tolist() == [39 * 40, 39 * 40]  # the border column is no inside
    assert found.spreads[1:].max() == 0


def test_colors_that_cannot_be_told_apart_become_one_and_others_stay():
    given_ = np.array([[200, 40, 40], [202, 41, 40], [40, 160, 60]], dtype=np.float32)
    merged, groups = palette.merged(given_, np.array([900, 100, 500]), None)
    assert len(merged) == 2
    assert groups.tolist() == [0, 0, 1]
    np.testing.assert_allclose(merged[0], [200.2, 40.1, 40], atol=0.01)  # weighed by pixels


def test_a_limit_merges_the_nearest_colors_first():
    given_ = np.array([[255, 0, 0], [230, 30, 0], [0, 0, 255]], dtype=np.float32)
    merged, groups = palette.merged(given_, np.array([10, 10, 10]), 2)
    assert len(merged) == 2
    assert groups[0] == groups[1] != groups[2]


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.just(3))),
    st.one_of(st.none(), st.integers(1, 5)),
)
@settings(deadline=None, max_examples=60)
def test_what_is_left_of_merging_can_be_told_apart(rgb, limit):
    colors = rgb.astype(np.float32)
    merged, groups = palette.merged(colors, np.ones(len(colors)), limit)
    assert set(groups.tolist()) == set(range(len(merged)))
    assert limit is None or len(merged) <= max(limit, 1)
    lab = color.oklab(merged)
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2)[np.triu_indices(len(lab), 1)]
    assert (gaps >= color.JUST_NOTICEABLE * 0.999).all()


def test_edges_give_no_colors(drawn):
    pixels = drawn(lambda pen, at: pen.ellipse(at(40, 40, 200, 200), fill="#c02020"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10  # the edge has many
    paints, start = palette.start(pixels, 0.0, 12, None)
    assert [color.hex_color(p.color) for p in paints if isinstance(p, Flat)] == [
        "#ffffff",
        "#c02020",
    ]
    assert (start.inside[128, 128], start.inside[5, 5]) == (1, 0)


def test_names_say_what_colors_look_like_and_are_unique():
    given_ = np.array([[255, 255, 255], [10, 10, 10], [220, 30, 30], [225, 35, 40], [30, 90, 210]])
    assert color.names(given_) == ["white", "black", "red", "red-02", "blue"]
    assert color.hex_color((255.4, -3, 127.6)) == "#ff0080"
