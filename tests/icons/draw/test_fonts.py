import pytest
from lxml import etree

from bioicons_kit.icons import document
from bioicons_kit.icons.draw import fonts

HERE = {
    name.lower(): (name, (f"/fonts/{name}.ttf",))
    for name in ("DejaVu Sans", "Liberation Sans", "Liberation Serif", "Montserrat")
}


@pytest.fixture(autouse=True)
def few_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "installed", lambda: HERE)


@pytest.mark.parametrize(
    ("families", "found"),
    [
        (["Montserrat"], "Montserrat"),
        (["MONTSERRAT", "Arial"], "Montserrat"),
        (["Arial"], "Liberation Sans"),
        (["Helvetica", "Montserrat"], "Liberation Sans"),
        (["Segoe UI", "Times"], "Liberation Serif"),
        (["sans-serif"], "Liberation Sans"),
        (["Sans"], "DejaVu Sans"),
        (["Segoe UI"], "Liberation Serif"),
        (["ArialMT", "Segoe  UI", "arial"], "Liberation Sans"),
        ([], "Liberation Serif"),
    ],
)
def test_families_are_resolved_as_by_chromium(families, found):
    assert fonts.resolve(families) == found


def test_what_is_installed_stands_in_where_nothing_else_does(monkeypatch):
    monkeypatch.setattr(fonts, "installed", lambda: {"odd": ("Odd", ())})
    assert fonts.resolve(["Arial"]) == "Odd"
    monkeypatch.setattr(fonts, "installed", dict)
    assert fonts.resolve(["Arial"]) == "Aileron"


def svg(body: str) -> bytes:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{body}</svg>'
    return document.sanitize(text.encode(), 0).svg


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ('font-family="Arial, serif"', "font-family=\"'Liberation Sans'\""),
        (
            "style=\"font-family:'Arial';fill:red\"",
            "style=\"font-family:'Liberation Sans';fill:red\"",
        ),
        ('font-family="inherit"', 'font-family="inherit"'),
        ('font="bold 12px/1.5 Arial, x"', "font=\"bold 12px/1.5 'Liberation Sans'\""),
        ('style="font:italic 3pt Sans"', "style=\"font:italic 3pt 'DejaVu Sans'\""),
        ('font-size="12"', 'font-size="12"'),
    ],
)
def test_texts_name_fonts_that_are_there(attribute, expected):
    found = fonts.readable(svg(f"<text {attribute}>x</text>"))
    assert expected in found.svg.decode()
    assert found.family == "Liberation Serif"


def test_style_sheets_name_them_too_and_the_files_are_told():
    sheet = "<style>.a{font-family:Arial !important;fill:red}</style><text class='a'>x</text>"
    found = fonts.readable(svg(sheet))
    style = etree.fromstring(found.svg).find(".//{*}style").text
    assert style == ".a{font-family:'Liberation Sans' !important;fill:red}"
    assert [*found.files] == ["/fonts/Liberation Sans.ttf", "/fonts/Liberation Serif.ttf"]


def test_foreign_letters_are_noticed():
    assert not fonts.readable(svg("<text>β-sheet, 5 µm…</text>")).is_foreign
    assert fonts.readable(svg("<text>細胞</text>")).is_foreign


def test_documents_without_text_are_left_alone():
    data = svg("<rect/>")
    assert fonts.readable(data) == fonts.Readable(data)


def test_the_fingerprint_is_of_all_fonts(monkeypatch):
    before = fonts.fingerprint()
    assert before == fonts.fingerprint()
    monkeypatch.setattr(fonts, "installed", lambda: {**HERE, "new": ("New", ())})
    assert fonts.fingerprint() != before


def test_pillows_own_font_is_a_font():
    from PIL import ImageFont

    own = fonts._own()
    assert ImageFont.truetype(own.file).getname()[0] == own.family
