import dataclasses
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import picture, raster
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.preset import Bucket, Dataset

RECIPE = Recipe(64, 64, 0.1, "auto")
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" onload="x()">
<rect width="5" height="10" fill="red"/><rect x="5" width="5" height="5" fill-opacity=".5"/>
</svg>"""


def photo(
    mode: str = "RGB", size: tuple[int, int] = (60, 40), kind: str = "PNG", **options
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, options.pop("color", 0)).save(file, kind, **options)
    return file.getvalue()


def made(content: bytes, **changes: object) -> picture.Picture:
    return picture.make(content, "image", dataclasses.replace(RECIPE, **changes))


def test_a_drawing_has_its_colors_its_coverage_and_what_was_removed():
    found = picture.make(
        SVG, "svg", dataclasses.replace(RECIPE, version=Version(background="#00ff00"))
    )
    assert found.image.mode == "RGB"
    assert found.alpha.mode == "L"
    assert found.image.size == found.alpha.size == (64, 64)
    assert found.removed == ("event handler onload",)
    assert found.renderer.startswith("cairosvg ")
    colors = {name: found.image.getpixel(at) for name, at in PLACES.items()}
    cover = {name: found.alpha.getpixel(at) for name, at in PLACES.items()}
    assert colors["solid"] == (255, 0, 0)
    assert colors["margin"] == colors["nothing"] == (0, 255, 0)
    assert np.abs(np.subtract(colors["half"], (0, 127, 0))).max() <= 1
    assert cover["solid"] == 255
    assert abs(cover["half"] - 128) <= 1
    assert cover["margin"] == cover["nothing"] == 0


PLACES = {"solid": (20, 30), "half": (45, 20), "nothing": (45, 45), "margin": (2, 30)}


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
@pytest.mark.parametrize("size", [(96, 32), (32, 96)])
def test_canvases_that_are_not_square_hold_the_whole_drawing(engine, size):
    recipe = Recipe(*size, 0.0, engine)
    found = picture.make(SVG, "svg", recipe)
    assert found.image.size == size
    rows, columns = np.nonzero(np.asarray(found.alpha))
    expected = {(96, 32): (0, 31, 32, 63), (32, 96): (32, 63, 0, 31)}[size]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == expected


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("P", 0, (0, 0, 0)),
        ("LA", (100, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("I;16", 25700, (100, 100, 100)),
        ("I", 25700, (100, 100, 100)),
    ],
)
def test_photographs_of_any_mode_become_rgb_on_the_background(mode, color, expected):
    found = made(photo(mode, color=color, kind="TIFF" if mode == "I" else "PNG"))
    assert found.image.mode == "RGB"
    assert found.image.getpixel((32, 32)) == expected
    assert found.alpha.getextrema() == (255, 255)
    assert found.renderer.startswith("pillow ")


def test_cmyk_photographs_are_read():
    found = made(photo("CMYK", kind="JPEG", color=(0, 0, 0, 0)))
    assert min(found.image.getpixel((32, 32))) > 250


def test_photographs_are_turned_as_the_camera_was():
    left_red = Image.new("RGB", (80, 40), "white")
    left_red.paste((255, 0, 0), (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right for showing
    file = io.BytesIO()
    left_red.save(file, "PNG", exif=exif)
    found = made(file.getvalue(), width=32, height=64).image
    assert found.getpixel((16, 10)) == (255, 0, 0)
    assert found.getpixel((16, 54)) == (255, 255, 255)


def test_photographs_cover_the_picture_and_are_cropped_in_the_middle():
    wide = Image.new("RGB", (200, 50), "red")
    wide.paste((0, 0, 255), (75, 0, 125, 50))
    file = io.BytesIO()
    wide.save(file, "PNG")
    found = np.asarray(made(file.getvalue()).image)
    assert (found == (0, 0, 255)).all(axis=2).mean() > 0.9  # the margin is for drawings only


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (photo()[:60], "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
        (SVG, "cannot be decoded"),
        (photo("1", (12_000, 11_000)), "12000 x 11000 pixels are too many"),
        (photo("1", (30_000, 30_000)), "cannot be decoded"),
    ],
    ids=["empty", "cut", "cut later", "postscript", "svg", "large", "bomb"],
)
def test_photographs_that_are_none_or_too_large_are_refused(content, reason):
    with pytest.raises(DocumentError, match=reason):
        made(content)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=40),
    st.integers(0, 200),
    st.sampled_from(["PNG", "GIF", "BMP", "WEBP", "TIFF"]),
)
def test_damaged_photographs_are_read_or_refused(noise, start, kind):
    whole = photo(kind=kind, color=(9, 9, 9))
    try:
        found = made(whole[:start] + noise + whole[start + len(noise) :])
    except DocumentError:
        return
    assert found.image.size == (64, 64)


def test_recipes_follow_the_preset():
    dataset = Dataset(
        root="shipped",
        caption="{name}",
        resolution=96,
        margin=0.2,
        renderer="resvg",
        buckets=[Bucket()],
    )
    version = Version(flip=True)
    found = picture.recipe(dataset, version)
    assert found == Recipe(96, 96, 0.2, "resvg", version)


def test_parts_change_with_everything_in_a_recipe():
    base = picture.parts(RECIPE)
    assert base == picture.parts(RECIPE)
    assert all(isinstance(value, str) for value in base.values())
    changes: dict[str, object] = {
        **{"width": 80, "height": 80, "margin": 0.11, "renderer": "resvg"},
        "version": Version(background="#000000"),
    }
    for name, value in changes.items():
        assert picture.parts(dataclasses.replace(RECIPE, **{name: value})) != base, name


def test_a_drawing_may_be_simplified_first_and_looks_the_same(monkeypatch):
    waves = "".join(f"L{x} {50 + 40 * math.sin(x / 9):.2f}" for x in range(1, 100))
    path = f'<path d="M0 50{waves}V99H0z"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 99 99">{path}</svg>'
    seen = []
    draw = raster.draw
    monkeypatch.setattr(
        raster, "draw", lambda svg, *rest: (seen.append(len(svg)), draw(svg, *rest))[1]
    )
    preset = Dataset(root="shipped", caption="{name}", resolution=256, buckets=[Bucket()])
    recipes = [
        picture.recipe(preset.model_copy(update={"simplify": each}), Version())
        for each in (False, True)
    ]
    plain, lean = (picture.make(svg.encode(), "svg", each).image for each in recipes)
    assert seen[1] < 0.7 * seen[0]
    assert np.abs(np.asarray(plain, float) - np.asarray(lean, float)).max() < 64
    assert picture.parts(recipes[0]) != picture.parts(
        recipes[1]
    )  # no cache takes one for the other
