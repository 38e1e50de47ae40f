"""Stamped PNGs: read back as written, and never taken for whole when they are not."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bioicons_kit.icons.folder import looks, stamp
from bioicons_kit.icons.folder.stamp import Stamp

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8), "RGB")
LOOKS = looks.of(IMAGE, Image.new("L", IMAGE.size, 255))
STAMP = Stamp("k" * 64, "resvg 0.5", ("<script>", "é \U0001f9ec \n"), LOOKS)


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "x.png"
    path.write_bytes(stamp.encode(IMAGE, STAMP))
    assert stamp.read(path) == STAMP
    assert stamp.is_stamped(path)
    with Image.open(path) as back:
        assert back.mode == "RGB"
        assert back.tobytes() == IMAGE.tobytes()


def test_the_same_is_the_same_bytes():
    assert stamp.encode(IMAGE, STAMP) == stamp.encode(IMAGE.copy(), STAMP)


@settings(max_examples=120)
@given(data=st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    good = bytearray(stamp.encode(IMAGE, STAMP))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.png"
    path.write_bytes(good)
    assert stamp.read(path) is None


@settings(max_examples=60)
@given(length=st.integers(0, 4000))
def test_a_part_or_too_much_is_noticed(length: int, tmp_path_factory: pytest.TempPathFactory):
    good = stamp.encode(IMAGE, STAMP)
    path = tmp_path_factory.getbasetemp() / "part.png"
    path.write_bytes(good[: min(length, len(good) - 1)])
    assert stamp.read(path) is None
    path.write_bytes(good + b"\0" * (length + 1))
    assert stamp.read(path) is None


def test_a_picture_cut_short_is_still_known_for_the_kits(tmp_path: Path):
    path = tmp_path / "x.png"
    path.write_bytes(stamp.encode(IMAGE, STAMP)[:-50])
    assert stamp.is_stamped(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"key": "k"}'])
def test_strange_stamps_are_none(tmp_path: Path, text: str):
    chunks = PngInfo()
    chunks.add_text("bioicons_kit", text)
    IMAGE.save(tmp_path / "x.png", pnginfo=chunks)
    assert stamp.read(tmp_path / "x.png") is None
    assert not stamp.is_stamped(tmp_path / "x.png")


def test_a_stamp_that_would_reach_into_the_report_is_none(tmp_path: Path):
    looks_ = looks.Looks((('red"><script>', 0.5),), 0.5, LOOKS.shape, LOOKS.thumb)
    (tmp_path / "x.png").write_bytes(stamp.encode(IMAGE, Stamp("k", "r", (), looks_)))
    assert stamp.read(tmp_path / "x.png") is None


def test_other_files_are_none(tmp_path: Path):
    IMAGE.save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone")
    for name in ("plain.png", "text.png", "folder.png", "link.png", "absent.png"):
        assert stamp.read(tmp_path / name) is None
        assert not stamp.is_stamped(tmp_path / name)
