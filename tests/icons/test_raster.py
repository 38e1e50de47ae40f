import subprocess
import sys

import numpy as np
import pytest

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import document, raster

HALF = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
    b'<rect width="5" height="10" fill="#ff0000"/>'
    b'<rect x="5" width="5" height="5" fill="#0000ff" fill-opacity=".5"/></svg>'
)
BAD = raster.Renderer("cairosvg", "0")


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


def test_resvg_draws_text_whose_font_is_missing():
    if raster.stand_in_font() is None:
        pytest.skip("this machine has no font at all")
    text = (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
        b'<text y="9" font-family="No Such Font" font-size="10">X</text></svg>'
    )
    picture = raster.picture(text, 32, "#ffffff", 0, raster.choose("resvg"))
    assert np.asarray(picture).min() < 64


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
def test_failures_of_a_renderer_are_document_errors(engine):
    with pytest.raises(DocumentError, match=f"{engine} cannot draw it: "):
        raster.render(b"<svg", 16, "#ffffff", raster.choose(engine))


def test_renderer_that_draws_another_size_is_caught(monkeypatch):
    small = raster._with_cairosvg(document.sanitize(HALF, 0).svg, 8)
    monkeypatch.setitem(raster._ENGINES, "cairosvg", lambda svg, size: small)
    with pytest.raises(DocumentError, match=r"\(8, 8\) pixels instead of 16"):
        raster.render(b"", 16, "#ffffff", BAD)


def test_a_panic_is_a_document_error_and_an_interrupt_is_not(monkeypatch):
    class Panic(BaseException):
        """What a Rust extension raises is no Exception."""

    def fail(error):
        def engine(svg, size):
            raise error

        return engine

    monkeypatch.setitem(raster._ENGINES, "cairosvg", fail(Panic()))
    with pytest.raises(DocumentError, match=r"Panic"):
        raster.render(b"", 16, "#ffffff", BAD)
    monkeypatch.setitem(raster._ENGINES, "cairosvg", fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        raster.render(b"", 16, "#ffffff", BAD)


def test_fingerprint_changes_with_all_that_shapes_the_pixels():
    base = raster.fingerprint(raster.choose("resvg"), 64, "#ffffff", 0.05)
    others = [
        raster.fingerprint(raster.choose("cairosvg"), 64, "#ffffff", 0.05),
        raster.fingerprint(raster.Renderer("resvg", "9"), 64, "#ffffff", 0.05),
        raster.fingerprint(raster.choose("resvg"), 65, "#ffffff", 0.05),
        raster.fingerprint(raster.choose("resvg"), 64, "#fffffe", 0.05),
        raster.fingerprint(raster.choose("resvg"), 64, "#ffffff", 0.06),
    ]
    assert base["raster"] == raster.VERSION
    assert all(isinstance(value, str) for value in base.values())
    assert all(other != base for other in others)
    assert raster.fingerprint(raster.choose("resvg"), 64, "#ffffff", 0.05) == base


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
