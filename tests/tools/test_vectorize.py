from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from bioicons_kit.errors import KitError
from bioicons_kit.svg import tree


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    large = Image.new("RGB", (1024, 1024), "#ffffff")
    pen = ImageDraw.Draw(large)
    pen.ellipse((200, 240, 640, 680), fill="#2060d0")
    pen.polygon([(500, 600), (900, 640), (700, 900)], fill="#e02020")
    info = PngInfo()
    info.add_text("prompt", "bioicon style, a <blue> ball")
    path = tmp_path / "03-ball.lora.png"
    large.resize((256, 256), Image.Resampling.BOX).save(path, pnginfo=info)
    return path


def test_an_icon_lies_beside_its_picture_and_says_where_it_is_from(tool, picture, capsys):
    tool("vectorize")([str(picture), "--license", "cc-by-4.0", "--author", "Ada & Bo"])
    written = picture.with_suffix(".svg")
    root = tree.parse(written.read_bytes())
    assert [e.text for e in root[:2]] == ["a <blue> ball", "bioicon style, a <blue> ball"]
    text = written.read_text("utf-8")
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert "Ada &amp; Bo" in text
    assert "2 colors" in capsys.readouterr().out


def test_a_folder_takes_the_icons_and_options_reach_the_tracer(tool, picture, tmp_path):
    out = tmp_path / "icons"
    tool("vectorize")([str(picture), "--out", str(out), "--colors", "1", "--title", "ball"])
    root = tree.parse((out / "03-ball.lora.svg").read_bytes())
    assert root[0].text == "ball"
    assert len({e.get("fill") for e in root.iter() if e.get("fill")}) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--colors", "0"], "--colors 0: must be auto, or 1 to 256"),
        (["--colors", "many"], "--colors many: must be auto"),
        (["--detail", "2"], "--detail 2.0: must be from 0"),
        (["--detail", "nan"], "--detail nan: must be from 0"),
        (["--license", "nonsense"], "unknown license 'nonsense'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(
    tool, picture, options, reason
):
    with pytest.raises(KitError, match=reason):
        tool("vectorize")([str(picture), *options])
    assert not picture.with_suffix(".svg").exists()


def test_one_bad_picture_does_not_stop_the_others(tool, picture, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    blank = tmp_path / "blank.png"
    Image.new("RGB", (64, 64), "#ffffff").save(blank)
    tiny = tmp_path / "tiny.png"
    Image.new("RGB", (8, 8)).save(tiny)
    sources = [str(bad), str(blank), str(tiny), str(tmp_path / "none.png"), str(picture)]
    with pytest.raises(KitError, match="4 of 5 pictures could not be vectorized"):
        tool("vectorize")(sources)
    assert picture.with_suffix(".svg").is_file()
    told = capsys.readouterr().err
    assert "cannot be decoded" in told
    assert "nothing but background" in told
    assert "8 x 8 pixels" in told
    assert "No such file" in told
    assert not bad.with_suffix(".svg").exists()


def test_two_pictures_never_share_an_icon(tool, picture, tmp_path):
    other = tmp_path / "other" / picture.name
    other.parent.mkdir()
    other.write_bytes(picture.read_bytes())
    with pytest.raises(KitError, match="would be written twice"):
        tool("vectorize")([str(picture), str(other), "--out", str(tmp_path / "icons")])


def test_transparent_pictures_stand_on_white(tool, tmp_path):
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[16:48, 16:48] = (200, 40, 40, 255)
    path = tmp_path / "square.png"
    Image.fromarray(pixels).save(path)
    tool("vectorize")([str(path)])
    root = tree.parse(path.with_suffix(".svg").read_bytes())
    assert [e.get("fill") for e in root.iter() if e.get("fill")] == ["#c82828"]
