import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import document, raster
from bioicons_kit.icons.draw import fonts

HALF = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
    b'<rect width="5" height="10" fill="#ff0000"/>'
    b'<rect x="5" width="5" height="5" fill="#0000ff" fill-opacity=".5"/></svg>'
)


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
def test_transparency_is_composited_on_the_background(engine):
    picture = raster.picture(HALF, 40, "#00ff00", 0, raster.choose(engine))
    pixels = np.asarray(picture).astype(int)
    assert picture.mode == "RGB"
    assert pixels.shape == (40, 40, 3)
    assert pixels[20, 10].tolist() == [255, 0, 0]
    assert pixels[30, 30].tolist() == [0, 255, 0]
    assert np.abs(pixels[10, 30] - [0, 127, 128]).max() <= 1


def test_both_renderers_draw_the_same():
    pictures = [
        np.asarray(raster.picture(HALF, 64, "#ffffff", 0.05, raster.choose(engine))).astype(int)
        for engine in ("cairosvg", "resvg")
    ]
    # Edges between pixels are the only place where two anti-aliasing renderers may differ.
    assert (np.abs(pictures[0] - pictures[1]).max(axis=2) > 8).mean() < 0.05


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
def test_drawn_on_white_is_what_is_drawn_laid_on_white(engine):
    svg = document.sanitize(HALF, 0).svg
    laid = raster.picture(HALF, 48, "#ffffff", 0, raster.choose(engine))
    direct = raster.on_white(svg, (48, 48), engine)
    assert direct.mode == "RGB"
    assert np.abs(np.asarray(direct).astype(int) - np.asarray(laid)).max() <= 2
    assert np.asarray(direct)[40, 40].tolist() == [255] * 3, "nothing is drawn there"


TEXT = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
    b'<text y="9" font-family="No Such Font" font-size="10">X</text></svg>'
)


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
def test_text_whose_font_is_missing_is_drawn(engine):
    if engine == "cairosvg" and not fonts.installed():
        pytest.skip("this machine has no font at all")
    picture = raster.picture(TEXT, 32, "#ffffff", 0, raster.choose(engine))
    assert np.asarray(picture).min() < 64


def test_text_is_drawn_where_there_is_no_font_at_all(monkeypatch):
    monkeypatch.setattr(fonts, "installed", dict)
    svg = document.sanitize(TEXT, 0).svg
    assert raster.draw(svg, (32, 32), "auto").renderer.startswith("resvg")
    assert raster.draw(svg, (32, 32), "auto").image.getextrema()[3][1] == 255
    with pytest.raises(DocumentError, match="needs an installed font"):
        raster.draw(svg, (32, 32), "cairosvg")


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
def test_failures_of_a_renderer_are_document_errors(engine):
    with pytest.raises(DocumentError, match=f"{engine} cannot draw it: "):
        raster.draw(b"<svg", (16, 16), engine)


def failing(error: BaseException):
    def engine(readable, size, ground):
        raise error

    return engine


def test_renderer_that_draws_another_size_is_caught(monkeypatch):
    small = Image.new("RGBA", (8, 8))
    monkeypatch.setitem(raster._ENGINES, "cairosvg", lambda svg, size, ground: small)
    with pytest.raises(DocumentError, match=r"\(8, 8\) pixels instead of \(16, 16\)"):
        raster.draw(b"", (16, 16), "cairosvg")


def test_a_panic_is_a_document_error_and_an_interrupt_is_not(monkeypatch):
    class Panic(BaseException):
        """What a Rust extension raises is no Exception."""

    monkeypatch.setitem(raster._ENGINES, "cairosvg", failing(Panic()))
    with pytest.raises(DocumentError, match=r"Panic"):
        raster.draw(b"", (16, 16), "cairosvg")
    for error in (KeyboardInterrupt, MemoryError):
        monkeypatch.setitem(raster._ENGINES, "cairosvg", failing(error()))
        with pytest.raises(error):
            raster.draw(b"", (16, 16), "cairosvg")


def drawn_by(body: str, renderer: str = "auto") -> str:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">{body}</svg>'
    svg = document.sanitize(text.encode(), 0).svg
    return raster.draw(svg, (16, 16), renderer).renderer.split()[0]


def test_auto_takes_the_engine_that_can(monkeypatch):
    plain = '<rect width="5" height="5"/>'
    odd = '<rect width="5" height="5" stroke="red" style="paint-order:stroke"/>'
    assert drawn_by(plain) == "cairosvg"
    assert drawn_by(odd) == "resvg"
    assert drawn_by(odd, "cairosvg") == "cairosvg"
    assert drawn_by(plain, "resvg") == "resvg"
    monkeypatch.setitem(raster._ENGINES, "cairosvg", failing(ValueError("no")))
    assert drawn_by(plain) == "resvg"
    with pytest.raises(DocumentError, match="cairosvg cannot draw it: no"):
        drawn_by(plain, "cairosvg")
    monkeypatch.setitem(raster._ENGINES, "resvg", failing(ValueError("neither")))
    with pytest.raises(DocumentError, match="cairosvg cannot draw it: no"):
        drawn_by(plain)


def test_paint_order_is_drawn_right_by_auto():
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="3" '
        b'fill="red" stroke="blue" stroke-width="4" style="paint-order:stroke"/></svg>'
    )
    drawing = raster.draw(document.sanitize(svg, 0).svg, (100, 100), "auto")
    assert drawing.image.getpixel((50, 25)) == (255, 0, 0, 255)
    assert drawing.image.getpixel((50, 10)) == (0, 0, 255, 255)


def test_parts_change_with_all_that_shapes_the_pixels(monkeypatch):
    base = {name: raster.parts(name) for name in ("auto", "cairosvg", "resvg")}
    assert all(isinstance(value, str) for parts in base.values() for value in parts.values())
    assert len({str(parts) for parts in base.values()}) == 3
    assert raster.parts("auto") == base["auto"]
    for module, name, value in (
        (raster, "VERSION", "0"),
        (raster.importlib.metadata, "version", lambda name: "9.9"),
        (fonts, "fingerprint", lambda: "others"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert raster.parts("auto") != base["auto"]
            assert raster.parts("resvg") != base["resvg"]


def test_auto_is_cairosvg_where_it_works():
    assert raster.choose("auto") == raster.choose("cairosvg")
    assert raster.choose("auto").version


WITHOUT_CAIRO = """
import sys

class NoCairo:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cairosvg":
            raise OSError("no library called cairo was found")

sys.meta_path.insert(0, NoCairo())
from bioicons_kit.errors import KitError
from bioicons_kit.icons import raster

for _ in range(2):
    renderer = raster.choose("auto")
assert renderer.name == "resvg", renderer
svg = b'<svg viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
assert raster.picture(svg, 16, "#ffffff", 0, renderer).getpixel((8, 8)) == (0, 0, 0)
try:
    raster.choose("cairosvg")
except KitError as error:
    print(error)
"""


def test_without_libcairo_resvg_draws_and_says_so_once():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CAIRO], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("libcairo is not installed; icons are drawn with resvg") == 1
    assert "apt install libcairo2" in done.stderr
    assert "brew install cairo" in done.stdout
    assert "GTK" in done.stdout


def test_cairosvg_asked_for_by_name_is_an_error_without_libcairo(monkeypatch):
    monkeypatch.setattr(raster, "_cairosvg", lambda: None)
    with pytest.raises(KitError, match=r"or set dataset.renderer to 'resvg'"):
        raster.choose("cairosvg")
