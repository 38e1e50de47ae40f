"""Folders of photographs: what is taken, what it is said to be, and what is refused."""

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import picture
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.pictures import images, quality
from bioicons_kit.preset import Quality

SMALL = Quality(min_side=32)
OWN = 'license = "LicenseRef-own-work"\nauthor = "Jane Doe"\n'


def noise(width: int = 48, height: int = 48, seed: int = 0, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of one good picture of one's own."""
    save(tmp_path / "frogs" / "green_frog.png", noise())
    (tmp_path / "licenses.toml").write_text(OWN, "utf-8")
    return tmp_path


def reasons(root: Path, demands: Quality = SMALL) -> dict[str, str]:
    return {each.path: each.reason for each in images.scan(root, demands).skipped}


def test_a_folder_of_ones_own_needs_no_more_than_a_line(folder: Path):
    save(folder / "top.jpg", noise(seed=1))
    (folder / "notes.md").write_text("no picture")
    save(folder / ".hidden.png", noise(seed=2))
    found = images.scan(folder, SMALL)
    assert [icon.relative for icon in found.icons] == ["frogs/green_frog.png", "top.jpg"]
    frog, top = found.icons
    assert (frog.category, frog.title, frog.author) == ("frogs", "green frog", "Jane Doe")
    assert (frog.license, frog.kind, frog.text) == ("LicenseRef-own-work", "image", None)
    assert top.category == "unsorted"
    assert found.skipped == ()


def test_metadata_says_more_than_folders(folder: Path):
    rows = [
        {
            "file_name": "frogs/green_frog.png",
            "text": "a frog on a leaf",
            "title": "Frog",
            "author": "Ada",
            "author_url": "https://example.org/ada",
            "license": "cc-by-4.0",
            "category": "Amphibians",
            "source_url": "https://example.org/frog",
            "width": 48,
        }
    ]
    lines = "\n".join(map(json.dumps, rows))
    (folder / "metadata.jsonl").write_text(lines, "utf-8")
    (icon,) = images.scan(folder, SMALL).icons
    assert (icon.text, icon.title, icon.author) == ("a frog on a leaf", "Frog", "Ada")
    assert (icon.license, icon.category) == ("CC-BY-4.0", "Amphibians")
    assert icon.source_url == "https://example.org/frog"
    assert icon.author_url == "https://example.org/ada"


def test_a_license_that_nobody_states_is_asked_for(folder: Path):
    (folder / "licenses.toml").unlink()
    with pytest.raises(
        LibraryError, match=r"frogs/green_frog.png; state it in licenses.toml .*own"
    ):
        images.scan(folder, SMALL)
    (folder / "licenses.toml").write_text('[[files]]\nmatch = "a*"\nlicense = "MIT"\n', "utf-8")
    save(folder / "a.png", noise(seed=1))
    assert reasons(folder) == {"frogs/green_frog.png": "nobody states its license"}


def test_an_unknown_license_is_refused(folder: Path):
    row = {"file_name": "b.png", "license": "free as in beer"}
    (folder / "metadata.jsonl").write_text(json.dumps(row), "utf-8")
    save(folder / "b.png", noise(seed=1))
    assert "unknown license 'free as in beer'" in reasons(folder)["b.png"]


def test_folders_without_pictures_say_so(tmp_path: Path):
    with pytest.raises(LibraryError, match="no such folder of images"):
        images.scan(tmp_path / "nowhere", SMALL)
    with pytest.raises(LibraryError, match=r"no image there; .*\.png"):
        images.scan(tmp_path, SMALL)


def flat(value: int) -> Image.Image:
    return Image.new("RGB", (48, 48), (value, value, value))


@pytest.mark.parametrize(
    ("name", "content", "demands", "reason"),
    [
        ("small.png", encoded(noise(31, 48), "PNG"), {}, "31 x 48 pixels; quality.min_side is 32"),
        ("long.png", encoded(noise(48, 97), "PNG"), {}, "2.02 to 1; quality.max_aspect is 2"),
        ("light.jpg", encoded(noise(), "JPEG"), {"min_bytes": 10**5}, "quality.min_bytes is 100,0"),
        (
            "flat.png",
            encoded(flat(90), "PNG"),
            {},
            "nearly uniform: its gray values deviate by 0.0",
        ),
        ("cut.jpg", encoded(noise(), "JPEG")[:-400], {}, "cannot be decoded"),
        ("cut.png", encoded(noise(), "PNG")[:2000], {}, "cannot be decoded"),
        ("text.jpg", b"no picture at all", {}, "not a picture"),
        ("empty.jpg", b"", {}, "an empty file"),
        ("program.png", b"MZ\x90" * 999, {}, "not a picture"),
    ],
)
def test_what_is_not_good_enough_is_told(
    folder: Path, name: str, content: bytes, demands: dict[str, float], reason: str
):
    (folder / name).write_bytes(content)
    save(folder / "good.tiff", noise(300, 300, seed=9))
    found = reasons(folder, Quality(min_side=32, **demands))
    assert reason in found[name]


def bomb(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size that its data does not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_decompression_bombs_are_refused_by_their_header(folder: Path, monkeypatch):
    (folder / "bomb.png").write_bytes(bomb(50_000, 50_000))
    (folder / "wide.png").write_bytes(bomb(2**31 - 1, 1))
    (folder / "large.png").write_bytes(bomb(12_500, 10_000))
    opened = []
    monkeypatch.setattr(
        picture, "opened", lambda content: opened.append(content) or noise(mode="RGBA")
    )
    found = reasons(folder)
    assert found["bomb.png"] == "its pixels are too many"
    assert found["large.png"] == "12500 x 10000 pixels are too many"
    assert found["wide.png"] == "its pixels are too many"
    assert len(opened) == 1  # the good one


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cmyk.jpg", encoded(noise(mode="CMYK"), "JPEG")),
        ("palette.gif", encoded(noise(mode="P"), "GIF")),
        ("palette.png", encoded(noise(mode="P"), "PNG", transparency=0)),
        ("gray.bmp", encoded(noise(mode="L"), "BMP")),
        (
            "deep.png",
            encoded(
                Image.fromarray(np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) * 28), "PNG"
            ),
        ),
        ("lossy.webp", encoded(noise(), "WEBP")),
        ("alpha.webp", encoded(noise(mode="RGBA"), "WEBP", lossless=True)),
        ("film.gif", encoded(noise(), "GIF", save_all=True, append_images=[noise(seed=5)])),
        ("scan.tiff", encoded(noise(mode="LAB"), "TIFF")),
    ],
)
def test_what_is_taken_can_be_made_a_training_picture(folder: Path, name: str, content: bytes):
    path = folder / "forms" / name
    path.parent.mkdir()
    path.write_bytes(content)
    found = {icon.relative: icon for icon in images.scan(folder, SMALL).icons}
    icon = found[f"forms/{name}"]
    recipe = picture.Recipe(64, 64, 0.0, "auto", version=Version())
    made = picture.make(picture.read(icon.path, icon.kind), icon.kind, recipe)
    assert made.image.size == (64, 64)
    assert np.asarray(made.image).std() > 1


def test_size_is_what_is_seen_after_the_camera_was_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(90, 40), "JPEG", exif=exif)
    look = quality.inspect(data)
    assert (look.width, look.height) == (40, 90)


def test_a_shape_on_transparency_is_not_uniform():
    black = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
    black.paste((0, 0, 0, 255), (10, 10, 30, 30))
    white = Image.new("RGBA", (48, 48), (255, 255, 255, 0))
    white.paste((255, 255, 255, 255), (10, 10, 30, 30))
    clear = Image.new("RGBA", (48, 48), (30, 90, 30, 0))
    demands = Quality(min_side=32)
    assert quality.refusal(quality.inspect(encoded(black, "PNG")), demands) is None
    assert quality.refusal(quality.inspect(encoded(white, "PNG")), demands) is None
    assert "uniform" in str(quality.refusal(quality.inspect(encoded(clear, "PNG")), demands))


def test_deviation_is_that_of_the_gray_values():
    halves = Image.new("RGB", (48, 48), "black")
    halves.paste((20, 20, 20), (0, 0, 48, 24))
    look = quality.inspect(encoded(halves, "PNG"))
    assert look.deviation == pytest.approx(10.0)


def test_what_leads_out_or_is_no_file_is_not_opened(folder: Path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save(outside / "secret.png", noise(seed=3))
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "folder").symlink_to(outside, target_is_directory=True)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    os.mkfifo(folder / "pipe.png")
    found = reasons(folder)
    assert found.keys() == {"link.png", "folder", "broken.png", "pipe.png"}
    assert "leads out" in found["link.png"]
    assert found["pipe.png"] == "not a file"


def test_equal_files_count_once(folder: Path):
    twin = folder / "frogs" / "twin.png"
    twin.write_bytes((folder / "frogs" / "green_frog.png").read_bytes())
    found = images.scan(folder, SMALL)
    assert len(found.icons) == 1
    assert found.skipped[0].reason == "the same picture as frogs/green_frog.png"
    assert found.skipped[0].same_as == "frogs/green_frog.png"


def test_the_second_look_opens_nothing(folder: Path, tmp_path_factory, monkeypatch):
    memory = tmp_path_factory.mktemp("cache") / "images.json"
    save(folder / "small.png", noise(20, 20, seed=4))
    first = images.scan(folder, SMALL, memory)
    opened: list[Path] = []
    read = picture.read
    monkeypatch.setattr(picture, "read", lambda path, kind: opened.append(path) or read(path, kind))
    assert images.scan(folder, SMALL, memory) == first
    assert opened == []
    stricter = images.scan(folder, Quality(min_side=32, min_deviation=3.0), memory)
    assert (stricter, opened) == (first, [])
    # what only its header was read of is opened when less is demanded
    assert len(images.scan(folder, Quality(min_side=16), memory).icons) == 2
    assert opened == [folder / "small.png"]
    save(folder / "small.png", flat(7))
    os.utime(folder / "small.png", ns=(1, 1))
    assert "uniform" in reasons(folder)["small.png"]


def test_a_look_that_was_stopped_goes_on(folder: Path, tmp_path_factory, monkeypatch):
    memory = tmp_path_factory.mktemp("cache") / "images.json"
    for number in range(8):
        save(folder / f"{number}.png", noise(seed=number + 10))
    monkeypatch.setattr(images, "_MOST_THREADS", 1)
    opened: list[Path] = []
    read = picture.read

    def read_until_stopped(path: Path, kind: picture.Kind) -> bytes:
        opened.append(path)
        if len(opened) == 5:
            raise KeyboardInterrupt
        return read(path, kind)

    monkeypatch.setattr(picture, "read", read_until_stopped)
    with pytest.raises(KeyboardInterrupt):
        images.scan(folder, SMALL, memory)
    assert len(images.scan(folder, SMALL, memory).icons) == 9
    assert len(set(opened[:4]) & set(opened[5:])) == 0  # what was seen is not opened again


def test_names_that_differ_by_their_accents_only_are_told(folder: Path):
    save(folder / "caf\u00e9.png", noise(seed=1))
    save(folder / "cafe\u0301.png", noise(seed=2))
    found = images.scan(folder, SMALL)
    assert [icon.relative for icon in found.icons] == ["caf\u00e9.png", "frogs/green_frog.png"]
    assert "but for how accents are written" in found.skipped[0].reason


def test_where_nothing_is_good_enough_the_first_reason_is_given(folder: Path):
    problem = r"none of its 1 images can be used, the first being frogs/green_frog.png \(48 x 48"
    with pytest.raises(LibraryError, match=problem):
        images.scan(folder, Quality(min_side=512))


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 1}', '{"version": "1", "looks": 3}'])
def test_a_damaged_memory_is_an_empty_one(folder: Path, tmp_path_factory, damage: str):
    memory = tmp_path_factory.mktemp("cache") / "images.json"
    first = images.scan(folder, SMALL, memory)
    kept = memory.read_text("utf-8")
    memory.write_text(damage)
    assert images.scan(folder, SMALL, memory) == first
    assert memory.read_text("utf-8") == kept
    memory.write_text(kept.replace('"width": 48', '"width": "48"'))
    assert images.scan(folder, SMALL, memory) == first


@settings(max_examples=60)
@given(st.binary(max_size=400), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]))
def test_any_bytes_are_a_look_or_a_problem(tail: bytes, form: str):
    for content in (tail, encoded(noise(), form)[:200] + tail):
        look = quality.inspect(content)
        assert (look.problem is None) == look.is_whole == (look.sha256 != "") or look.problem
        assert quality.refusal(look, SMALL) is None or isinstance(quality.refusal(look, SMALL), str)


@settings(max_examples=60)
@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 200), st.floats(1, 4), st.booleans()
)
def test_refusals_are_what_the_demands_say(width, height, side, aspect, turned):
    demands = Quality(min_side=side, max_aspect=aspect)
    look = quality.Look(1000, *((height, width) if turned else (width, height)), 50.0, "0")
    good = min(width, height) >= side and max(width, height) <= aspect * min(width, height)
    assert (quality.refusal(look, demands) is None) == good
