"""The icons that ship: enough of each kind to filter, and all in one house style."""

import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import resvg_py
from lxml import etree
from PIL import Image

import bioicons_kit.icons

ROOT = Path(bioicons_kit.icons.__file__).parent / "shipped"
ICONS = sorted(ROOT.glob("*/*/*/*.svg"))

SVG = "{http://www.w3.org/2000/svg}"
DRAWING = {SVG + tag for tag in ("path", "circle", "ellipse", "rect")}
# Nothing that names, loads, runs, blends or animates: the drawing and no more.
ATTRIBUTES = {
    *("d", "cx", "cy", "r", "rx", "ry", "x", "y", "width", "height", "transform"),
    *("fill", "fill-rule", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"),
}
LARGEST_FILE = 6 * 1024  # bytes; icons a person can read and edit
SIDE = 512


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def palette() -> set[str]:
    """The colors the README of the library allows."""
    return set(re.findall(r"`(#[0-9a-f]{6})`", (ROOT / "README.md").read_text("utf-8")))


def drawn(path: Path, side: int = SIDE) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=path.read_text("utf-8"), width=side, height=side)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def test_every_svg_lies_where_the_layout_wants_it():
    assert sorted(ROOT.rglob("*.svg")) == ICONS


def test_enough_of_every_kind_to_filter():
    places = [path.relative_to(ROOT).parts for path in ICONS]
    categories = Counter(category for _, category, _, _ in places)
    least = {
        "Animals": 14,
        "Lab_apparatus": 8,
        "Cell_types": 6,
        "Microbiology": 5,
        "Plants_Algae": 4,
        "Human_physiology": 4,
        "Nucleic_acids": 3,
    }
    assert len(ICONS) >= 44
    assert categories.keys() == least.keys()
    assert all(categories[name] >= count for name, count in least.items()), categories
    assert {place[0] for place in places} == {"cc-0", "cc-by-4.0", "mit"}
    assert len({place[2] for place in places}) >= 3
    assert sum(place[:2] == ("cc-0", "Animals") for place in places) >= 12
    licenses = Counter(place[0] for place in places)
    assert licenses.most_common(1)[0][0] == "cc-0"


def test_names_are_unique_so_that_captions_are():
    stems = Counter(path.stem.lower() for path in ICONS)
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_readme_says_how_many_there_are():
    assert f"\n{len(ICONS)} flat vector icons" in (ROOT / "README.md").read_text("utf-8")


def test_every_author_has_an_address_and_every_address_an_author():
    addresses = json.loads((ROOT / "authors.json").read_text("utf-8"))
    folders = {path.parent.name for path in ICONS}
    assert {re.sub("[-_]", " ", folder) for folder in folders} == set(addresses)
    assert all(url.startswith("https://example.org/") for url in addresses.values())


@pytest.mark.parametrize(
    ("folder", "spdx"), [("cc-0", "CC0-1.0"), ("cc-by-4.0", "CC-BY-4.0"), ("mit", "MIT")]
)
def test_every_license_folder_carries_its_license(folder: str, spdx: str):
    assert f"(SPDX: {spdx})" in (ROOT / folder / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("path", ICONS, ids=relative)
class TestIcon:
    def test_is_a_plain_titled_drawing(self, path: Path):
        assert 500 < path.stat().st_size <= LARGEST_FILE
        root = etree.parse(path).getroot()
        assert root.tag == SVG + "svg"
        assert dict(root.attrib) == {"viewBox": f"0 0 {SIDE} {SIDE}"}
        title, *shapes = root
        assert title.tag == SVG + "title"
        assert title.text
        assert len(shapes) >= 5
        assert all(not len(shape) and not (shape.text or "").strip() for shape in shapes)
        assert {shape.tag for shape in shapes} <= DRAWING
        assert {name for shape in shapes for name in shape.attrib} <= ATTRIBUTES

    def test_is_painted_from_the_palette(self, path: Path):
        shapes = etree.parse(path).getroot()[1:]
        colors = {shape.get(name) for shape in shapes for name in ("fill", "stroke")}
        assert colors - {None, "none"} <= palette()
        assert len(colors - {None, "none"}) >= 2
        # A shape without a fill of its own would be black, which is no color of ours.
        assert all(shape.get("fill") for shape in shapes)

    def test_fills_the_square_but_not_its_rim(self, path: Path):
        left, top, right, bottom = drawn(path).getchannel("A").getbbox()
        assert min(left, top, SIDE - right, SIDE - bottom) >= 32
        assert max(right - left, bottom - top) >= 380


def test_no_two_icons_look_alike():
    thumbnails = [drawn(path, 32).tobytes() for path in ICONS]
    assert len(set(thumbnails)) == len(ICONS)
