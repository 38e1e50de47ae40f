"""Versions: the same everywhere, never a lie about sides, nothing cut, nothing fringed."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bioicons_kit.icons import augment
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import Augment, Bucket, Dataset

EVERYTHING = Augment(
    flip=True, rotation=10.0, scale=0.2, color=0.2, backgrounds=("#ffffff", "#112233", "random")
)


def icon(name: str = "mouse", text: str | None = None) -> Icon:
    relative = f"cc-0/Animals/x/{name}.svg"
    return Icon(Path("/icons", relative), relative, "Animals", "CC0-1.0", "x", name, text=text)


def row(of: Icon | None = None, repeats: int = 8, **fields: object) -> Row:
    return Row(of or icon(), bucket=0, repeats=repeats, **fields)  # type: ignore[arg-type]


def dataset(of: Augment | None = None, **fields: object) -> Dataset:
    bucket = Bucket(augment=of or Augment())
    return Dataset(root="shipped", caption="{name}", buckets=(bucket,), **fields)  # type: ignore[arg-type]


def disk(side: int = 96, margin: int = 5) -> Image.Image:
    """A drawing whose corners reach as far as its margin lets them."""
    drawing = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).rectangle((margin, margin, side - margin - 1, side - margin - 1), "red")
    return drawing


# --- which versions a row has ---


def test_nothing_varies_by_default():
    assert augment.versions(row(), dataset()) == (Version(),)
    assert augment.versions(row(), dataset(background="black")) == (Version(background="#000000"),)
    assert augment.showings(row(repeats=8), dataset()) == {Version(): 8}


def test_each_repeat_has_a_version_of_its_own_within_what_is_allowed():
    made = augment.versions(row(repeats=40), dataset(EVERYTHING))
    assert len(set(made)) == 40
    assert {version.flip for version in made} == {True, False}
    for version in made:
        assert -10 <= version.angle <= 10
        assert 0.8 <= version.scale <= 1
        assert min(version.brightness, version.contrast, version.saturation) >= 0.8
        assert max(version.brightness, version.contrast, version.saturation) <= 1.2
    assert max(v.angle for v in made) > 5 > -5 > min(v.angle for v in made)


def test_every_other_version_is_mirrored_and_every_other_row_begins_with_one():
    flips = [version.flip for version in augment.versions(row(), dataset(Augment(flip=True)))]
    assert all(a != b for a, b in itertools.pairwise(flips))
    firsts = [
        augment.versions(row(icon(f"mouse{i}"), 1), dataset(Augment(flip=True)))[0].flip
        for i in range(60)
    ]
    assert 15 < sum(firsts) < 45


def test_backgrounds_are_taken_in_turn_and_random_ones_are_light_and_differ():
    made = augment.versions(row(repeats=9), dataset(EVERYTHING))
    given = [version.background for version in made]
    assert given.count("#ffffff") == given.count("#112233") == 3
    chance = set(given) - {"#ffffff", "#112233"}
    assert len(chance) == 3
    for color in chance:
        values = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert max(values) + min(values) > 1.4 * 255
    random = augment.versions(row(repeats=4), dataset(background="random"))
    assert len({version.background for version in random}) == 4


def test_validation_rows_are_measured_as_they_are():
    held_out = row(role="validation")
    (version,) = augment.versions(held_out, dataset(EVERYTHING, background="random"))
    assert version == Version(background="#ffffff")
    (version,) = augment.versions(held_out, dataset(background="random"))
    assert version == Version(background=version.background)
    assert version.background.startswith("#")


def test_versions_follow_from_seed_bucket_and_icon_alone():
    first = augment.versions(row(), dataset(EVERYTHING))
    assert first == augment.versions(row(), dataset(EVERYTHING))
    assert first == augment.versions(row(repeats=12), dataset(EVERYTHING))[:8]
    assert first != augment.versions(row(), dataset(EVERYTHING, seed=1))
    assert first != augment.versions(row(icon("rat")), dataset(EVERYTHING))


def test_another_process_with_another_hash_seed_makes_the_same():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_augment as t\n"
        "print(t.augment.versions(t.row(), t.dataset(t.EVERYTHING)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(augment.versions(row(), dataset(EVERYTHING)))


def test_showings_add_up_to_the_repeats():
    sided = row(icon("hand-left"), repeats=6)
    assert augment.showings(sided, dataset(Augment(flip=True))) == {Version(): 6}
    flips = augment.showings(row(repeats=7), dataset(Augment(flip=True)))
    assert sorted(flips.values()) == [3, 4]


@pytest.mark.parametrize(
    "sided",
    [
        "hand-left",
        "RightAtrium",
        "arrow_right_2",
        "left-handed-helix",
        "leftwards",
        "turn_clockwise",
    ],
)
def test_what_names_a_side_is_never_mirrored(sided: str):
    made = augment.versions(row(icon(sided)), dataset(Augment(flip=True)))
    assert not any(version.flip for version in made)


@pytest.mark.parametrize("name", ["mouse", "bright-field", "leftover_food", "copyright"])
def test_other_names_do_not_keep_a_picture_from_being_mirrored(name: str):
    assert any(v.flip for v in augment.versions(row(icon(name)), dataset(Augment(flip=True))))


def test_sides_in_texts_templates_and_captions_count_too():
    given = dataset(Augment(flip=True))
    assert augment.has_sides(row(icon(text="a mouse looking to the left")))
    assert augment.has_sides(row(template="{name}, seen from the right"))
    assert not any(v.flip for v in augment.versions(row(), given, ["a mouse on the right side"]))
    assert any(v.flip for v in augment.versions(row(), given, ["a mouse"]))


def test_every_field_is_part_of_the_key():
    keys = {tuple(augment.parts(Version()).items())}
    for change in (
        {"flip": True},
        {"angle": 1.0},
        {"scale": 0.9},
        {"brightness": 1.1},
        {"contrast": 1.1},
        {"saturation": 1.1},
        {"background": "#000000"},
    ):
        keys.add(tuple(augment.parts(Version(**change)).items()))  # type: ignore[arg-type]
    assert len(keys) == 8


# --- what they look like ---


def test_as_it_is_means_bit_for_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 4), np.uint8)
    drawing = Image.fromarray(pixels, "RGBA")
    image, alpha = augment.apply(drawing, Version())
    assert np.array_equal(np.asarray(alpha), pixels[..., 3])
    covered = pixels[..., 3:] / 255
    expected = pixels[..., :3] * covered + 255 * (1 - covered)
    assert np.abs(np.asarray(image) - expected).max() <= 1, "straight alpha, over white, in sRGB"
    mirrored, _ = augment.apply(drawing, Version(flip=True))
    assert np.array_equal(np.asarray(mirrored), np.asarray(image)[:, ::-1])


@settings(max_examples=40)
@given(
    angle=st.floats(-45, 45),
    scale=st.floats(0.5, 1),
    margin=st.integers(0, 30),
    seed=st.integers(0, 100),
    flip=st.booleans(),
)
def test_nothing_is_cut_and_the_margin_stays(
    angle: float, scale: float, margin: int, seed: int, flip: bool
):
    side = 96
    drawing = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    corners = np.random.default_rng(seed).uniform(margin, side - 1 - margin, (3, 2))
    ImageDraw.Draw(drawing).polygon([tuple(each) for each in corners], fill="navy")
    left, top, right, bottom = drawing.getbbox()
    least = min(left, top, side - right, side - bottom)
    _, alpha = augment.apply(drawing, Version(angle=angle, scale=scale, flip=flip))
    solid = np.asarray(alpha) > 24  # interpolation spreads a trace of an edge by a pixel or two
    ys, xs = np.nonzero(solid)
    if xs.size:
        assert min(xs.min(), ys.min(), side - 1 - xs.max(), side - 1 - ys.max()) >= least - 2
    area = np.asarray(drawing.getchannel("A"), float).sum()
    kept = np.asarray(alpha, float).sum() / area if area else 1.0
    assert kept <= scale**2 * 1.06 + 300 * 255 / max(area, 1), "it is shrunk, never grown"


def test_a_turned_drawing_is_whole():
    for angle in (-45, -10, 10, 30, 45):
        drawing = disk()
        _, alpha = augment.apply(drawing, Version(angle=angle))
        cos, sin = np.cos(np.radians(angle)), abs(np.sin(np.radians(angle)))
        shrunk = 1 / (cos + sin)  # of a square that has to stand where it lay
        expected = (86 * shrunk) ** 2
        assert abs(np.asarray(alpha, float).sum() / 255 - expected) < 0.02 * expected


def test_it_turns_counterclockwise_about_the_middle():
    drawing = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).rectangle((44, 30, 52, 34), "black")  # to the right of the middle
    _, alpha = augment.apply(drawing, Version(angle=30.0))
    ys, xs = np.nonzero(np.asarray(alpha) > 127)
    reach = 48.5 - 32
    assert xs.mean() + 0.5 == pytest.approx(32 + reach * np.cos(np.pi / 6), abs=0.6)
    assert ys.mean() + 0.5 == pytest.approx(32.5 - reach * np.sin(np.pi / 6), abs=0.9)


def test_edges_have_no_fringe_of_the_transparent_color():
    drawing = Image.new("RGBA", (64, 64), (255, 0, 0, 0))  # transparent red around white
    ImageDraw.Draw(drawing).ellipse((12, 12, 52, 52), (255, 255, 255, 255))
    image, _ = augment.apply(drawing, Version(angle=17.0, scale=0.8))
    assert np.asarray(image).min() >= 252


@settings(max_examples=25)
@given(angle=st.floats(-45, 45), scale=st.floats(0.5, 1), wide=st.integers(32, 96))
def test_a_photograph_has_no_empty_corner(angle: float, scale: float, wide: int):
    photograph = Image.new("RGBA", (wide, 64), (10, 120, 200, 255))
    image, alpha = augment.apply(photograph, Version(angle=angle, scale=scale), fills=True)
    assert image.size == (wide, 64)
    assert np.asarray(alpha).min() >= 250
    assert np.abs(np.asarray(image, int) - (10, 120, 200)).max() <= 6


def test_color_is_changed_on_the_drawing_and_not_behind_it():
    drawing = disk()
    for change in ({"brightness": 0.5}, {"contrast": 0.5}, {"saturation": 0.5}):
        image, _ = augment.apply(drawing, Version(background="#204060", **change))
        assert image.getpixel((0, 0)) == (0x20, 0x40, 0x60)
    darker, _ = augment.apply(drawing, Version(brightness=0.5))
    assert darker.getpixel((48, 48)) == (128, 0, 0)
    gray, _ = augment.apply(drawing, Version(saturation=0.5))
    assert gray.getpixel((48, 48)) == (166, 38, 38)  # halfway to its luma, 76
    flat, _ = augment.apply(drawing, Version(contrast=0.5))
    assert flat.getpixel((48, 48)) == (166, 38, 38)  # its mean luma is its own


def test_contrast_does_not_depend_on_how_much_is_empty():
    drawing = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    draw = ImageDraw.Draw(drawing)
    draw.rectangle((10, 10, 19, 29), (200, 200, 200, 255))
    draw.rectangle((20, 10, 29, 29), (100, 100, 100, 255))
    image, _ = augment.apply(drawing, Version(contrast=0.5))
    assert image.getpixel((15, 20)) == (175, 175, 175)
    assert image.getpixel((25, 20)) == (125, 125, 125)
